import { resources } from "@wherry/client";
import {
  findUntoleratedTaint,
  isBeingDeleted,
  matchesNodeSelection,
  objectKey,
  parseTime,
  scaleIntOrPercent,
  type ControllerRevision,
  type DaemonSet,
  type DaemonSetStatus,
  type Node,
  type Pod,
  type Toleration,
} from "@wherry/machinery";
import {
  createReconciler,
  onAnyChange,
  soonest,
  withType,
  type Controller,
  type ControllerContext,
} from "./controller.ts";
import { createExpectations, GIVE_UP_MS } from "./expectations.ts";
import { followOwnedPods, podIndexes, podsAround } from "./owned-pods.ts";
import {
  claimPods,
  createPodControl,
  isAvailable,
  isEnded,
  isReady,
  slowStart,
  untilAvailableMs,
} from "./pod-control.ts";
import { allDone, ignoreGone, sorted } from "./replica-set.ts";
import { createRetryDelays } from "./retry-delays.ts";
import { createRevisions, REVISION_LABEL, type CurrentRevision } from "./revisions.ts";

const TYPE = { apiVersion: "apps/v1", kind: "DaemonSet", ref: resources.daemonSets };

/** Daemons stay on nodes in trouble (upstream's AddOrUpdateDaemonPodTolerations). */
const DAEMON_TOLERATIONS: readonly Toleration[] = [
  { key: "node.kubernetes.io/not-ready", operator: "Exists", effect: "NoExecute" },
  { key: "node.kubernetes.io/unreachable", operator: "Exists", effect: "NoExecute" },
  { key: "node.kubernetes.io/disk-pressure", operator: "Exists", effect: "NoSchedule" },
  { key: "node.kubernetes.io/memory-pressure", operator: "Exists", effect: "NoSchedule" },
  { key: "node.kubernetes.io/pid-pressure", operator: "Exists", effect: "NoSchedule" },
  { key: "node.kubernetes.io/unschedulable", operator: "Exists", effect: "NoSchedule" },
];
const HOST_NETWORK_TOLERATION: Toleration = {
  key: "node.kubernetes.io/network-unavailable",
  operator: "Exists",
  effect: "NoSchedule",
};

export interface DaemonPlan {
  /** Names of nodes that need a pod. */
  readonly create: readonly string[];
  readonly remove: readonly Pod[];
  /** Pods that have ended and must make way for another; in `remove` they are not. */
  readonly ended: readonly Pod[];
}

export function daemonTolerations(set: DaemonSet): readonly Toleration[] {
  const { tolerations = [], hostNetwork } = set.spec.template.spec;
  return [
    ...tolerations,
    ...DAEMON_TOLERATIONS,
    ...(hostNetwork === true ? [HOST_NETWORK_TOLERATION] : []),
  ];
}

/** Pure: whether a pod is to be started on the node, and whether a running one may stay. */
export function daemonOnNode(
  set: DaemonSet,
  node: Node,
): { readonly shouldRun: boolean; readonly mayStay: boolean } {
  const template = set.spec.template;
  const { nodeName = "" } = template.spec;
  if (nodeName !== "" && nodeName !== node.metadata.name)
    return { shouldRun: false, mayStay: false };
  if (!matchesNodeSelection({ spec: template.spec }, node))
    return { shouldRun: false, mayStay: false };
  const tolerations = daemonTolerations(set);
  const taints = node.spec.taints ?? [];
  if (findUntoleratedTaint(taints, tolerations, ["NoExecute"]) !== undefined)
    return { shouldRun: false, mayStay: false };
  return {
    shouldRun: findUntoleratedTaint(taints, tolerations, ["NoSchedule"]) === undefined,
    mayStay: true,
  };
}

/** The node a daemon pod is meant for, bound or not: its required affinity pins it. */
export function targetNodeOf(pod: Pod): string {
  if ((pod.spec.nodeName ?? "") !== "") return pod.spec.nodeName ?? "";
  const terms =
    pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution
      ?.nodeSelectorTerms ?? [];
  return terms[0]?.matchFields?.find((one) => one.key === "metadata.name")?.values?.[0] ?? "";
}

/** Pure: one pod on each node that should have one, none elsewhere, ended ones replaced, old ones replaced within maxUnavailable or maxSurge. */
export function planDaemons(
  set: DaemonSet,
  nodes: readonly Node[],
  pods: readonly Pod[],
  hash: string,
  nowMs: number,
): DaemonPlan {
  const create: string[] = [];
  const remove: Pod[] = [];
  const ended: Pod[] = [];
  const pairs: Pair[] = [];
  let unavailable = 0;
  let desired = 0;
  const isUp = (pod: Pod): boolean => isAvailable(pod, set.spec.minReadySeconds ?? 0, nowMs);
  const isNew = (pod: Pod): boolean => pod.metadata.labels?.[REVISION_LABEL] === hash;
  const isUpdating = set.spec.updateStrategy?.type !== "OnDelete";
  const rolling = set.spec.updateStrategy?.rollingUpdate;
  const byNode = Map.groupBy(pods, targetNodeOf);
  const counted = nodes.map((node) => ({
    node,
    name: node.metadata.name ?? "",
    ...daemonOnNode(set, node),
  }));
  const total = counted.filter((one) => one.shouldRun).length;
  const maxSurge = isUpdating ? scaleIntOrPercent(rolling?.maxSurge ?? 0, total, "up") : 0;
  const scaled = scaleIntOrPercent(rolling?.maxUnavailable ?? 1, total, "up");
  const maxUnavailable = maxSurge === 0 ? Math.max(1, scaled) : scaled;

  for (const { name, shouldRun, mayStay } of counted) {
    const here = byNode.get(name) ?? [];
    byNode.delete(name);
    if (shouldRun) desired += 1;
    if (!mayStay) {
      remove.push(...here.filter((pod) => !isBeingDeleted(pod)));
      continue;
    }
    ended.push(...here.filter((pod) => isEnded(pod) && !isBeingDeleted(pod)));
    const running = here
      .filter((pod) => !isEnded(pod) && !isBeingDeleted(pod))
      .sort(byBindingAndAge);
    const kept =
      maxSurge > 0
        ? [running.find(isNew), running.find((pod) => !isNew(pod))].filter(
            (pod) => pod !== undefined,
          )
        : running.slice(0, 1);
    remove.push(...running.filter((pod) => !kept.includes(pod)));
    const fresh = kept.find(isNew);
    const old = kept.find((pod) => !isNew(pod));
    if (kept.length === 0) {
      if (shouldRun) unavailable += 1;
      // A pod that is going, or has ended, is waited for, so that two never run side by side.
      if (shouldRun && here.length === 0) create.push(name);
      continue;
    }
    if (!kept.some(isUp)) unavailable += 1;
    if (old !== undefined) pairs.push({ node: name, old, fresh, mayStart: shouldRun });
  }
  // Pods for nodes that are gone.
  for (const stray of byNode.values()) remove.push(...stray.filter((pod) => !isBeingDeleted(pod)));
  if (!isUpdating) return { create, remove, ended };
  if (maxSurge > 0) {
    let surging = pairs.filter(
      ({ old, fresh }) => fresh !== undefined && isUp(old) && !isUp(fresh),
    ).length;
    for (const { node, old, fresh, mayStart } of pairs) {
      if (fresh !== undefined) {
        if (!isUp(old) || isUp(fresh)) remove.push(old);
      } else if (mayStart && (!isUp(old) || surging < maxSurge)) {
        if (isUp(old)) surging += 1;
        create.push(node);
      }
    }
    return { create, remove, ended };
  }
  for (const { old } of pairs) {
    if (isUp(old) && unavailable >= Math.min(maxUnavailable, Math.max(desired, 1))) continue;
    if (isUp(old)) unavailable += 1;
    remove.push(old);
  }
  return { create, remove, ended };
}

/** What a node has of the old revision, and of the new one. */
interface Pair {
  readonly node: string;
  readonly old: Pod;
  readonly fresh: Pod | undefined;
  readonly mayStart: boolean;
}

function byBindingAndAge(a: Pod, b: Pod): number {
  return (
    Number((b.spec.nodeName ?? "") !== "") - Number((a.spec.nodeName ?? "") !== "") ||
    createdMs(a) - createdMs(b)
  );
}

function createdMs(pod: Pod): number {
  return parseTime(pod.metadata.creationTimestamp ?? "1970-01-01T00:00:00Z");
}

/** Pure. */
export function daemonStatus(
  set: DaemonSet,
  nodes: readonly Node[],
  pods: readonly Pod[],
  hash: string,
  nowMs: number,
): DaemonSetStatus {
  const byNode = Map.groupBy(
    pods.filter((pod) => !isEnded(pod) && !isBeingDeleted(pod)),
    targetNodeOf,
  );
  let [desired, current, misscheduled, ready, available, updated] = [0, 0, 0, 0, 0, 0];
  for (const node of nodes) {
    const [pod] = (byNode.get(node.metadata.name ?? "") ?? []).sort(byBindingAndAge);
    const { shouldRun } = daemonOnNode(set, node);
    if (!shouldRun) {
      if (pod !== undefined) misscheduled += 1;
      continue;
    }
    desired += 1;
    if (pod === undefined) continue;
    current += 1;
    if (isReady(pod)) ready += 1;
    if (isAvailable(pod, set.spec.minReadySeconds ?? 0, nowMs)) available += 1;
    if (pod.metadata.labels?.[REVISION_LABEL] === hash) updated += 1;
  }
  return {
    currentNumberScheduled: current,
    desiredNumberScheduled: desired,
    numberMisscheduled: misscheduled,
    numberReady: ready,
    updatedNumberScheduled: updated,
    numberAvailable: available,
    numberUnavailable: desired - available,
    observedGeneration: set.metadata.generation ?? 0,
    ...(set.status?.collisionCount === undefined
      ? {}
      : { collisionCount: set.status.collisionCount }),
    ...(set.status?.conditions === undefined ? {} : { conditions: set.status.conditions }),
  };
}

/** A pod that ends as soon as it starts (a node that refuses it) is replaced ever more slowly. */
const RETRY_FIRST_MS = 1_000;
const RETRY_LONGEST_MS = 900_000;
/** Pods made in one go (upstream's burst). */
const BURST = 250;

export function createDaemonSetController(context: ControllerContext): Controller {
  const { api, informers, clock, events } = context;
  const expectations = createExpectations(clock);
  const podControl = createPodControl(context, expectations);
  const retries = createRetryDelays({
    clock,
    firstMs: RETRY_FIRST_MS,
    longestMs: RETRY_LONGEST_MS,
  });
  const sets = informers.informer<DaemonSet>(resources.daemonSets);
  const nodes = informers.informer<Node>(resources.nodes);
  const pods = informers.informer<Pod>(resources.pods, { indexes: podIndexes });
  const revisions = createRevisions(
    api,
    informers.informer<ControllerRevision>(resources.controllerRevisions),
    TYPE,
  );

  const reconciler = createReconciler({
    name: "daemonset",
    context,
    async reconcile(key) {
      const set = sets.store.get(key);
      if (set === undefined) {
        expectations.forget(key);
        return undefined;
      }
      if (isBeingDeleted(set)) return undefined;
      const isCurrent = expectations.satisfied(key);
      const { owned, adoptable, released } = claimPods(
        set,
        set.spec.selector,
        podsAround(pods, set),
      );
      for (const pod of adoptable) await podControl.adopt(set, TYPE, pod);
      for (const pod of released) await podControl.release(set, pod).catch(ignoreGone);
      const all = [...owned, ...adoptable];
      const revision = await revisions.ensure(set);
      if (revision === undefined) return await raiseCollisionCount(set);
      let waitMs: number | undefined = isCurrent ? undefined : GIVE_UP_MS;
      if (isCurrent)
        waitMs = await manage(
          set,
          planDaemons(set, nodes.store.list(), all, revision.hash, clock.now()),
          revision,
        );
      const status = daemonStatus(set, nodes.store.list(), all, revision.hash, clock.now());
      if (JSON.stringify(sorted(status)) !== JSON.stringify(sorted(set.status)))
        await api.update(resources.daemonSets, { ...set, status }, { subresource: "status" });
      await revisions.prune(
        set,
        new Set([revision.hash, ...all.map((pod) => pod.metadata.labels?.[REVISION_LABEL] ?? "")]),
        new Set(),
      );
      return soonest(waitMs, untilAvailableMs(all, set.spec.minReadySeconds ?? 0, clock.now()));
    },
  });

  const raiseCollisionCount = async (set: DaemonSet): Promise<undefined> => {
    const empty = {
      currentNumberScheduled: 0,
      desiredNumberScheduled: 0,
      numberMisscheduled: 0,
      numberReady: 0,
    };
    const status: DaemonSetStatus = {
      ...empty,
      ...set.status,
      collisionCount: (set.status?.collisionCount ?? 0) + 1,
    };
    await api.update(resources.daemonSets, { ...set, status }, { subresource: "status" });
  };

  /** Returns when an ended pod may be replaced that is waited for now. */
  const manage = async (
    set: DaemonSet,
    plan: DaemonPlan,
    revision: CurrentRevision,
  ): Promise<number | undefined> => {
    const due: Pod[] = [];
    let waitMs: number | undefined;
    for (const pod of plan.ended) {
      const retryKey = `${set.metadata.uid}/${set.metadata.generation}/${targetNodeOf(pod)}`;
      const hasFailed = pod.status?.phase === "Failed";
      const leftMs = hasFailed ? retries.leftMs(retryKey) : 0;
      if (leftMs > 0) {
        waitMs = Math.min(waitMs ?? leftMs, leftMs);
        continue;
      }
      if (hasFailed) retries.attempted(retryKey);
      due.push(pod);
      const what = `Found ${hasFailed ? "failed" : "succeeded"} daemon pod ${objectKey(pod)} on node ${targetNodeOf(pod)}, will try to ${hasFailed ? "kill" : "delete"} it`;
      events.event(
        withType(set, TYPE.apiVersion, TYPE.kind),
        hasFailed ? "Warning" : "Normal",
        hasFailed ? "FailedDaemonPod" : "SucceededDaemonPod",
        what,
      );
    }
    await allDone([...plan.remove, ...due].map((pod) => podControl.delete(set, TYPE, pod)));
    const { template } = set.spec;
    await slowStart(Math.min(plan.create.length, BURST), async (index) => {
      const pinned = [
        {
          matchFields: [
            { key: "metadata.name", operator: "In", values: [plan.create[index] ?? ""] },
          ],
        },
      ];
      const affinity = {
        ...template.spec.affinity,
        nodeAffinity: {
          ...template.spec.affinity?.nodeAffinity,
          requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: pinned },
        },
      };
      await podControl.create(set, TYPE, template, {
        labels: { [REVISION_LABEL]: revision.hash },
        spec: { affinity, tolerations: daemonTolerations(set) },
      });
    });
    return waitMs;
  };

  sets.subscribe(onAnyChange((set) => reconciler.enqueue(objectKey(set))));
  const everySet = (): void => {
    for (const set of sets.store.list()) reconciler.enqueue(objectKey(set));
  };
  nodes.subscribe({
    onAdd: everySet,
    onDelete: everySet,
    onUpdate(node, previous) {
      const view = (one: Node): string =>
        JSON.stringify([one.metadata.labels, one.spec.taints, one.spec.unschedulable]);
      if (view(node) !== view(previous)) everySet();
    },
  });
  followOwnedPods({
    pods,
    kind: TYPE.kind,
    owners: sets,
    expectations,
    enqueue: reconciler.enqueue,
    selectorOf: (set) => set.spec.selector,
  });
  return reconciler;
}
