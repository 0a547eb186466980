import { resources } from "@wherry/client";
import { formatTime, isBeingDeleted, isNotFound, labelSelectorFrom, objectKey, withCondition, type Pod, type ReplicaSet, type ReplicaSetStatus } from "@wherry/machinery";
import { createReconciler, onAnyChange, type Controller, type ControllerContext } from "./controller.ts";
import { createExpectations } from "./expectations.ts";
import { followOwnedPods } from "./owned-pods.ts";
import { byExpendability, claimPods, createPodControl, isActive, isAvailable, isReady, slowStart } from "./pod-control.ts";

const TYPE = { apiVersion: "apps/v1", kind: "ReplicaSet" };
/** Pods made or removed in one go (upstream's burst). */
const BURST = 500;

export interface ReplicaPlan {
  readonly create: number;
  readonly remove: readonly Pod[];
}

/** Pure: how to come from these active pods to `replicas`. */
export function planReplicas(replicas: number, active: readonly Pod[]): ReplicaPlan {
  const missing = replicas - active.length;
  if (missing >= 0) return { create: Math.min(missing, BURST), remove: [] };
  return { create: 0, remove: [...active].sort(byExpendability).slice(0, Math.min(-missing, BURST)) };
}

/** Pure: the status that these pods make. */
export function replicaSetStatus(set: ReplicaSet, owned: readonly Pod[], nowMs: number, failure: Error | undefined): ReplicaSetStatus {
  const active = owned.filter(isActive);
  const templateLabels = labelSelectorFrom({ matchLabels: set.spec.template?.metadata?.labels ?? {} });
  const terminating = owned.filter((pod) => isBeingDeleted(pod)).length;
  const conditions =
    failure === undefined
      ? (set.status?.conditions ?? []).filter((one) => one.type !== "ReplicaFailure")
      : withCondition(set.status?.conditions, { type: "ReplicaFailure", status: "True", reason: "FailedCreate", message: failure.message }, formatTime(nowMs));
  return {
    replicas: active.length,
    fullyLabeledReplicas: active.filter((pod) => templateLabels.matches(pod.metadata.labels ?? {})).length,
    readyReplicas: active.filter(isReady).length,
    availableReplicas: active.filter((pod) => isAvailable(pod, set.spec.minReadySeconds ?? 0, nowMs)).length,
    terminatingReplicas: terminating,
    observedGeneration: set.metadata.generation ?? 0,
    ...(conditions.length === 0 ? {} : { conditions }),
  };
}

export function createReplicaSetController(context: ControllerContext): Controller {
  const { api, informers, clock } = context;
  const expectations = createExpectations(clock);
  const podControl = createPodControl(context, expectations);
  const sets = informers.informer<ReplicaSet>(resources.replicaSets);
  const pods = informers.informer<Pod>(resources.pods, { indexes: { namespace: (pod) => [pod.metadata.namespace ?? ""] } });

  const reconciler = createReconciler({
    name: "replicaset",
    context,
    async reconcile(key) {
      const set = sets.store.get(key);
      if (set === undefined) {
        expectations.forget(key);
        return;
      }
      const { owned, adoptable, released } = claimPods(set, set.spec.selector, pods.store.byIndex("namespace", set.metadata.namespace ?? ""));
      for (const pod of adoptable) await podControl.adopt(set, TYPE, pod);
      for (const pod of released) await podControl.release(set, pod).catch(ignoreGone);
      const all = [...owned, ...adoptable];
      let failure: Error | undefined;
      if (expectations.satisfied(key) && !isBeingDeleted(set)) failure = await manage(set, all.filter(isActive));
      await writeStatus(set, replicaSetStatus(set, all, clock.now(), failure));
      if (failure !== undefined) throw failure;
      const nextMs = nextAvailabilityMs(set, all);
      if (nextMs !== undefined) return { requeueAfterMs: nextMs };
      return undefined;
    },
  });

  const manage = async (set: ReplicaSet, active: readonly Pod[]): Promise<Error | undefined> => {
    const plan = planReplicas(set.spec.replicas ?? 1, active);
    try {
      const { template } = set.spec;
      if (template !== undefined) await slowStart(plan.create, () => podControl.create(set, TYPE, template));
      await Promise.all(plan.remove.map((pod) => podControl.delete(set, TYPE, pod)));
      return undefined;
    } catch (error) {
      return error as Error;
    }
  };

  const writeStatus = async (set: ReplicaSet, status: ReplicaSetStatus): Promise<void> => {
    if (JSON.stringify(sorted(status)) === JSON.stringify(sorted(set.status))) return;
    await api.update(resources.replicaSets, { ...set, status }, { subresource: "status" });
  };

  const nextAvailabilityMs = (set: ReplicaSet, owned: readonly Pod[]): number | undefined => {
    const wait = set.spec.minReadySeconds ?? 0;
    const waiting = owned.some((pod) => isActive(pod) && isReady(pod) && !isAvailable(pod, wait, clock.now()));
    return wait > 0 && waiting ? wait * 1_000 : undefined;
  };

  sets.subscribe(onAnyChange((set) => reconciler.enqueue(objectKey(set))));
  followOwnedPods({ pods, kind: TYPE.kind, expectations, enqueue: reconciler.enqueue, owners: (namespace) => sets.store.list(namespace), selectorOf: (set) => set.spec.selector });
  return reconciler;
}

/** Keys in one order, so that equal statuses compare equal. */
export function sorted(value: object | undefined): unknown {
  return value === undefined ? {} : Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}

export function ignoreGone(error: unknown): void {
  if (!isNotFound(error)) throw error;
}

