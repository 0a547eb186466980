import type { IndexFunction, Informer } from "@wherry/client";
import {
  controllerOf,
  isBeingDeleted,
  keyOf,
  labelSelectorFrom,
  objectKey,
  type KubeObject,
  type LabelSelector,
  type Pod,
} from "@wherry/machinery";
import type { Expectations } from "./expectations.ts";

/** The index by which an owner finds its pods, and those of its namespace that nobody owns. */
export const podIndexes: Readonly<Record<"controller", IndexFunction<Pod>>> = {
  controller: (pod) => [controllerOf(pod)?.uid ?? orphansOf(pod.metadata.namespace)],
};

function orphansOf(namespace: string | undefined): string {
  return `orphans/${namespace ?? ""}`;
}

/** The pods that `owner` controls. */
export function podsOf(pods: Informer<Pod>, owner: KubeObject): readonly Pod[] {
  return pods.store.byIndex("controller", owner.metadata.uid ?? "");
}

/** The pods that `owner` controls, and those that it could adopt. */
export function podsAround(pods: Informer<Pod>, owner: KubeObject): readonly Pod[] {
  return [
    ...podsOf(pods, owner),
    ...pods.store.byIndex("controller", orphansOf(owner.metadata.namespace)),
  ];
}

export interface OwnedPodsOptions<T extends KubeObject> {
  readonly pods: Informer<Pod>;
  /** Kind of the owners ("ReplicaSet"). */
  readonly kind: string;
  readonly owners: Informer<T>;
  readonly expectations: Expectations;
  readonly enqueue: (key: string) => void;
  /** By which an owner would adopt; undefined if it adopts nothing. */
  readonly selectorOf: (owner: T) => LabelSelector | undefined;
}

/** Enqueues the owner of every pod that changes, keeps expectations, and wakes owners that could adopt an orphan. */
export function followOwnedPods<T extends KubeObject>(options: OwnedPodsOptions<T>): void {
  const { expectations, enqueue, owners } = options;
  const ownerKeyOf = (pod: Pod): string | undefined => {
    const reference = controllerOf(pod);
    if (reference?.kind !== options.kind) return undefined;
    const key = keyOf(pod.metadata.namespace, reference.name);
    // Pods of an earlier owner of the same name are none of the present one's business.
    const owner = owners.store.get(key);
    return owner === undefined || owner.metadata.uid === reference.uid ? key : undefined;
  };
  const react = (pod: Pod): void => {
    const key = ownerKeyOf(pod);
    if (key !== undefined) enqueue(key);
    if (controllerOf(pod) !== undefined) return;
    for (const owner of owners.store.list(pod.metadata.namespace)) {
      const selector = options.selectorOf(owner);
      if (selector !== undefined && labelSelectorFrom(selector).matches(pod.metadata.labels ?? {}))
        enqueue(objectKey(owner));
    }
  };
  const sawDeletion = (pod: Pod): void => {
    const key = ownerKeyOf(pod);
    if (key !== undefined) expectations.sawDeletion(key, pod.metadata.uid ?? "");
  };
  options.pods.subscribe({
    onAdd(pod) {
      const key = ownerKeyOf(pod);
      if (key !== undefined && !isBeingDeleted(pod)) expectations.sawCreation(key);
      react(pod);
    },
    onUpdate(pod, previous) {
      if (isBeingDeleted(pod)) sawDeletion(pod);
      if (controllerOf(previous)?.uid !== controllerOf(pod)?.uid) {
        const lost = ownerKeyOf(previous);
        if (lost !== undefined) enqueue(lost);
      }
      react(pod);
    },
    onDelete(pod) {
      sawDeletion(pod);
      react(pod);
    },
  });
}
