import type { KubeObject } from "@wherry/machinery";
import type { AdmissionPlugin } from "../chain.ts";
import type { ObjectStore, ResourceId } from "../object-store.ts";
import { resourceIds } from "../auth/resource-ids.ts";
import { annotationsOf, isResource } from "./pod-draft.ts";

const ingressClasses: ResourceId = { group: "networking.k8s.io", resource: "ingressclasses" };

/** Claims without a storage class get the default one; an empty name ("") means none and stays. */
export function createDefaultStorageClass(store: Pick<ObjectStore, "peekAll">): AdmissionPlugin {
  return {
    name: "DefaultStorageClass",
    mutate(request) {
      if (
        !isResource(request, "", "persistentvolumeclaims") ||
        request.subresource !== "" ||
        request.operation !== "CREATE" ||
        request.draft === undefined
      )
        return;
      request.draft["spec"] ??= {};
      const spec = request.draft["spec"] as { storageClassName?: string };
      if (
        spec.storageClassName !== undefined ||
        annotationsOf(request)["volume.beta.kubernetes.io/storage-class"] !== undefined
      )
        return;
      const chosen = newestDefault(store.peekAll(resourceIds.storageClasses), [
        "storageclass.kubernetes.io/is-default-class",
        "storageclass.beta.kubernetes.io/is-default-class",
      ]);
      if (chosen?.metadata.name !== undefined) spec.storageClassName = chosen.metadata.name;
    },
  };
}

/** Ingresses without a class get the default one; the newest of several. */
export function createDefaultIngressClass(store: Pick<ObjectStore, "peekAll">): AdmissionPlugin {
  return {
    name: "DefaultIngressClass",
    mutate(request) {
      if (
        !isResource(request, "networking.k8s.io", "ingresses") ||
        request.subresource !== "" ||
        request.operation !== "CREATE" ||
        request.draft === undefined
      )
        return;
      request.draft["spec"] ??= {};
      const spec = request.draft["spec"] as { ingressClassName?: string };
      if (
        spec.ingressClassName !== undefined ||
        annotationsOf(request)["kubernetes.io/ingress.class"] !== undefined
      )
        return;
      const chosen = newestDefault(store.peekAll(ingressClasses), [
        "ingressclass.kubernetes.io/is-default-class",
      ]);
      if (chosen?.metadata.name !== undefined) spec.ingressClassName = chosen.metadata.name;
    },
  };
}

/** The youngest of those that are marked as default; by name among equals. */
function newestDefault(
  classes: readonly KubeObject[],
  annotations: readonly string[],
): KubeObject | undefined {
  const marked = classes.filter((one) =>
    annotations.some((annotation) => one.metadata.annotations?.[annotation] === "true"),
  );
  const age = (one: KubeObject): string => one.metadata.creationTimestamp ?? "";
  return marked.toSorted(
    (left, right) =>
      age(right).localeCompare(age(left)) ||
      (left.metadata.name ?? "").localeCompare(right.metadata.name ?? ""),
  )[0];
}
