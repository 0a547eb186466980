import { resources, type ResourceRef } from "@wherry/client";
import { createCatalog, type ResourceCatalog } from "../resource-catalog.ts";

const refs: readonly ResourceRef[] = [
  resources.pods,
  resources.configMaps,
  resources.secrets,
  resources.services,
  resources.serviceAccounts,
  resources.events,
  resources.namespaces,
  resources.nodes,
  resources.deployments,
  resources.replicaSets,
  resources.endpointSlices,
  resources.clusterRoles,
];
const verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/** What the API in memory serves, as discovery would tell it. */
export function testCatalog(failures?: ReadonlyMap<string, string>): ResourceCatalog {
  return createCatalog(
    refs.map((ref) => ({ ...ref, verbs })),
    failures,
  );
}
