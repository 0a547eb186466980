import { configMapKeyErrors, dnsLabelErrors } from "@wherry/machinery";
import { nanosOf } from "../quantity.ts";
import { isTree, numberAt, textAt, treeAt, treesAt, type Tree } from "../tree.ts";
import { Problems } from "./problems.ts";

const modeRange = "must be a number between 0 and 0777 (octal), both inclusive";
const hostPathTypes = [
  "",
  "DirectoryOrCreate",
  "Directory",
  "FileOrCreate",
  "File",
  "Socket",
  "CharDevice",
  "BlockDevice",
];

/** Sources in the order in which upstream looks at them. */
const sources = [
  "emptyDir",
  "hostPath",
  "gitRepo",
  "gcePersistentDisk",
  "awsElasticBlockStore",
  "secret",
  "nfs",
  "iscsi",
  "glusterfs",
  "persistentVolumeClaim",
  "rbd",
  "cinder",
  "cephfs",
  "flexVolume",
  "configMap",
  "downwardAPI",
  "fc",
  "flocker",
  "azureFile",
  "vsphereVolume",
  "quobyte",
  "azureDisk",
  "storageos",
  "photonPersistentDisk",
  "portworxVolume",
  "projected",
  "scaleIO",
  "csi",
  "ephemeral",
  "image",
];

/** Names of the volumes that may be mounted. */
export function validateVolumes(
  problems: Problems,
  volumes: readonly Tree[],
  path: string,
): ReadonlySet<string> {
  const names = new Set<string>();
  for (const [index, volume] of volumes.entries()) {
    const own = new Problems();
    const field = `${path}[${index}]`;
    validateSource(own, volume, field);
    const name = textAt(volume, "name");
    if (name === "") own.required(`${field}.name`);
    else {
      own.invalidBy(`${field}.name`, name, dnsLabelErrors(name));
      if (names.has(name)) own.duplicate(`${field}.name`, name);
    }
    if (own.causes.length === 0) names.add(name);
    problems.add(own.causes);
  }
  return names;
}

function validateSource(problems: Problems, volume: Tree, path: string): void {
  let count = 0;
  for (const name of sources) {
    const source = treeAt(volume, name);
    if (source === undefined) continue;
    count += 1;
    if (count > 1) problems.forbidden(`${path}.${name}`, "may not specify more than 1 volume type");
    else validateOneSource(problems, source, name, `${path}.${name}`);
  }
  if (count === 0) problems.required(path, "must specify a volume type");
}

function validateOneSource(problems: Problems, source: Tree, name: string, path: string): void {
  switch (name) {
    case "emptyDir":
      if (nanosOf(source["sizeLimit"]) < 0n) {
        problems.forbidden(
          `${path}.sizeLimit`,
          "SizeLimit field must be a valid resource quantity",
        );
      }
      break;
    case "hostPath":
      validateHostPath(problems, source, path);
      break;
    case "gitRepo":
      if (textAt(source, "repository") === "") problems.required(`${path}.repository`);
      break;
    case "nfs":
      for (const key of ["server", "path"])
        if (textAt(source, key) === "") problems.required(`${path}.${key}`);
      break;
    case "secret":
      if (textAt(source, "secretName") === "") problems.required(`${path}.secretName`);
      validateMode(problems, source, "defaultMode", path);
      validateKeyPaths(problems, source, path);
      break;
    case "configMap":
      if (textAt(source, "name") === "") problems.required(`${path}.name`);
      validateMode(problems, source, "defaultMode", path);
      validateKeyPaths(problems, source, path);
      break;
    case "downwardAPI":
      validateMode(problems, source, "defaultMode", path);
      validateDownwardItems(problems, source, path);
      break;
    case "persistentVolumeClaim":
      if (textAt(source, "claimName") === "") problems.required(`${path}.claimName`);
      break;
    case "iscsi":
      validateIscsi(problems, source, path);
      break;
    case "csi":
      if (textAt(source, "driver") === "") problems.required(`${path}.driver`);
      break;
    case "projected":
      validateProjected(problems, source, path);
      break;
    case "ephemeral":
      if (source["volumeClaimTemplate"] === undefined)
        problems.required(`${path}.volumeClaimTemplate`);
      break;
    case "image":
      if (textAt(source, "reference") === "") problems.required(`${path}.reference`);
      problems.oneOf(source, "pullPolicy", path, ["Always", "IfNotPresent", "Never"]);
      break;
    default:
  }
}

export function validateHostPath(problems: Problems, source: Tree, path: string): void {
  const value = textAt(source, "path");
  if (value === "") {
    problems.required(`${path}.path`);
    return;
  }
  validateNoBacksteps(problems, value, `${path}.path`);
  const type = textAt(source, "type");
  if (!hostPathTypes.includes(type)) problems.notSupported(`${path}.type`, type, hostPathTypes);
}

function validateIscsi(problems: Problems, source: Tree, path: string): void {
  if (textAt(source, "targetPortal") === "") problems.required(`${path}.targetPortal`);
  const iqn = textAt(source, "iqn");
  if (iqn === "") problems.required(`${path}.iqn`);
  else if (!/^(iqn|eui|naa)/.test(iqn)) {
    problems.invalid(`${path}.iqn`, iqn, "must be valid format starting with iqn, eui, or naa");
  }
  const lun = numberAt(source, "lun") ?? 0;
  if (lun < 0 || lun > 255)
    problems.invalid(`${path}.lun`, lun, "must be between 0 and 255, inclusive");
}

function validateProjected(problems: Problems, source: Tree, path: string): void {
  validateMode(problems, source, "defaultMode", path);
  const paths = new Map<string, string>();
  for (const [index, item] of treesAt(source, "sources").entries()) {
    const kinds = Object.keys(item).filter((key) => isTree(item[key]));
    const [kind] = kinds;
    const field = `${path}.sources[${index}]`;
    if (kind === undefined) continue;
    if (kinds.length > 1)
      problems.forbidden(`${field}.${kinds[1]}`, "may not specify more than 1 volume type");
    const projection = treeAt(item, kind);
    if (projection === undefined) continue;
    if (kind === "secret" || kind === "configMap") {
      if (textAt(projection, "name") === "") problems.required(`${field}.${kind}.name`);
      validateKeyPaths(problems, projection, `${field}.${kind}`);
    } else if (kind === "downwardAPI")
      validateDownwardItems(problems, projection, `${field}.${kind}`);
    else if (kind === "serviceAccountToken" && textAt(projection, "path") === "")
      problems.required(`${field}.${kind}.path`);
    const name = textAt(projection, "name");
    for (const keyPath of treesAt(projection, "items")) {
      const place = textAt(keyPath, "path");
      if (paths.has(place)) {
        const other = paths.get(place) ?? "";
        if (other === name || kind !== "secret")
          problems.invalid(path, name, "conflicting duplicate paths");
        else problems.invalid(path, other, "conflicting duplicate paths");
      }
      paths.set(place, name);
    }
  }
}

function validateKeyPaths(problems: Problems, source: Tree, path: string): void {
  for (const [index, item] of treesAt(source, "items").entries()) {
    const field = `${path}.items[${index}]`;
    const key = textAt(item, "key");
    if (key === "") problems.required(`${field}.key`);
    else problems.invalidBy(`${field}.key`, key, configMapKeyErrors(key));
    const place = textAt(item, "path");
    if (place === "") problems.required(`${field}.path`);
    validateLocalPath(problems, place, `${field}.path`);
    validateMode(problems, item, "mode", field);
  }
}

function validateDownwardItems(problems: Problems, source: Tree, path: string): void {
  for (const [index, item] of treesAt(source, "items").entries()) {
    const field = `${path}.items[${index}]`;
    const place = textAt(item, "path");
    if (place === "") problems.required(`${field}.path`);
    validateLocalPath(problems, place, `${field}.path`);
    const count = ["fieldRef", "resourceFieldRef"].filter((key) => item[key] !== undefined).length;
    if (count === 0) problems.required(field, "fieldRef or resourceFieldRef is required");
    else if (count > 1)
      problems.invalid(
        field,
        "resource",
        "fieldRef and resourceFieldRef can not be specified simultaneously",
      );
    validateMode(problems, item, "mode", field);
  }
}

/** A path below the volume: relative, never upwards. */
export function validateLocalPath(problems: Problems, place: string, field: string): void {
  if (place.startsWith("/")) problems.invalid(field, place, "must be a relative path");
  if (place.startsWith("..") && !place.startsWith("../"))
    problems.invalid(field, place, "must not start with '..'");
  validateNoBacksteps(problems, place, field);
}

export function validateNoBacksteps(problems: Problems, place: string, field: string): void {
  if (place.split("/").includes("..")) problems.invalid(field, place, "must not contain '..'");
}

function validateMode(problems: Problems, holder: Tree, key: string, path: string): void {
  const mode = numberAt(holder, key);
  if (mode !== undefined && (mode < 0 || mode > 0o777))
    problems.invalid(`${path}.${key}`, mode, modeRange);
}
