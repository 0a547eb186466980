import {
  formatTime,
  newBadRequest,
  newConflict,
  newNotFound,
  newUnknownResource,
  withCondition,
  type JsonObject,
  type KubeObject,
  type Pod,
  type Scale,
} from "@wherry/machinery";
import type { Clock } from "@wherry/service-kit";
import type { ResourceRef } from "../api-client.ts";
import type { MemoryStore } from "./memory-store.ts";
import type { MemoryWrites } from "./memory-writes.ts";

/** What a POST to a subresource does: binding, eviction, token. */
export interface MemorySubresources {
  post(
    ref: ResourceRef,
    namespace: string | undefined,
    name: string,
    subresource: string,
    body: KubeObject,
  ): unknown;
  readScale(ref: ResourceRef, namespace: string | undefined, name: string): Scale;
  writeScale(ref: ResourceRef, namespace: string | undefined, name: string, scale: Scale): Scale;
}

export interface MemorySubresourcesDeps {
  readonly store: MemoryStore;
  readonly writes: MemoryWrites;
  readonly clock: Clock;
}

const scalable = new Set(["deployments", "replicasets", "statefulsets", "replicationcontrollers"]);

export function createMemorySubresources({
  store,
  writes,
  clock,
}: MemorySubresourcesDeps): MemorySubresources {
  const need = (ref: ResourceRef, namespace: string | undefined, name: string): KubeObject => {
    const object = store.get(ref, namespace, name);
    if (object === undefined) throw newNotFound(ref, name);
    return object;
  };

  const bind = (
    ref: ResourceRef,
    namespace: string | undefined,
    name: string,
    body: KubeObject,
  ): unknown => {
    const pod = need(ref, namespace, name) as Pod;
    const { target } = body as KubeObject & { readonly target?: { readonly name?: string } };
    const node = target?.name ?? "";
    if (node === "") throw newBadRequest("target.name: Required value");
    const binding = { group: "", resource: "pods/binding" };
    if (pod.metadata.deletionTimestamp !== undefined) {
      throw newConflict(
        binding,
        name,
        `pod ${name} is being deleted, cannot be assigned to a host`,
      );
    }
    if ((pod.spec.nodeName ?? "") !== "") {
      throw newConflict(
        binding,
        name,
        `pod ${name} is already assigned to node ${JSON.stringify(pod.spec.nodeName)}`,
      );
    }
    if ((pod.spec.schedulingGates ?? []).length > 0) {
      throw newConflict(binding, name, `pod ${name} has non-empty .spec.schedulingGates`);
    }
    const scheduled = { type: "PodScheduled", status: "True" };
    const conditions = withCondition(pod.status?.conditions, scheduled, formatTime(clock.now()));
    const bound: Pod = {
      ...pod,
      spec: { ...pod.spec, nodeName: node },
      status: { ...pod.status, conditions },
      metadata: {
        ...pod.metadata,
        ...(body.metadata?.annotations === undefined
          ? {}
          : { annotations: { ...pod.metadata.annotations, ...body.metadata.annotations } }),
      },
    };
    store.put(ref, bound);
    return { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 };
  };

  return {
    post(ref, namespace, name, subresource, body) {
      if (ref.resource === "pods" && subresource === "binding")
        return bind(ref, namespace, name, body);
      if (ref.resource === "pods" && subresource === "eviction") {
        const options = (body as KubeObject & JsonObject)["deleteOptions"];
        writes.delete(ref, need(ref, namespace, name), (options ?? {}) as JsonObject);
        return { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 };
      }
      if (ref.resource === "serviceaccounts" && subresource === "token") {
        need(ref, namespace, name);
        const expirationTimestamp = formatTime(clock.now() + 3_600_000);
        return {
          ...body,
          status: { token: `token-of-${namespace ?? ""}-${name}`, expirationTimestamp },
        };
      }
      throw newUnknownResource();
    },
    readScale(ref, namespace, name) {
      if (!scalable.has(ref.resource)) throw newUnknownResource();
      return scaleOf(need(ref, namespace, name));
    },
    writeScale(ref, namespace, name, scale) {
      if (!scalable.has(ref.resource)) throw newUnknownResource();
      const old = need(ref, namespace, name) as KubeObject & JsonObject;
      const { resourceVersion } = scale.metadata;
      const spec = { ...(old["spec"] as JsonObject), replicas: scale.spec.replicas ?? 0 };
      const next = {
        ...old,
        spec,
        metadata: {
          ...old.metadata,
          ...(resourceVersion === undefined ? {} : { resourceVersion }),
        },
      };
      return scaleOf(writes.update(ref, next, "all", false));
    },
  };
}

function scaleOf(object: KubeObject): Scale {
  const { spec, status } = object as KubeObject & {
    readonly spec?: {
      readonly replicas?: number;
      readonly selector?: { readonly matchLabels?: Readonly<Record<string, string>> };
    };
    readonly status?: { readonly replicas?: number };
  };
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const selector = Object.entries(spec?.selector?.matchLabels ?? {})
    .map(([key, value]) => `${key}=${value}`)
    .sort()
    .join(",");
  return {
    kind: "Scale",
    apiVersion: "autoscaling/v1",
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp } as Scale["metadata"],
    spec: { replicas: spec?.replicas ?? 1 },
    status: { replicas: status?.replicas ?? 0, selector },
  };
}
