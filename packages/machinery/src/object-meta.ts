import type { KubeObject, ObjectMeta, OwnerReference } from "./meta.ts";

/** What the conditions of all types have in common. */
export interface ConditionLike {
  readonly type: string;
  readonly status: string;
  readonly lastTransitionTime?: string | null;
}

/** `namespace/name`, or `name` for a cluster-scoped object: the key of stores and work queues. */
export function objectKey(object: KubeObject): string {
  return keyOf(object.metadata.namespace, object.metadata.name ?? "");
}

export function keyOf(namespace: string | undefined, name: string): string {
  return namespace === undefined || namespace === "" ? name : `${namespace}/${name}`;
}

/** The reverse of `keyOf`; the namespace is "" for a cluster-scoped object. */
export function splitKey(key: string): { readonly namespace: string; readonly name: string } {
  const slash = key.indexOf("/");
  if (slash < 0) return { namespace: "", name: key };
  return { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

/** The owner reference that is marked as controller. */
export function controllerOf(object: KubeObject): OwnerReference | undefined {
  return object.metadata.ownerReferences?.find((owner) => owner.controller === true);
}

export function isControlledBy(object: KubeObject, owner: KubeObject): boolean {
  const reference = controllerOf(object);
  return reference !== undefined && reference.uid === owner.metadata.uid;
}

/** The reference that makes `owner` the controller of what carries it. */
export function controllerReference(
  owner: KubeObject,
  type: { readonly apiVersion: string; readonly kind: string },
): OwnerReference {
  return {
    apiVersion: type.apiVersion,
    kind: type.kind,
    name: owner.metadata.name ?? "",
    uid: owner.metadata.uid ?? "",
    controller: true,
    blockOwnerDeletion: true,
  };
}

export function isBeingDeleted(object: KubeObject): boolean {
  return object.metadata.deletionTimestamp !== undefined;
}

export function hasFinalizer(object: KubeObject, finalizer: string): boolean {
  return object.metadata.finalizers?.includes(finalizer) === true;
}

export function withFinalizer(metadata: ObjectMeta, finalizer: string): ObjectMeta {
  const present = metadata.finalizers ?? [];
  return present.includes(finalizer)
    ? metadata
    : { ...metadata, finalizers: [...present, finalizer] };
}

export function withoutFinalizer(metadata: ObjectMeta, finalizer: string): ObjectMeta {
  const rest = (metadata.finalizers ?? []).filter((one) => one !== finalizer);
  return { ...metadata, finalizers: rest };
}

/** `patch` over the labels; a value of null removes the label. */
export function withLabels(
  metadata: ObjectMeta,
  patch: Readonly<Record<string, string | null>>,
): ObjectMeta {
  return { ...metadata, labels: overlay(metadata.labels, patch) };
}

export function withAnnotations(
  metadata: ObjectMeta,
  patch: Readonly<Record<string, string | null>>,
): ObjectMeta {
  return { ...metadata, annotations: overlay(metadata.annotations, patch) };
}

export function findCondition<T extends { readonly type: string }>(
  conditions: readonly T[] | undefined,
  type: string,
): T | undefined {
  return conditions?.find((condition) => condition.type === type);
}

/**
 * The conditions with `next` in them. lastTransitionTime moves only when the status changes; `now` is an RFC 3339 time. An
 * unchanged condition gives back the same array, so that callers can skip a write.
 */
export function withCondition<T extends ConditionLike>(
  conditions: readonly T[] | undefined,
  next: T,
  now: string,
): readonly T[] {
  const present = conditions ?? [];
  const index = present.findIndex((condition) => condition.type === next.type);
  const old = present[index];
  if (old === undefined)
    return [...present, { ...next, lastTransitionTime: next.lastTransitionTime ?? now }];
  const lastTransitionTime = old.status === next.status ? (old.lastTransitionTime ?? now) : now;
  const merged = { ...old, ...next, lastTransitionTime };
  const same = JSON.stringify(merged) === JSON.stringify(old);
  return same ? present : present.with(index, merged);
}

function overlay(
  base: Readonly<Record<string, string>> | undefined,
  patch: Readonly<Record<string, string | null>>,
): Readonly<Record<string, string>> {
  const merged = new Map(Object.entries(base ?? {}));
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) merged.delete(key);
    else merged.set(key, value);
  }
  return Object.fromEntries(merged);
}
