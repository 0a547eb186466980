import { resources } from "@wherry/client";
import { findUntoleratedTaint, isBeingDeleted, matchesNodeSelection, objectKey, scaleIntOrPercent, type ControllerRevision, type DaemonSet, type DaemonSetStatus, type Node, type Pod, type Toleration } from "@wherry/machinery";
import { createReconciler, onAnyChange, type Controller, type ControllerContext } from "./controller.ts";
import { createExpectations } from "./expectations.ts";
import { followOwnedPods } from "./owned-pods.ts";
import { claimPods, createPodControl, isAvailable, isEnded, isReady, slowStart } from "./pod-control.ts";
import { ignoreGone, sorted } from "./replica-set.ts";
import { createRevisions, REVISION_LABEL, type CurrentRevision } from "./revisions.ts";

const TYPE = { apiVersion: "apps/v1", kind: "DaemonSet" };

/** Daemons stay on nodes in trouble (upstream's AddOrUpdateDaemonPodTolerations). */
const DAEMON_TOLERATIONS: readonly Toleration[] = [
  { key: "node.kubernetes.io/not-ready", operator: "Exists", effect: "NoExecute" },
  { key: "node.kubernetes.io/unreachable", operator: "Exists", effect: "NoExecute" },
  { key: "node.kubernetes.io/disk-pressure", operator: "Exists", effect: "NoSchedule" },
  { key: "node.kubernetes.io/memory-pressure", operator: "Exists", effect: "NoSchedule" },
  { key: "node.kubernetes.io/pid-pressure", operator: "Exists", effect: "NoSchedule" },
  { key: "node.kubernetes.io/unschedulable", operator: "Exists", effect: "NoSchedule" },
];
const HOST_NETWORK_TOLERATION: Toleration = { key: "node.kubernetes.io/network-unavailable", operator: "Exists", effect: "NoSchedule" };

export interface DaemonPlan {
  /** Names of nodes that need a pod. */
  readonly create: readonly string[];
  readonly remove: readonly Pod[];
}

export function daemonTolerations(set: DaemonSet): readonly Toleration[] {
  const { tolerations = [], hostNetwork } = set.spec.template.spec;
  return [...tolerations, ...DAEMON_TOLERATIONS, ...(hostNetwork === true ? [HOST_NETWORK_TOLERATION] : [])];
}

/** Pure: whether a pod is to be started on the node, and whether a running one may stay. */
export function daemonOnNode(set: DaemonSet, node: Node): { readonly shouldRun: boolean; readonly mayStay: boolean } {
  const template = set.spec.template;
  if (!matchesNodeSelection({ spec: template.spec }, node)) return { shouldRun: false, mayStay: false };
  const tolerations = daemonTolerations(set);
  const taints = node.spec.taints ?? [];
  if (findUntoleratedTaint(taints, tolerations, ["NoExecute"]) !== undefined) return { shouldRun: false, mayStay: false };
  return { shouldRun: findUntoleratedTaint(taints, tolerations, ["NoSchedule"]) === undefined, mayStay: true };
}

/** The node a daemon pod is meant for, bound or not: its required affinity pins it. */
export function targetNodeOf(pod: Pod): string {
  if ((pod.spec.nodeName ?? "") !== "") return pod.spec.nodeName ?? "";
  const terms = pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  return terms[0]?.matchFields?.find((one) => one.key === "metadata.name")?.values?.[0] ?? "";
}

/** Pure: one pod on each node that should have one, none elsewhere, ended ones replaced, old ones replaced within maxUnavailable. */
export function planDaemons(set: DaemonSet, nodes: readonly Node[], pods: readonly Pod[], hash: string, nowMs: number): DaemonPlan {
  const create: string[] = [];
  const remove: Pod[] = [];
  const outdated: Pod[] = [];
  let unavailable = 0;
  let desired = 0;
  const byNode = Map.groupBy(pods, targetNodeOf);
  for (const node of nodes) {
    const name = node.metadata.name ?? "";
    const { shouldRun, mayStay } = daemonOnNode(set, node);
    const here = byNode.get(name) ?? [];
    byNode.delete(name);
    if (shouldRun) desired += 1;
    if (!mayStay) {
      remove.push(...here.filter((pod) => !isBeingDeleted(pod)));
      continue;
    }
    const ended = here.filter((pod) => isEnded(pod) && !isBeingDeleted(pod));
    remove.push(...ended);
    const [keep, ...surplus] = here.filter((pod) => !isEnded(pod) && !isBeingDeleted(pod)).sort(byBinding);
    remove.push(...surplus);
    if (keep === undefined) {
      if (shouldRun) unavailable += 1;
      // A pod that is going is waited for, so that two never run side by side.
      if (shouldRun && here.every((pod) => isEnded(pod) && !isBeingDeleted(pod))) create.push(name);
      continue;
    }
    const isUp = isAvailable(keep, set.spec.minReadySeconds ?? 0, nowMs);
    if (!isUp) unavailable += 1;
    if (keep.metadata.labels?.[REVISION_LABEL] !== hash) outdated.push(keep);
  }
  // Pods for nodes that are gone.
  for (const stray of byNode.values()) remove.push(...stray.filter((pod) => !isBeingDeleted(pod)));
  if (set.spec.updateStrategy?.type !== "OnDelete") {
    const allowed = Math.max(1, scaleIntOrPercent(set.spec.updateStrategy?.rollingUpdate?.maxUnavailable ?? 1, desired, "up"));
    for (const pod of outdated) {
      const isUp = isAvailable(pod, set.spec.minReadySeconds ?? 0, nowMs);
      if (isUp && unavailable >= allowed) continue;
      if (isUp) unavailable += 1;
      remove.push(pod);
    }
  }
  return { create, remove };
}

function byBinding(a: Pod, b: Pod): number {
  return Number((b.spec.nodeName ?? "") !== "") - Number((a.spec.nodeName ?? "") !== "");
}

/** Pure. */
export function daemonStatus(set: DaemonSet, nodes: readonly Node[], pods: readonly Pod[], hash: string, nowMs: number): DaemonSetStatus {
  const byNode = Map.groupBy(
    pods.filter((pod) => !isEnded(pod) && !isBeingDeleted(pod)),
    targetNodeOf,
  );
  let [desired, current, misscheduled, ready, available, updated] = [0, 0, 0, 0, 0, 0];
  for (const node of nodes) {
    const [pod] = (byNode.get(node.metadata.name ?? "") ?? []).sort(byBinding);
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
  };
}

export function createDaemonSetController(context: ControllerContext): Controller {
  const { api, informers, clock } = context;
  const expectations = createExpectations(clock);
  const podControl = createPodControl(context, expectations);
  const sets = informers.informer<DaemonSet>(resources.daemonSets);
  const nodes = informers.informer<Node>(resources.nodes);
  const pods = informers.informer<Pod>(resources.pods, { indexes: { namespace: (pod) => [pod.metadata.namespace ?? ""] } });
  const revisions = createRevisions(api, informers.informer<ControllerRevision>(resources.controllerRevisions), TYPE);

  const reconciler = createReconciler({
    name: "daemonset",
    context,
    async reconcile(key) {
      const set = sets.store.get(key);
      if (set === undefined) {
        expectations.forget(key);
        return undefined;
      }
      const { owned, adoptable, released } = claimPods(set, set.spec.selector, pods.store.byIndex("namespace", set.metadata.namespace ?? ""));
      for (const pod of adoptable) await podControl.adopt(set, TYPE, pod);
      for (const pod of released) await podControl.release(set, pod).catch(ignoreGone);
      const all = [...owned, ...adoptable];
      const revision = await revisions.ensure(set);
      if (expectations.satisfied(key) && !isBeingDeleted(set)) await manage(set, planDaemons(set, nodes.store.list(), all, revision.hash, clock.now()), revision);
      const status = daemonStatus(set, nodes.store.list(), all, revision.hash, clock.now());
      if (JSON.stringify(sorted(status)) !== JSON.stringify(sorted(set.status))) await api.update(resources.daemonSets, { ...set, status }, { subresource: "status" });
      await revisions.prune(set, new Set([revision.hash, ...all.map((pod) => pod.metadata.labels?.[REVISION_LABEL] ?? "")]));
      const wait = set.spec.minReadySeconds ?? 0;
      return wait > 0 && (status.numberReady ?? 0) > (status.numberAvailable ?? 0) ? { requeueAfterMs: wait * 1_000 } : undefined;
    },
  });

  const manage = async (set: DaemonSet, plan: DaemonPlan, revision: CurrentRevision): Promise<void> => {
    await Promise.all(plan.remove.map((pod) => podControl.delete(set, TYPE, pod)));
    const { template } = set.spec;
    await slowStart(plan.create.length, async (index) => {
      const pinned = [{ matchFields: [{ key: "metadata.name", operator: "In", values: [plan.create[index] ?? ""] }] }];
      const affinity = { ...template.spec.affinity, nodeAffinity: { ...template.spec.affinity?.nodeAffinity, requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: pinned } } };
      await podControl.create(set, TYPE, template, { labels: { [REVISION_LABEL]: revision.hash }, spec: { affinity, tolerations: daemonTolerations(set) } });
    });
  };

  sets.subscribe(onAnyChange((set) => reconciler.enqueue(objectKey(set))));
  const everySet = (): void => {
    for (const set of sets.store.list()) reconciler.enqueue(objectKey(set));
  };
  nodes.subscribe({
    onAdd: everySet,
    onDelete: everySet,
    onUpdate(node, previous) {
      const view = (one: Node): string => JSON.stringify([one.metadata.labels, one.spec.taints, one.spec.unschedulable]);
      if (view(node) !== view(previous)) everySet();
    },
  });
  followOwnedPods({ pods, kind: TYPE.kind, expectations, enqueue: reconciler.enqueue, owners: (namespace) => sets.store.list(namespace), selectorOf: (set) => set.spec.selector });
  return reconciler;
}
