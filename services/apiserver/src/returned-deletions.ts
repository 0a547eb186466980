import type { ResourceDefinition } from "@wherry/schema";

/** Kinds whose DELETE answers the deleted object where others answer a Status (the response types of upstream's OpenAPI document, v1.36). */
const resources = new Set([
  "/namespaces",
  "/persistentvolumeclaims",
  "/persistentvolumes",
  "/pods",
  "/podtemplates",
  "/resourcequotas",
  "/serviceaccounts",
  "/services",
  "resource.k8s.io/deviceclasses",
  "resource.k8s.io/resourceclaims",
  "resource.k8s.io/resourceclaimtemplates",
  "resource.k8s.io/resourceslices",
  "storage.k8s.io/csidrivers",
  "storage.k8s.io/csinodes",
  "storage.k8s.io/storageclasses",
  "storage.k8s.io/volumeattachments",
  "storage.k8s.io/volumeattributesclasses",
]);

export function returnsDeletedObject({ group, resource }: ResourceDefinition): boolean {
  return resources.has(`${group}/${resource}`);
}
