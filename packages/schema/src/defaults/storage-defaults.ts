import { ensureTree, setIfUnset, setIfZero, treeAt, type Tree } from "../tree.ts";
import { roundResourceList, roundResources } from "./resource-lists.ts";
import { defaultVolumeSource } from "./volume-sources.ts";

export function defaultPersistentVolume(volume: Tree): void {
  const spec = ensureTree(volume, "spec");
  setIfZero(ensureTree(volume, "status"), "phase", "Pending");
  setIfZero(spec, "persistentVolumeReclaimPolicy", "Retain");
  setIfUnset(spec, "volumeMode", "Filesystem");
  defaultVolumeSource(spec);
  roundResourceList(treeAt(spec, "capacity"));
}

export function defaultPersistentVolumeClaim(claim: Tree): void {
  setIfZero(ensureTree(claim, "status"), "phase", "Pending");
  defaultClaimSpec(ensureTree(claim, "spec"));
}

export function defaultClaimSpec(spec: Tree): void {
  setIfUnset(spec, "volumeMode", "Filesystem");
  mirrorDataSource(spec);
  roundResources(spec);
}

export function defaultStorageClass(storageClass: Tree): void {
  setIfUnset(storageClass, "reclaimPolicy", "Delete");
  setIfUnset(storageClass, "volumeBindingMode", "Immediate");
}

export function defaultCsiDriver(driver: Tree): void {
  const spec = ensureTree(driver, "spec");
  setIfUnset(spec, "attachRequired", true);
  setIfUnset(spec, "podInfoOnMount", false);
  setIfUnset(spec, "storageCapacity", false);
  setIfUnset(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
  if (!Array.isArray(spec["volumeLifecycleModes"]) || spec["volumeLifecycleModes"].length === 0) {
    spec["volumeLifecycleModes"] = ["Persistent"];
  }
  setIfUnset(spec, "requiresRepublish", false);
  setIfUnset(spec, "seLinuxMount", false);
}

/** A claim of a volume or snapshot in the same namespace may be named by either field; both are kept. */
function mirrorDataSource(spec: Tree): void {
  const source = treeAt(spec, "dataSource");
  const reference = treeAt(spec, "dataSourceRef");
  if (source !== undefined && reference === undefined) {
    spec["dataSourceRef"] = { ...source };
  } else if (
    source === undefined &&
    reference !== undefined &&
    reference["namespace"] === undefined
  ) {
    const { apiGroup = null, kind, name } = reference;
    spec["dataSource"] = { apiGroup, kind, name };
  }
}
