import { dnsSubdomainErrors, qualifiedNameErrors, type StatusCause } from "@wherry/machinery";
import { nanosOf } from "../quantity.ts";
import {
  isTree,
  sameValue,
  stringsAt,
  textAt,
  treeAt,
  treesAt,
  valueAt,
  type Tree,
} from "../tree.ts";
import { validateLabelSelector } from "./label-selectors.ts";
import { Problems } from "./problems.ts";
import { validateHostPath } from "./volumes.ts";

const accessModes = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

export function validatePersistentVolumeClaim(claim: Tree): readonly StatusCause[] {
  const problems = new Problems();
  validateClaimSpec(problems, treeAt(claim, "spec"), "spec");
  return problems.causes;
}

export function validateClaimSpec(problems: Problems, spec: Tree | undefined, path: string): void {
  const modes = stringsAt(spec, "accessModes");
  if (modes.length === 0)
    problems.required(`${path}.accessModes`, "at least 1 access mode is required");
  validateLabelSelector(problems, treeAt(spec, "selector"), `${path}.selector`);
  for (const mode of modes) {
    if (!accessModes.includes(mode))
      problems.notSupported(`${path}.accessModes`, mode, accessModes);
  }
  if (modes.length > 1 && modes.includes("ReadWriteOncePod")) {
    problems.forbidden(
      `${path}.accessModes`,
      "may not use ReadWriteOncePod with other access modes",
    );
  }
  const storage = valueAt(spec, "resources", "requests", "storage");
  if (storage === undefined) problems.required(`${path}.resources[storage]`);
  else if (nanosOf(storage) <= 0n)
    problems.invalid(`${path}.resources[storage]`, storage, "must be greater than zero");
  const storageClass = textAt(spec, "storageClassName");
  if (storageClass !== "") {
    problems.invalidBy(`${path}.storageClassName`, storageClass, dnsSubdomainErrors(storageClass));
  }
  problems.oneOf(spec, "volumeMode", path, ["Block", "Filesystem"]);
}

const claimRule =
  "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";

export function validatePersistentVolumeClaimUpdate(
  claim: Tree,
  old: Tree,
): readonly StatusCause[] {
  const problems = new Problems();
  problems.add(validatePersistentVolumeClaim(claim));
  const fixed = { ...treeAt(claim, "spec") };
  const before = { ...treeAt(old, "spec") };
  // Binding names the volume once; a class that was unset may be filled in.
  if (textAt(before, "volumeName") === "") delete fixed["volumeName"];
  if (before["storageClassName"] === undefined) delete fixed["storageClassName"];
  if (textAt(before, "volumeName") === "") delete before["volumeName"];
  const isBound = textAt(old, "status", "phase") === "Bound";
  const storage = valueAt(fixed, "resources", "requests", "storage");
  const formerStorage = valueAt(before, "resources", "requests", "storage");
  if (isBound) {
    for (const spec of [fixed, before]) {
      delete spec["resources"];
      delete spec["volumeAttributesClassName"];
    }
  }
  if (!sameValue(fixed, before)) problems.forbidden("spec", claimRule);
  else if (isBound && nanosOf(storage) < nanosOf(formerStorage)) {
    const capacity = nanosOf(valueAt(old, "status", "capacity", "storage"));
    if (nanosOf(storage) <= capacity) {
      problems.forbidden(
        "spec.resources.requests.storage",
        "field can not be less than status.capacity",
      );
    }
  }
  return problems.causes;
}

/** Sources of a persistent volume are its fields that hold objects, but for these. */
const notSources = new Set(["capacity", "claimRef", "nodeAffinity"]);

export function validatePersistentVolume(volume: Tree): readonly StatusCause[] {
  const problems = new Problems();
  const spec = treeAt(volume, "spec") ?? {};
  const modes = stringsAt(spec, "accessModes");
  if (modes.length === 0) problems.required("spec.accessModes");
  for (const mode of modes)
    if (!accessModes.includes(mode)) problems.notSupported("spec.accessModes", mode, accessModes);
  const capacity = treeAt(spec, "capacity");
  if (capacity === undefined) problems.required("spec.capacity");
  if (valueAt(capacity, "storage") === undefined)
    problems.notSupported("spec.capacity", capacity ?? null, ["storage"]);
  else if (nanosOf(valueAt(capacity, "storage")) <= 0n) {
    problems.invalid(
      "spec.capacity[storage]",
      valueAt(capacity, "storage"),
      "must be greater than zero",
    );
  }
  problems.oneOf(spec, "persistentVolumeReclaimPolicy", "spec", ["Delete", "Recycle", "Retain"]);
  const sources = Object.keys(spec).filter((key) => isTree(spec[key]) && !notSources.has(key));
  if (sources.length === 0) problems.required("spec", "must specify a volume type");
  for (const name of sources.slice(1))
    problems.forbidden(`spec.${name}`, "may not specify more than 1 volume type");
  const hostPath = treeAt(spec, "hostPath");
  if (hostPath !== undefined) validateHostPath(problems, hostPath, "spec.hostPath");
  if (spec["local"] !== undefined && valueAt(spec, "nodeAffinity", "required") === undefined) {
    problems.required("spec.nodeAffinity", "Local volume requires node affinity");
  }
  const storageClass = textAt(spec, "storageClassName");
  if (storageClass !== "")
    problems.invalidBy("spec.storageClassName", storageClass, dnsSubdomainErrors(storageClass));
  problems.oneOf(spec, "volumeMode", "spec", ["Block", "Filesystem"]);
  return problems.causes;
}

export function validatePersistentVolumeUpdate(volume: Tree, old: Tree): readonly StatusCause[] {
  const problems = new Problems();
  problems.add(validatePersistentVolume(volume));
  const spec = treeAt(volume, "spec") ?? {};
  const before = treeAt(old, "spec") ?? {};
  const sourceOf = (tree: Tree): Tree =>
    Object.fromEntries(
      Object.entries(tree).filter(([key, value]) => isTree(value) && !notSources.has(key)),
    );
  if (!sameValue(sourceOf(spec), sourceOf(before))) {
    problems.forbidden(
      "spec.persistentvolumesource",
      "spec.persistentvolumesource is immutable after creation",
    );
  }
  if (!sameValue(spec["volumeMode"], before["volumeMode"])) {
    problems.invalid("volumeMode", spec["volumeMode"], "field is immutable");
  }
  return problems.causes;
}

export function validateStorageClass(storageClass: Tree): readonly StatusCause[] {
  const problems = new Problems();
  const provisioner = textAt(storageClass, "provisioner");
  if (provisioner === "") problems.required("provisioner");
  else
    problems.invalidBy(
      "provisioner",
      provisioner.toLowerCase(),
      qualifiedNameErrors(provisioner.toLowerCase()),
    );
  oneOfTop(problems, storageClass, "reclaimPolicy", ["Delete", "Retain"]);
  oneOfTop(problems, storageClass, "volumeBindingMode", ["Immediate", "WaitForFirstConsumer"]);
  for (const [index, term] of treesAt(storageClass, "allowedTopologies").entries()) {
    for (const [position, expression] of treesAt(term, "matchLabelExpressions").entries()) {
      if (stringsAt(expression, "values").length === 0) {
        problems.required(`allowedTopologies[${index}].matchLabelExpressions[${position}].values`);
      }
    }
  }
  return problems.causes;
}

export function validateStorageClassUpdate(storageClass: Tree, old: Tree): readonly StatusCause[] {
  const problems = new Problems();
  problems.add(validateStorageClass(storageClass));
  for (const key of ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"]) {
    if (!sameValue(storageClass[key], old[key]))
      problems.invalid(key, storageClass[key] ?? null, "field is immutable");
  }
  return problems.causes;
}

export function validateCsiNode(node: Tree): readonly StatusCause[] {
  const problems = new Problems();
  const names = new Set<string>();
  for (const [index, driver] of treesAt(node, "spec", "drivers").entries()) {
    const field = `spec.drivers[${index}]`;
    const name = textAt(driver, "name");
    if (name === "") problems.required(`${field}.name`);
    if (textAt(driver, "nodeID") === "") problems.required(`${field}.nodeID`);
    if (names.has(name)) problems.duplicate(`${field}.name`, name);
    names.add(name);
  }
  return problems.causes;
}

export function validateVolumeAttachment(attachment: Tree): readonly StatusCause[] {
  const problems = new Problems();
  const spec = treeAt(attachment, "spec");
  if (textAt(spec, "attacher") === "") problems.required("spec.attacher");
  const source = treeAt(spec, "source");
  const given = ["inlineVolumeSpec", "persistentVolumeName"].filter(
    (key) => source?.[key] !== undefined,
  );
  if (given.length === 0) {
    problems.required(
      "spec.source",
      "must specify exactly one of inlineVolumeSpec and persistentVolumeName",
    );
  }
  const node = textAt(spec, "nodeName");
  problems.invalidBy("spec.nodeName", node, dnsSubdomainErrors(node));
  return problems.causes;
}

export function validateCsiStorageCapacity(capacity: Tree): readonly StatusCause[] {
  const problems = new Problems();
  const name = textAt(capacity, "storageClassName");
  problems.invalidBy("storageClassName", name, dnsSubdomainErrors(name));
  return problems.causes;
}

function oneOfTop(
  problems: Problems,
  object: Tree,
  key: string,
  supported: readonly string[],
): void {
  const value = textAt(object, key);
  if (value !== "" && !supported.includes(value)) problems.notSupported(key, value, supported);
}
