import {
  configMapKeyErrors,
  labelValueErrors,
  qualifiedNameErrors,
  type StatusCause,
} from "@wherry/machinery";
import { nanosOf } from "../quantity.ts";
import {
  isEmptyTree,
  listAt,
  sameValue,
  stringsAt,
  textAt,
  textMapAt,
  treeAt,
  treesAt,
  valueAt,
  type Tree,
} from "../tree.ts";
import { validateFinalizerName } from "./metadata.ts";
import { Problems } from "./problems.ts";
import { validateQuantityValue, validateResourceName } from "./resources.ts";

/** Config maps and secrets hold this much. */
const bytesMax = 1024 * 1024;
const frozen = "field is immutable when `immutable` is set";

export function validateConfigMap(configMap: Tree): readonly StatusCause[] {
  const problems = new Problems();
  const data = textMapAt(configMap, "data");
  const binary = textMapAt(configMap, "binaryData");
  let size = 0;
  for (const [key, value] of Object.entries(data)) {
    problems.invalidBy(`data[${key}]`, key, configMapKeyErrors(key));
    if (binary[key] !== undefined)
      problems.invalid(`data[${key}]`, key, "duplicate of key present in binaryData");
    size += Buffer.byteLength(value);
  }
  for (const [key, value] of Object.entries(binary)) {
    problems.invalidBy(`binaryData[${key}]`, key, configMapKeyErrors(key));
    size += decodedLength(value);
  }
  if (size > bytesMax) problems.tooLong("", bytesMax);
  return problems.causes;
}

export function validateConfigMapUpdate(configMap: Tree, old: Tree): readonly StatusCause[] {
  const problems = new Problems();
  validateFrozen(problems, configMap, old, ["data", "binaryData"]);
  problems.add(validateConfigMap(configMap));
  return problems.causes;
}

export function validateSecret(secret: Tree): readonly StatusCause[] {
  const problems = new Problems();
  const data = textMapAt(secret, "data");
  let size = 0;
  for (const [key, value] of Object.entries(data)) {
    problems.invalidBy(`data[${key}]`, key, configMapKeyErrors(key));
    size += decodedLength(value);
  }
  if (size > bytesMax) problems.tooLong("data", bytesMax);
  const type = textAt(secret, "type");
  if (type === "kubernetes.io/service-account-token") {
    const name =
      textMapAt(secret, "metadata", "annotations")["kubernetes.io/service-account.name"] ?? "";
    if (name === "") problems.required("metadata.annotations[kubernetes.io/service-account.name]");
  }
  for (const key of requiredKeys[type] ?? []) {
    if (data[key] === undefined) problems.required(`data[${key}]`);
  }
  if (
    type === "kubernetes.io/basic-auth" &&
    data["username"] === undefined &&
    data["password"] === undefined
  ) {
    problems.required("data[username]");
    problems.required("data[password]");
  }
  return problems.causes;
}

/** Keys that a secret of a known type must have. */
const requiredKeys: Readonly<Record<string, readonly string[]>> = {
  "kubernetes.io/dockercfg": [".dockercfg"],
  "kubernetes.io/dockerconfigjson": [".dockerconfigjson"],
  "kubernetes.io/ssh-auth": ["ssh-privatekey"],
  "kubernetes.io/tls": ["tls.crt", "tls.key"],
};

export function validateSecretUpdate(secret: Tree, old: Tree): readonly StatusCause[] {
  const problems = new Problems();
  if (textAt(secret, "type") !== textAt(old, "type")) {
    problems.invalid("type", textAt(secret, "type"), "field is immutable");
  }
  validateFrozen(problems, secret, old, ["data"]);
  problems.add(validateSecret(secret));
  return problems.causes;
}

export function validateNamespace(namespace: Tree): readonly StatusCause[] {
  const problems = new Problems();
  for (const finalizer of stringsAt(namespace, "spec", "finalizers")) {
    problems.invalidBy("spec.finalizers", finalizer, qualifiedNameErrors(finalizer));
    validateFinalizerName(problems, finalizer, "spec.finalizers");
  }
  return problems.causes;
}

const effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

export function validateNode(node: Tree): readonly StatusCause[] {
  const problems = new Problems();
  const seen = new Set<string>();
  for (const [index, taint] of treesAt(node, "spec", "taints").entries()) {
    const field = `metadata.taints[${index}]`;
    const key = textAt(taint, "key");
    const value = textAt(taint, "value");
    const effect = textAt(taint, "effect");
    problems.invalidBy(`${field}.key`, key, qualifiedNameErrors(key));
    problems.invalidBy(`${field}.value`, value, labelValueErrors(value));
    if (effect === "") problems.required(`${field}.effect`);
    else if (!effects.includes(effect))
      problems.notSupported(`${field}.effect`, effect, effects, "given");
    if (seen.has(`${key}:${effect}`)) {
      problems.causes.push({
        reason: "FieldValueDuplicate",
        message: `Duplicate value: ${JSON.stringify({ Key: key, Value: value, Effect: effect, TimeAdded: taint["timeAdded"] ?? null })}: taints must be unique by key and effect pair`,
        field,
      });
    }
    seen.add(`${key}:${effect}`);
  }
  for (const list of ["capacity", "allocatable"]) {
    for (const [name, value] of Object.entries(textMapAt(node, "status", list))) {
      validateResourceName(problems, name, `status.${list}[${name}]`);
      validateQuantityValue(problems, name, value, `status.${list}[${name}]`);
    }
  }
  return problems.causes;
}

export function validateNodeUpdate(node: Tree, old: Tree): readonly StatusCause[] {
  const problems = new Problems();
  problems.add(validateNode(node));
  const before = listAt(old, "spec", "podCIDRs");
  const after = listAt(node, "spec", "podCIDRs");
  if (before.length > 0 && !sameValue(before, after)) {
    problems.forbidden(
      "spec.podCIDRs",
      'node updates may not change podCIDR except from "" to valid',
    );
  }
  const provider = textAt(old, "spec", "providerID");
  if (provider !== "" && textAt(node, "spec", "providerID") !== provider) {
    problems.forbidden(
      "spec.providerID",
      'node updates may not change providerID except from "" to valid',
    );
  }
  return problems.causes;
}

export function validateResourceQuota(quota: Tree): readonly StatusCause[] {
  const problems = new Problems();
  for (const [name, value] of Object.entries(textMapAt(quota, "spec", "hard"))) {
    const field = `spec.hard[${name}]`;
    const texts = qualifiedNameErrors(name);
    problems.invalidBy(field, name, texts);
    if (nanosOf(value) < 0n) problems.invalid(field, value, "must be greater than or equal to 0");
  }
  return problems.causes;
}

const limitTypes = ["Pod", "Container", "PersistentVolumeClaim"];

export function validateLimitRange(limitRange: Tree): readonly StatusCause[] {
  const problems = new Problems();
  const seen = new Set<string>();
  for (const [index, item] of treesAt(limitRange, "spec", "limits").entries()) {
    const path = `spec.limits[${index}]`;
    const type = textAt(item, "type");
    if (!limitTypes.includes(type) && !type.includes("/")) {
      problems.invalid(`${path}.type`, type, "must be a standard limit type or fully qualified");
    }
    if (seen.has(type)) problems.duplicate(`${path}.type`, type);
    seen.add(type);
    if (type === "Pod") {
      for (const key of ["default", "defaultRequest"]) {
        if (!isEmptyTree(item[key]))
          problems.forbidden(`${path}.${key}`, "may not be specified when `type` is 'Pod'");
      }
    }
    if (type === "PersistentVolumeClaim") {
      const hasStorage = ["min", "max"].some((key) => valueAt(item, key, "storage") !== undefined);
      if (!hasStorage) {
        problems.required(
          `${path}.limits`,
          "either minimum or maximum storage value is required, but neither was provided",
        );
      }
    }
    validateLimits(problems, item, path);
  }
  return problems.causes;
}

function validateLimits(problems: Problems, item: Tree, path: string): void {
  const max = textMapAt(item, "max");
  const min = textMapAt(item, "min");
  const limit = textMapAt(item, "default");
  const request = textMapAt(item, "defaultRequest");
  const isBeyond = (left: string | undefined, right: string | undefined): boolean =>
    left !== undefined && right !== undefined && nanosOf(left) > nanosOf(right);
  for (const name of new Set([
    ...Object.keys(max),
    ...Object.keys(min),
    ...Object.keys(limit),
    ...Object.keys(request),
  ])) {
    if (isBeyond(min[name], max[name])) {
      problems.invalid(
        `${path}.min[${name}]`,
        min[name],
        `min value ${min[name]} is greater than max value ${max[name]}`,
      );
    }
    if (isBeyond(request[name], max[name])) {
      problems.invalid(
        `${path}.defaultRequest[${name}]`,
        request[name],
        `default request value ${request[name]} is greater than max value ${max[name]}`,
      );
    }
    if (isBeyond(request[name], limit[name])) {
      problems.invalid(
        `${path}.defaultRequest[${name}]`,
        request[name],
        `default request value ${request[name]} is greater than default limit value ${limit[name]}`,
      );
    }
    if (isBeyond(limit[name], max[name])) {
      problems.invalid(
        `${path}.default[${name}]`,
        max[name],
        `default value ${limit[name]} is greater than max value ${max[name]}`,
      );
    }
  }
}

/** Events lie in the namespace of what they are about; those of cluster-wide objects in one of two. */
export function validateEvent(event: Tree): readonly StatusCause[] {
  const problems = new Problems();
  const target = treeAt(event, "involvedObject") ?? treeAt(event, "regarding");
  const namespace = textAt(event, "metadata", "namespace");
  const about = textAt(target, "namespace");
  if (about === "") {
    if (namespace !== "default" && namespace !== "kube-system" && namespace !== "") {
      problems.invalid("involvedObject.namespace", about, "does not match event.namespace");
    }
  } else if (about !== namespace) {
    problems.invalid("involvedObject.namespace", about, "does not match event.namespace");
  }
  return problems.causes;
}

export function validateNewEvent(event: Tree): readonly StatusCause[] {
  const problems = new Problems();
  problems.add(validateEvent(event));
  if (textAt(event, "eventTime") === "") problems.required("eventTime");
  else {
    for (const key of ["reportingController", "reportingInstance", "action", "reason"]) {
      if (textAt(event, key) === "") problems.required(key);
    }
  }
  const type = textAt(event, "type");
  if (type !== "Normal" && type !== "Warning")
    problems.invalid("type", "", `has invalid value: ${type}`);
  return problems.causes;
}

function validateFrozen(
  problems: Problems,
  object: Tree,
  old: Tree,
  keys: readonly string[],
): void {
  if (old["immutable"] !== true) return;
  if (object["immutable"] !== true) problems.forbidden("immutable", frozen);
  for (const key of keys) if (!sameValue(object[key], old[key])) problems.forbidden(key, frozen);
}

function decodedLength(text: string): number {
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  return (text.length / 4) * 3 - padding;
}
