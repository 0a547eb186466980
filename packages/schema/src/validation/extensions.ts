import { dnsSubdomainErrors, type StatusCause } from "@wherry/machinery";
import { numberAt, sameValue, stringsAt, textAt, treeAt, treesAt, type Tree } from "../tree.ts";
import { validateLabelSelector } from "./label-selectors.ts";
import { pathSegmentErrors } from "./names.ts";
import { Problems } from "./problems.ts";
import { amountOf, validateAmountOrPercent } from "./workloads.ts";

const rbacGroup = "rbac.authorization.k8s.io";

export function validateRole(role: Tree): readonly StatusCause[] {
  return validateRules(role, true);
}

export function validateClusterRole(role: Tree): readonly StatusCause[] {
  return validateRules(role, false);
}

function validateRules(role: Tree, isNamespaced: boolean): readonly StatusCause[] {
  const problems = new Problems();
  for (const [index, rule] of treesAt(role, "rules").entries()) {
    const path = `rules[${index}]`;
    if (stringsAt(rule, "verbs").length === 0)
      problems.required(`${path}.verbs`, "verbs must contain at least one value");
    const urls = stringsAt(rule, "nonResourceURLs");
    if (urls.length > 0) {
      if (isNamespaced) {
        problems.invalid(
          `${path}.nonResourceURLs`,
          urls,
          "namespaced rules cannot apply to non-resource URLs",
        );
      }
      if (stringsAt(rule, "apiGroups").length > 0 || stringsAt(rule, "resources").length > 0) {
        problems.invalid(
          `${path}.nonResourceURLs`,
          urls,
          "rules cannot apply to both regular resources and non-resource URLs",
        );
      }
      continue;
    }
    if (stringsAt(rule, "apiGroups").length === 0) {
      problems.required(`${path}.apiGroups`, "resource rules must supply at least one api group");
    }
    if (stringsAt(rule, "resources").length === 0) {
      problems.required(`${path}.resources`, "resource rules must supply at least one resource");
    }
  }
  return problems.causes;
}

export function validateRoleBinding(binding: Tree): readonly StatusCause[] {
  return validateBinding(binding, ["Role", "ClusterRole"], true);
}

export function validateClusterRoleBinding(binding: Tree): readonly StatusCause[] {
  return validateBinding(binding, ["ClusterRole"], false);
}

export function validateRoleBindingUpdate(binding: Tree, old: Tree): readonly StatusCause[] {
  return withImmutableRole(validateRoleBinding(binding), binding, old);
}

export function validateClusterRoleBindingUpdate(binding: Tree, old: Tree): readonly StatusCause[] {
  return withImmutableRole(validateClusterRoleBinding(binding), binding, old);
}

function validateBinding(
  binding: Tree,
  kinds: readonly string[],
  isNamespaced: boolean,
): readonly StatusCause[] {
  const problems = new Problems();
  const role = treeAt(binding, "roleRef");
  if (textAt(role, "apiGroup") !== rbacGroup)
    problems.notSupported("roleRef.apiGroup", textAt(role, "apiGroup"), [rbacGroup]);
  const kind = textAt(role, "kind");
  if (!kinds.includes(kind)) problems.notSupported("roleRef.kind", kind, kinds, "given");
  const name = textAt(role, "name");
  if (name === "") problems.required("roleRef.name");
  else problems.invalidBy("roleRef.name", name, pathSegmentErrors(name));
  for (const [index, subject] of treesAt(binding, "subjects").entries()) {
    validateSubject(problems, subject, `subjects[${index}]`, isNamespaced);
  }
  return problems.causes;
}

function validateSubject(
  problems: Problems,
  subject: Tree,
  path: string,
  isNamespaced: boolean,
): void {
  const name = textAt(subject, "name");
  const group = textAt(subject, "apiGroup");
  if (name === "") problems.required(`${path}.name`);
  switch (textAt(subject, "kind")) {
    case "ServiceAccount":
      if (name !== "") problems.invalidBy(`${path}.name`, name, dnsSubdomainErrors(name));
      if (group !== "") problems.notSupported(`${path}.apiGroup`, group, [""]);
      if (!isNamespaced && textAt(subject, "namespace") === "")
        problems.required(`${path}.namespace`);
      break;
    case "User":
    case "Group":
      if (group !== rbacGroup) problems.notSupported(`${path}.apiGroup`, group, [rbacGroup]);
      break;
    default:
      problems.notSupported(
        `${path}.kind`,
        textAt(subject, "kind"),
        ["ServiceAccount", "User", "Group"],
        "given",
      );
  }
}

function withImmutableRole(
  causes: readonly StatusCause[],
  binding: Tree,
  old: Tree,
): readonly StatusCause[] {
  const problems = new Problems();
  if (!sameValue(binding["roleRef"], old["roleRef"])) {
    const role = treeAt(binding, "roleRef");
    const shown = {
      APIGroup: textAt(role, "apiGroup"),
      Kind: textAt(role, "kind"),
      Name: textAt(role, "name"),
    };
    problems.invalid("roleRef", shown, "cannot change roleRef");
  }
  return [...causes, ...problems.causes];
}

export function validateDisruptionBudget(budget: Tree): readonly StatusCause[] {
  const problems = new Problems();
  const spec = treeAt(budget, "spec") ?? {};
  if (spec["minAvailable"] !== undefined && spec["maxUnavailable"] !== undefined) {
    const shown = {
      MinAvailable: spec["minAvailable"],
      Selector: spec["selector"] ?? null,
      MaxUnavailable: spec["maxUnavailable"],
      UnhealthyPodEvictionPolicy: spec["unhealthyPodEvictionPolicy"] ?? null,
    };
    problems.invalid("spec", shown, "minAvailable and maxUnavailable cannot be both set");
  }
  for (const key of ["minAvailable", "maxUnavailable"]) {
    const value = spec[key];
    validateAmountOrPercent(problems, value, `spec.${key}`);
    if (typeof value === "string" && value.endsWith("%") && amountOf(value) > 100) {
      problems.invalid(`spec.${key}`, value, "must not be greater than 100%");
    }
  }
  problems.oneOf(spec, "unhealthyPodEvictionPolicy", "spec", ["AlwaysAllow", "IfHealthyBudget"]);
  validateLabelSelector(problems, treeAt(spec, "selector"), "spec.selector");
  return problems.causes;
}

const metricKinds: Readonly<Record<string, string>> = {
  ContainerResource: "containerResource",
  External: "external",
  Object: "object",
  Pods: "pods",
  Resource: "resource",
};

export function validateAutoscaler(autoscaler: Tree): readonly StatusCause[] {
  const problems = new Problems();
  const spec = treeAt(autoscaler, "spec");
  const min = numberAt(spec, "minReplicas");
  const max = numberAt(spec, "maxReplicas") ?? 0;
  if (min !== undefined && min < 1)
    problems.invalid("spec.minReplicas", min, "must be greater than or equal to 1");
  if (max < 1) problems.invalid("spec.maxReplicas", max, "must be greater than 0");
  if (min !== undefined && max < min) {
    problems.invalid("spec.maxReplicas", max, "must be greater than or equal to `minReplicas`");
  }
  const target = treeAt(spec, "scaleTargetRef");
  for (const key of ["kind", "name"]) {
    const value = textAt(target, key);
    if (value === "") problems.required(`spec.scaleTargetRef.${key}`);
    else problems.invalidBy(`spec.scaleTargetRef.${key}`, value, pathSegmentErrors(value));
  }
  const apiVersion = textAt(target, "apiVersion");
  if (apiVersion === "")
    problems.invalid("spec.scaleTargetRef.apiVersion", "", "apiVersion must specify API group");
  const metrics = treesAt(spec, "metrics");
  for (const [index, metric] of metrics.entries()) {
    const type = textAt(metric, "type");
    const source = metricKinds[type];
    const path = `spec.metrics[${index}]`;
    if (type === "") problems.required(`${path}.type`, "must specify a metric source type");
    else if (source === undefined)
      problems.notSupported(`${path}.type`, type, Object.keys(metricKinds));
    else if (metric[source] === undefined) {
      problems.required(
        `${path}.${source}`,
        "must populate information for the given metric source",
      );
    }
  }
  if (
    min === 0 &&
    !metrics.some((metric) => metric["type"] === "Object" || metric["type"] === "External")
  ) {
    problems.forbidden(
      "spec.metrics",
      "must specify at least one Object or External metric to support scaling to zero replicas",
    );
  }
  for (const key of ["currentReplicas", "desiredReplicas"])
    problems.nonNegative(treeAt(autoscaler, "status"), key, "status");
  return problems.causes;
}

/** Priorities of users stay below this. */
const userPriorityMax = 1_000_000_000;
const systemPriorities: Readonly<Record<string, number>> = {
  "system-node-critical": 2_000_001_000,
  "system-cluster-critical": 2_000_000_000,
};

export function validatePriorityClass(priorityClass: Tree): readonly StatusCause[] {
  const problems = new Problems();
  const name = textAt(priorityClass, "metadata", "name");
  const value = numberAt(priorityClass, "value") ?? 0;
  if (name.startsWith("system-")) {
    if (systemPriorities[name] !== value) {
      problems.forbidden(
        "metadata.name",
        systemPriorities[name] === undefined
          ? `priority class names with 'system-' prefix are reserved for system use only. error: ${name} is not a known system priority class`
          : `priority class names with 'system-' prefix are reserved for system use only. error: value of ${name} PriorityClass must be ${systemPriorities[name]}`,
      );
    }
  } else if (value > userPriorityMax) {
    problems.forbidden(
      "value",
      `maximum allowed value of a user defined priority is ${userPriorityMax}`,
    );
  }
  return problems.causes;
}

export function validatePriorityClassUpdate(
  priorityClass: Tree,
  old: Tree,
): readonly StatusCause[] {
  const problems = new Problems();
  if ((numberAt(priorityClass, "value") ?? 0) !== (numberAt(old, "value") ?? 0)) {
    problems.forbidden("value", "may not be changed in an update.");
  }
  if (textAt(priorityClass, "preemptionPolicy") !== textAt(old, "preemptionPolicy")) {
    problems.invalid(
      "preemptionPolicy",
      textAt(priorityClass, "preemptionPolicy"),
      "field is immutable",
    );
  }
  return problems.causes;
}

export function validateRuntimeClass(runtimeClass: Tree): readonly StatusCause[] {
  const problems = new Problems();
  const handler = textAt(runtimeClass, "handler");
  if (handler === "") problems.required("handler");
  else problems.invalidBy("handler", handler, dnsSubdomainErrors(handler));
  return problems.causes;
}

export function validateApiService(service: Tree): readonly StatusCause[] {
  const problems = new Problems();
  const spec = treeAt(service, "spec");
  const name = `${textAt(spec, "version")}.${textAt(spec, "group")}`;
  if (textAt(service, "metadata", "name") !== name) {
    problems.invalid(
      "metadata.name",
      textAt(service, "metadata", "name"),
      `must be \`spec.version+"."+spec.group\`: ${JSON.stringify(name)}`,
    );
  }
  const groupPriority = numberAt(spec, "groupPriorityMinimum") ?? 0;
  if (groupPriority <= 0 || groupPriority > 20000) {
    problems.invalid(
      "spec.groupPriorityMinimum",
      groupPriority,
      "must be positive and less than 20000",
    );
  }
  const versionPriority = numberAt(spec, "versionPriority") ?? 0;
  if (versionPriority <= 0 || versionPriority > 1000) {
    problems.invalid(
      "spec.versionPriority",
      versionPriority,
      "must be positive and less than 1000",
    );
  }
  return problems.causes;
}

const requestHead = "-----BEGIN CERTIFICATE REQUEST-----";

export function validateSigningRequest(request: Tree): readonly StatusCause[] {
  const problems = new Problems();
  const spec = treeAt(request, "spec");
  const text = Buffer.from(textAt(spec, "request"), "base64").toString();
  if (!text.includes(requestHead)) {
    problems.invalid(
      "spec.request",
      spec?.["request"] ?? null,
      "PEM block type must be CERTIFICATE REQUEST",
    );
  }
  if (stringsAt(spec, "usages").length === 0) problems.required("spec.usages");
  const signer = textAt(spec, "signerName");
  if (signer === "") problems.required("spec.signerName");
  else if (signer === "kubernetes.io/legacy-unknown") {
    problems.invalid(
      "spec.signerName",
      signer,
      "the legacy signerName is not allowed via this API version",
    );
  } else if (!/^[^/]+\/.+$/.test(signer)) {
    problems.invalid(
      "spec.signerName",
      signer,
      "must be a fully qualified domain and path of the form 'example.com/signer-name'",
    );
  }
  const seconds = numberAt(spec, "expirationSeconds");
  if (seconds !== undefined && seconds < 600) {
    problems.invalid(
      "spec.expirationSeconds",
      seconds,
      "may not specify a duration less than 600 seconds (10 minutes)",
    );
  }
  for (const [index, condition] of treesAt(request, "status", "conditions").entries()) {
    const type = textAt(condition, "type");
    const status = textAt(condition, "status");
    if (["Approved", "Denied", "Failed"].includes(type) && status !== "True") {
      problems.notSupported(`status.conditions[${index}].status`, status, ["True"]);
    }
  }
  const certificate = textAt(request, "status", "certificate");
  if (
    certificate !== "" &&
    !Buffer.from(certificate, "base64").toString().includes("-----BEGIN CERTIFICATE-----")
  ) {
    problems.invalid(
      "status.certificate",
      "<certificate data>",
      "must contain at least one CERTIFICATE PEM block",
    );
  }
  return problems.causes;
}

export function validateWebhooks(configuration: Tree): readonly StatusCause[] {
  const problems = new Problems();
  const names = new Set<string>();
  for (const [index, webhook] of treesAt(configuration, "webhooks").entries()) {
    const path = `webhooks[${index}]`;
    const name = textAt(webhook, "name");
    problems.invalidBy(`${path}.name`, name, webhookNameErrors(name));
    for (const [position, rule] of treesAt(webhook, "rules").entries()) {
      validateRule(problems, rule, `${path}.rules[${position}]`);
    }
    problems.oneOf(webhook, "failurePolicy", path, ["Fail", "Ignore"]);
    problems.oneOf(webhook, "matchPolicy", path, ["Equivalent", "Exact"]);
    const effects = textAt(webhook, "sideEffects");
    if (effects === "")
      problems.required(`${path}.sideEffects`, "must specify one of None, NoneOnDryRun");
    else problems.oneOf(webhook, "sideEffects", path, ["None", "NoneOnDryRun"]);
    const timeout = numberAt(webhook, "timeoutSeconds");
    if (timeout !== undefined && (timeout < 1 || timeout > 30)) {
      problems.invalid(
        `${path}.timeoutSeconds`,
        timeout,
        "the timeout value must be between 1 and 30 seconds",
      );
    }
    validateLabelSelector(
      problems,
      treeAt(webhook, "namespaceSelector"),
      `${path}.namespaceSelector`,
    );
    validateLabelSelector(problems, treeAt(webhook, "objectSelector"), `${path}.objectSelector`);
    const client = treeAt(webhook, "clientConfig");
    if ((client?.["url"] === undefined) === (client?.["service"] === undefined)) {
      problems.required(`${path}.clientConfig`, "exactly one of url or service is required");
    }
    if (names.has(name)) problems.duplicate(`${path}.name`, name);
    names.add(name);
  }
  return problems.causes;
}

function webhookNameErrors(name: string): readonly string[] {
  const texts = dnsSubdomainErrors(name);
  if (texts.length > 0) return texts;
  return name.split(".").length < 3
    ? ["should be a domain with at least three segments separated by dots"]
    : [];
}

const operations = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];

function validateRule(problems: Problems, rule: Tree, path: string): void {
  const given = stringsAt(rule, "operations");
  if (given.length === 0) problems.required(`${path}.operations`);
  for (const [index, operation] of given.entries()) {
    if (!operations.includes(operation))
      problems.notSupported(`${path}.operations[${index}]`, operation, operations);
  }
  const groups = stringsAt(rule, "apiGroups");
  if (groups.length === 0) problems.required(`${path}.apiGroups`);
  if (groups.length > 1 && groups.includes("*")) {
    problems.invalid(
      `${path}.apiGroups`,
      groups,
      "if '*' is present, must not specify other API groups",
    );
  }
  const versions = stringsAt(rule, "apiVersions");
  if (versions.length === 0) problems.required(`${path}.apiVersions`);
  if (versions.length > 1 && versions.includes("*")) {
    problems.invalid(
      `${path}.apiVersions`,
      versions,
      "if '*' is present, must not specify other API versions",
    );
  }
  const resources = stringsAt(rule, "resources");
  if (resources.length === 0) problems.required(`${path}.resources`);
  if (resources.length > 1 && resources.includes("*/*")) {
    problems.invalid(
      `${path}.resources`,
      resources,
      "if '*/*' is present, must not specify other resources",
    );
  }
}

export function validateIngressClass(ingressClass: Tree): readonly StatusCause[] {
  const problems = new Problems();
  const controller = textAt(ingressClass, "spec", "controller");
  if (controller.length > 250) problems.tooLong("spec.controller", 250);
  if (controller !== "" && !controller.includes("/")) {
    problems.invalidBy("spec.controller", controller, [
      'must be a domain-prefixed path (such as "acme.io/foo")',
    ]);
  }
  return problems.causes;
}

export function validateCustomResourceDefinition(definition: Tree): readonly StatusCause[] {
  const problems = new Problems();
  const spec = treeAt(definition, "spec");
  const name = textAt(definition, "metadata", "name");
  const wanted = `${textAt(spec, "names", "plural")}.${textAt(spec, "group")}`;
  if (name !== wanted)
    problems.invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group');
  if (textAt(spec, "group") === "") problems.required("spec.group");
  const scope = textAt(spec, "scope");
  if (scope === "") problems.required("spec.scope");
  else problems.oneOf(spec, "scope", "spec", ["Cluster", "Namespaced"]);
  const versions = treesAt(spec, "versions");
  const stored = versions.filter((version) => version["storage"] === true);
  if (stored.length !== 1) {
    problems.invalid(
      "spec.versions",
      versions.map((version) => textAt(version, "name")),
      "must have exactly one version marked as storage version",
    );
  }
  for (const key of ["plural", "kind"]) {
    if (textAt(spec, "names", key) === "") problems.required(`spec.names.${key}`);
  }
  return problems.causes;
}

export function validateLease(lease: Tree): readonly StatusCause[] {
  const problems = new Problems();
  const spec = treeAt(lease, "spec");
  problems.positive("spec.leaseDurationSeconds", numberAt(spec, "leaseDurationSeconds"));
  problems.nonNegative(spec, "leaseTransitions", "spec");
  return problems.causes;
}
