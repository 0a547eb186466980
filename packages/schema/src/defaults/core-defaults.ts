import {
  ensureTree,
  isEmptyTree,
  listAt,
  setIfUnset,
  setIfZero,
  textAt,
  textMapAt,
  treeAt,
  treesAt,
  type Tree,
} from "../tree.ts";
import { roundResourceList } from "./resource-lists.ts";

export function defaultNamespace(namespace: Tree): void {
  const metadata = ensureTree(namespace, "metadata");
  const name = textAt(metadata, "name");
  if (name !== "") ensureTree(metadata, "labels")["kubernetes.io/metadata.name"] = name;
  setIfZero(ensureTree(namespace, "status"), "phase", "Active");
}

export function defaultNode(node: Tree): void {
  const spec = ensureTree(node, "spec");
  const ranges = listAt(spec, "podCIDRs");
  const range = textAt(spec, "podCIDR");
  if (range !== "" && ranges.length === 0) spec["podCIDRs"] = [range];
  else if (range === "" && ranges.length > 0) spec["podCIDR"] = ranges[0];
  const status = treeAt(node, "status");
  const capacity = treeAt(status, "capacity");
  if (status !== undefined && capacity !== undefined && isEmptyTree(status["allocatable"])) {
    status["allocatable"] = { ...capacity };
  }
  roundResourceList(capacity);
  roundResourceList(treeAt(status, "allocatable"));
}

/** stringData is written into data and not kept. */
export function defaultSecret(secret: Tree): void {
  setIfZero(secret, "type", "Opaque");
  const strings = textMapAt(secret, "stringData");
  const keys = Object.keys(strings);
  if (keys.length > 0) {
    const data = ensureTree(secret, "data");
    for (const key of keys) data[key] = Buffer.from(strings[key] ?? "").toString("base64");
  }
  delete secret["stringData"];
}

export function defaultLimitRange(limitRange: Tree): void {
  for (const item of treesAt(limitRange, "spec", "limits")) {
    if (item["type"] === "Container") {
      const limits = ensureTree(item, "default");
      const requests = ensureTree(item, "defaultRequest");
      copyMissing(treeAt(item, "max"), limits);
      copyMissing(limits, requests);
      copyMissing(treeAt(item, "min"), requests);
      for (const name of ["default", "defaultRequest"])
        if (isEmptyTree(item[name])) delete item[name];
    }
    for (const name of ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"]) {
      roundResourceList(treeAt(item, name));
    }
  }
}

export function defaultResourceQuota(quota: Tree): void {
  roundResourceList(treeAt(quota, "spec", "hard"));
  roundResourceList(treeAt(quota, "status", "hard"));
  roundResourceList(treeAt(quota, "status", "used"));
}

function copyMissing(from: Tree | undefined, to: Tree): void {
  for (const [name, value] of Object.entries(from ?? {})) setIfUnset(to, name, value);
}
