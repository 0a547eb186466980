import { resources } from "@wherry/client";
import {
  formatTime,
  isBeingDeleted,
  isNotFound,
  objectKey,
  splitKey,
  withCondition,
  type Node,
  type Pod,
  type PodCondition,
} from "@wherry/machinery";
import { createReconciler, type Controller, type ControllerContext } from "../core/controller.ts";
import { podsByNode } from "./pods-by-node.ts";
import { noExecuteTaints, planPending } from "./taint-eviction-plan.ts";

/** Deletes pods from nodes whose NoExecute taints they do not tolerate, or no longer. */
export function createTaintEvictionController(context: ControllerContext): Controller {
  const { api, events, clock } = context;
  const nodes = context.informers.informer<Node>(resources.nodes);
  const pods = context.informers.informer<Pod>(resources.pods, { indexes: podsByNode });
  /** Evictions that are due later, by pod. */
  const pending = new Map<string, { readonly uid: string; readonly sinceMs: number }>();

  const reconcile = async (key: string): Promise<{ requeueAfterMs: number } | void> => {
    const pod = pods.store.get(key);
    if (pod === undefined || isBeingDeleted(pod)) {
      pending.delete(key);
      return undefined;
    }
    const { uid = "" } = pod.metadata;
    const node = nodes.store.get(pod.spec.nodeName ?? "");
    const before = pending.get(key);
    const sinceMs = before?.uid === uid ? before.sinceMs : undefined;
    const nowMs = clock.monotonic();
    const due = planPending(pod, noExecuteTaints(node?.spec.taints), sinceMs, nowMs);
    if (due === undefined) {
      if (pending.delete(key))
        events.event(pod, "Normal", "TaintManagerEviction", `Cancelling deletion of Pod ${key}`);
      return undefined;
    }
    if (due.dueMs > nowMs) {
      pending.set(key, { uid, sinceMs: due.sinceMs });
      return { requeueAfterMs: due.dueMs - nowMs };
    }
    await evict(key, pod);
    pending.delete(key);
    return undefined;
  };

  const evict = async (key: string, pod: Pod): Promise<void> => {
    const { namespace, name } = splitKey(key);
    events.event(pod, "Normal", "TaintManagerEviction", `Marking for deletion Pod ${key}`);
    const { uid } = pod.metadata;
    try {
      const conditions = withCondition<PodCondition>(
        pod.status?.conditions,
        disruptionTarget,
        formatTime(clock.now()),
      );
      const condition = conditions.find((one) => one.type === disruptionTarget.type);
      if (conditions !== pod.status?.conditions && condition !== undefined) {
        await api.patch(
          resources.pods,
          name,
          namespace,
          "strategic",
          { metadata: { uid }, status: { conditions: [{ ...condition }] } },
          { subresource: "status" },
        );
      }
      await api.delete(
        resources.pods,
        name,
        namespace,
        uid === undefined ? {} : { preconditions: { uid } },
      );
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  };

  const reconciler = createReconciler({
    name: "taint-eviction",
    context,
    reconcile,
    concurrency: 8,
  });

  const onNode = (node: Node): void => {
    for (const pod of pods.store.byIndex("node", node.metadata.name ?? ""))
      reconciler.enqueue(objectKey(pod));
  };
  nodes.subscribe({
    onAdd: onNode,
    onUpdate(node, previous) {
      if (
        JSON.stringify(noExecuteTaints(node.spec.taints)) !==
        JSON.stringify(noExecuteTaints(previous.spec.taints))
      )
        onNode(node);
    },
    onDelete: onNode,
  });
  pods.subscribe({
    onAdd(pod) {
      if ((pod.spec.nodeName ?? "") !== "") reconciler.enqueue(objectKey(pod));
    },
    onUpdate(pod, previous) {
      const changed =
        pod.spec.nodeName !== previous.spec.nodeName ||
        JSON.stringify(pod.spec.tolerations) !== JSON.stringify(previous.spec.tolerations);
      if (changed) reconciler.enqueue(objectKey(pod));
    },
    onDelete: (pod) => reconciler.enqueue(objectKey(pod)),
  });
  return reconciler;
}

const disruptionTarget: PodCondition = {
  type: "DisruptionTarget",
  status: "True",
  reason: "DeletionByTaintManager",
  message: "Taint manager: deleting due to NoExecute taint",
};
