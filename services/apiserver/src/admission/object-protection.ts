import type { AdmissionPlugin, AdmissionRequest } from "../chain.ts";
import { isResource } from "./pod-draft.ts";

const notReady = { key: "node.kubernetes.io/not-ready", effect: "NoSchedule" } as const;

/** A new node takes no pods until the controller has seen it ready, so that none lands on it in between. */
export const taintNodesByCondition: AdmissionPlugin = {
  name: "TaintNodesByCondition",
  mutate(request) {
    if (
      !isResource(request, "", "nodes") ||
      request.subresource !== "" ||
      request.operation !== "CREATE" ||
      request.draft === undefined
    )
      return;
    request.draft["spec"] ??= {};
    const spec = request.draft["spec"] as { taints?: { key?: string; effect?: string }[] };
    if (
      spec.taints?.some((taint) => taint.key === notReady.key && taint.effect === notReady.effect)
    )
      return;
    spec.taints = [...(spec.taints ?? []), { ...notReady }];
  },
};

/** Volumes, claims and classes that are in use stay until their users are gone: a controller takes the finalizer off. */
export const storageObjectInUseProtection: AdmissionPlugin = {
  name: "StorageObjectInUseProtection",
  mutate(request) {
    if (request.operation !== "CREATE" || request.subresource !== "" || request.draft === undefined)
      return;
    const finalizer = finalizerFor(request);
    if (finalizer === undefined) return;
    const metadata = request.draft.metadata as { finalizers?: string[] };
    if (!metadata.finalizers?.includes(finalizer))
      metadata.finalizers = [...(metadata.finalizers ?? []), finalizer];
  },
};

function finalizerFor(request: AdmissionRequest): string | undefined {
  if (isResource(request, "", "persistentvolumes")) return "kubernetes.io/pv-protection";
  if (isResource(request, "", "persistentvolumeclaims")) return "kubernetes.io/pvc-protection";
  if (isResource(request, "storage.k8s.io", "volumeattributesclasses"))
    return "kubernetes.io/vac-protection";
  return undefined;
}
