import { resources } from "@wherry/client";
import {
  formatTime,
  isBeingDeleted,
  isNotFound,
  labelSelectorFrom,
  objectKey,
  withCondition,
  type KubeObject,
  type LabelSelector,
  type Pod,
  type PodTemplateSpec,
  type ReplicaSet,
  type ReplicaSetStatus,
} from "@wherry/machinery";
import {
  createReconciler,
  onAnyChange,
  soonest,
  type Controller,
  type ControllerContext,
} from "./controller.ts";
import { createExpectations, GIVE_UP_MS } from "./expectations.ts";
import { followOwnedPods, podIndexes, podsAround } from "./owned-pods.ts";
import {
  claimPods,
  createPodControl,
  isActive,
  isAvailable,
  isReady,
  mostExpendableFirst,
  slowStart,
  untilAvailableMs,
  type PodOwner,
} from "./pod-control.ts";

/** Pods made or removed in one go (upstream's burst). */
const BURST = 500;

/** What ReplicaSet and ReplicationController have in common. */
export interface ReplicaOwner extends KubeObject {
  readonly spec: {
    readonly replicas?: number;
    readonly minReadySeconds?: number;
    readonly template?: PodTemplateSpec;
  };
  readonly status?: ReplicaSetStatus;
}

export interface ReplicaKind<T extends ReplicaOwner> {
  readonly name: string;
  readonly type: PodOwner;
  readonly selectorOf: (owner: T) => LabelSelector;
  /** Says how many pods are going away too, which replication controllers have no field for. */
  readonly countsTerminating: boolean;
}

export interface ReplicaPlan {
  readonly create: number;
  readonly remove: readonly Pod[];
}

/** Pure: how to come from these active pods to `replicas`. */
export function planReplicas(replicas: number, active: readonly Pod[]): ReplicaPlan {
  const missing = replicas - active.length;
  if (missing >= 0) return { create: Math.min(missing, BURST), remove: [] };
  return { create: 0, remove: mostExpendableFirst(active).slice(0, Math.min(-missing, BURST)) };
}

export interface ReplicaFailure {
  readonly reason: "FailedCreate" | "FailedDelete";
  readonly error: Error;
}

/** Pure: the status that these pods make. A failure of undefined clears the condition; "unknown" keeps it, when nothing was tried. */
export function replicaSetStatus(
  set: ReplicaOwner,
  owned: readonly Pod[],
  nowMs: number,
  failure: ReplicaFailure | "unknown" | undefined,
): ReplicaSetStatus {
  const active = owned.filter(isActive);
  const templateLabels = labelSelectorFrom({
    matchLabels: set.spec.template?.metadata?.labels ?? {},
  });
  const old = set.status?.conditions ?? [];
  let conditions = old;
  if (failure === undefined) conditions = old.filter((one) => one.type !== "ReplicaFailure");
  else if (failure !== "unknown" && !old.some((one) => one.type === "ReplicaFailure"))
    conditions = withCondition(
      old,
      {
        type: "ReplicaFailure",
        status: "True",
        reason: failure.reason,
        message: failure.error.message,
      },
      formatTime(nowMs),
    );
  return {
    replicas: active.length,
    fullyLabeledReplicas: active.filter((pod) => templateLabels.matches(pod.metadata.labels ?? {}))
      .length,
    readyReplicas: active.filter(isReady).length,
    availableReplicas: active.filter((pod) =>
      isAvailable(pod, set.spec.minReadySeconds ?? 0, nowMs),
    ).length,
    terminatingReplicas: owned.filter(isBeingDeleted).length,
    observedGeneration: set.metadata.generation ?? 0,
    ...(conditions.length === 0 ? {} : { conditions }),
  };
}

export function createReplicaSetController(context: ControllerContext): Controller {
  return createReplicaController<ReplicaSet>(context, {
    name: "replicaset",
    type: { apiVersion: "apps/v1", kind: "ReplicaSet", ref: resources.replicaSets },
    selectorOf: (set) => set.spec.selector,
    countsTerminating: true,
  });
}

/** Keeps as many pods as are asked for. */
export function createReplicaController<T extends ReplicaOwner>(
  context: ControllerContext,
  kind: ReplicaKind<T>,
): Controller {
  const { api, informers, clock } = context;
  const { type } = kind;
  const expectations = createExpectations(clock);
  const podControl = createPodControl(context, expectations);
  const sets = informers.informer<T>(type.ref);
  const pods = informers.informer<Pod>(resources.pods, { indexes: podIndexes });

  const reconciler = createReconciler({
    name: kind.name,
    context,
    async reconcile(key) {
      const set = sets.store.get(key);
      if (set === undefined) {
        expectations.forget(key);
        return undefined;
      }
      const isCurrent = expectations.satisfied(key);
      const { owned, adoptable, released } = claimPods(
        set,
        kind.selectorOf(set),
        podsAround(pods, set),
      );
      for (const pod of adoptable) await podControl.adopt(set, type, pod);
      for (const pod of released) await podControl.release(set, pod).catch(ignoreGone);
      const all = [...owned, ...adoptable];
      const mayManage = isCurrent && !isBeingDeleted(set);
      const failure = mayManage ? await manage(set, all.filter(isActive)) : "unknown";
      const status = replicaSetStatus(set, all, clock.now(), failure);
      const { terminatingReplicas: _terminating, ...withoutTerminating } = status;
      await writeStatus(set, kind.countsTerminating ? status : withoutTerminating);
      if (failure !== undefined && failure !== "unknown") throw failure.error;
      return soonest(
        isCurrent ? undefined : GIVE_UP_MS,
        untilAvailableMs(all, set.spec.minReadySeconds ?? 0, clock.now()),
      );
    },
  });

  const manage = async (set: T, active: readonly Pod[]): Promise<ReplicaFailure | undefined> => {
    const plan = planReplicas(set.spec.replicas ?? 1, active);
    const { template } = set.spec;
    try {
      if (template !== undefined)
        await slowStart(plan.create, () => podControl.create(set, type, template));
      await allDone(plan.remove.map((pod) => podControl.delete(set, type, pod)));
      return undefined;
    } catch (error) {
      return { reason: plan.create > 0 ? "FailedCreate" : "FailedDelete", error: error as Error };
    }
  };

  const writeStatus = async (set: T, status: ReplicaSetStatus): Promise<void> => {
    if (JSON.stringify(sorted(status)) === JSON.stringify(sorted(set.status))) return;
    await api.update<T>(type.ref, { ...set, status }, { subresource: "status" });
  };

  sets.subscribe(onAnyChange((set) => reconciler.enqueue(objectKey(set))));
  followOwnedPods({
    pods,
    kind: type.kind,
    owners: sets,
    expectations,
    enqueue: reconciler.enqueue,
    selectorOf: kind.selectorOf,
  });
  return reconciler;
}

/** Waits for all of them, then rejects with the first failure; nothing is left running behind the caller's back. */
export async function allDone(work: readonly Promise<unknown>[]): Promise<void> {
  const results = await Promise.allSettled(work);
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}

/** Keys in one order, so that equal statuses compare equal. */
export function sorted(value: object | undefined): unknown {
  return value === undefined
    ? {}
    : Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}

export function ignoreGone(error: unknown): void {
  if (!isNotFound(error)) throw error;
}
