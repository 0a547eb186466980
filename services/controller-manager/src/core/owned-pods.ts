import type { Informer } from "@wherry/client";
import { controllerOf, isBeingDeleted, keyOf, labelSelectorFrom, objectKey, type KubeObject, type LabelSelector, type Pod } from "@wherry/machinery";
import type { Expectations } from "./expectations.ts";

export interface OwnedPodsOptions<T extends KubeObject> {
  readonly pods: Informer<Pod>;
  /** Kind of the owners ("ReplicaSet"). */
  readonly kind: string;
  readonly expectations: Expectations;
  readonly enqueue: (key: string) => void;
  /** Possible owners of a pod that has none, and the selector to judge by. */
  readonly owners: (namespace: string | undefined) => readonly T[];
  readonly selectorOf: (owner: T) => LabelSelector | undefined;
}

/** Enqueues the owner of every pod that changes, keeps expectations, and wakes owners that could adopt an orphan. */
export function followOwnedPods<T extends KubeObject>(options: OwnedPodsOptions<T>): void {
  const { expectations, enqueue } = options;
  const ownerKeyOf = (pod: Pod): string | undefined => {
    const owner = controllerOf(pod);
    return owner?.kind === options.kind ? keyOf(pod.metadata.namespace, owner.name) : undefined;
  };
  const react = (pod: Pod): void => {
    const key = ownerKeyOf(pod);
    if (key !== undefined) enqueue(key);
    if (controllerOf(pod) !== undefined) return;
    for (const owner of options.owners(pod.metadata.namespace)) {
      const selector = options.selectorOf(owner);
      if (selector !== undefined && labelSelectorFrom(selector).matches(pod.metadata.labels ?? {})) enqueue(objectKey(owner));
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
    onUpdate(pod) {
      if (isBeingDeleted(pod)) sawDeletion(pod);
      react(pod);
    },
    onDelete(pod) {
      sawDeletion(pod);
      react(pod);
    },
  });
}
