import type { Json, JsonObject, KubeObject } from "@wherry/machinery";
import type { ResourceRef } from "../api-client.ts";

/** Resources whose `status` is written by the status subresource only. */
const withStatus = new Set([
  "pods",
  "nodes",
  "namespaces",
  "services",
  "persistentvolumes",
  "persistentvolumeclaims",
  "replicationcontrollers",
  "resourcequotas",
  "deployments",
  "replicasets",
  "daemonsets",
  "statefulsets",
  "jobs",
  "cronjobs",
  "horizontalpodautoscalers",
  "poddisruptionbudgets",
  "ingresses",
  "certificatesigningrequests",
  "volumeattachments",
  "customresourcedefinitions",
  "apiservices",
]);

/** Resources whose generation counts changes of the spec. */
const withGeneration = new Set([
  "deployments",
  "replicasets",
  "daemonsets",
  "statefulsets",
  "replicationcontrollers",
  "jobs",
  "cronjobs",
  "pods",
  "poddisruptionbudgets",
  "ingresses",
  "networkpolicies",
  "endpointslices",
  "customresourcedefinitions",
]);

const selectable: Readonly<Record<string, readonly string[]>> = {
  pods: [
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.nominatedNodeName",
  ],
  nodes: ["spec.unschedulable"],
  namespaces: ["status.phase"],
  secrets: ["type"],
  services: ["spec.clusterIP", "spec.type"],
  events: [
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
  ],
  replicationcontrollers: ["status.replicas"],
  jobs: ["status.successful"],
  certificatesigningrequests: ["spec.signerName"],
};

export function hasStatus(ref: ResourceRef): boolean {
  return withStatus.has(ref.resource);
}

export function hasGeneration(ref: ResourceRef): boolean {
  return withGeneration.has(ref.resource);
}

export function selectableFields(ref: ResourceRef): readonly string[] {
  const own =
    ref.group === "" || ref.group === "batch" || ref.group === "certificates.k8s.io"
      ? selectable[ref.resource]
      : [];
  return ["metadata.name", ...(ref.namespaced ? ["metadata.namespace"] : []), ...(own ?? [])];
}

export function fieldValues(
  ref: ResourceRef,
  object: KubeObject,
): Readonly<Record<string, string>> {
  return Object.fromEntries(selectableFields(ref).map((path) => [path, fieldValue(object, path)]));
}

function fieldValue(object: KubeObject, path: string): string {
  let value: Json | undefined = object as unknown as JsonObject;
  for (const part of path.split(".")) {
    value =
      typeof value === "object" && value !== null && !Array.isArray(value)
        ? (value as JsonObject)[part]
        : undefined;
  }
  if (value === undefined || value === null)
    return path === "spec.unschedulable" || path === "spec.hostNetwork" ? "false" : "";
  return typeof value === "string" ? value : JSON.stringify(value);
}
