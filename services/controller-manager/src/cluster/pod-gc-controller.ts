import { resources } from "@wherry/client";
import {
  formatTime,
  isNotFound,
  objectKey,
  withCondition,
  type Node,
  type Pod,
  type PodCondition,
} from "@wherry/machinery";
import { createReconciler, type Controller, type ControllerContext } from "../core/controller.ts";
import { isOutOfService, isUnscheduledTerminating, lostPods, surplusEnded } from "./pod-gc-plan.ts";
import { podsByNode } from "./pods-by-node.ts";
import { isPodTerminal } from "./service-pods.ts";

export interface PodGcConfig {
  /** Ended pods that are kept; 12,500 by default, 0 = all. */
  readonly endedPodsMax?: number;
}

const endedPodsMaxDefault = 12_500;
/** A node that has been missing for this long is taken as gone; it may have been registered a moment after its pods. */
const quarantineMs = 40_000;

const endedKey = "ended";
const nodePrefix = "node/";
const podPrefix = "pod/";

/** Removes pods that no kubelet will: those of deleted nodes, unscheduled ones under deletion, and ended ones that are too many. */
export function createPodGcController(
  context: ControllerContext,
  config: PodGcConfig = {},
): Controller {
  const { api, clock, log } = context;
  const endedPodsMax = config.endedPodsMax ?? endedPodsMaxDefault;
  const nodes = context.informers.informer<Node>(resources.nodes);
  const pods = context.informers.informer<Pod>(resources.pods, { indexes: podsByNode });
  const missingSince = new Map<string, number>();
  const ended = new Set<string>();

  const reconcile = async (key: string): Promise<{ requeueAfterMs: number } | void> => {
    if (key.startsWith(nodePrefix)) return reconcileNode(key.slice(nodePrefix.length));
    if (key.startsWith(podPrefix)) {
      const pod = pods.store.get(key.slice(podPrefix.length));
      if (pod !== undefined && isUnscheduledTerminating(pod)) await remove(pod);
      return undefined;
    }
    const present = [...ended].flatMap((one) => pods.store.get(one) ?? []);
    for (const pod of surplusEnded(present, endedPodsMax)) await remove(pod);
    return undefined;
  };

  const reconcileNode = async (name: string): Promise<{ requeueAfterMs: number } | void> => {
    const assigned = pods.store.byIndex("node", name);
    const node = nodes.store.get(name);
    if (node !== undefined || assigned.length === 0) {
      missingSince.delete(name);
      for (const pod of lostPods(node === undefined ? [] : assigned, node)) await remove(pod);
      return undefined;
    }
    const nowMs = clock.monotonic();
    const sinceMs = missingSince.get(name) ?? nowMs;
    missingSince.set(name, sinceMs);
    const leftMs = sinceMs + quarantineMs - nowMs;
    if (leftMs > 0) return { requeueAfterMs: leftMs };
    if (await exists(name)) return { requeueAfterMs: quarantineMs };
    for (const pod of lostPods(assigned, undefined)) await remove(pod, nodeGone);
    missingSince.delete(name);
    return undefined;
  };

  const exists = async (name: string): Promise<boolean> => {
    try {
      await api.get(resources.nodes, name);
      return true;
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
  };

  /** Says that the pod failed, since nobody else can, and deletes it without grace. */
  const remove = async (pod: Pod, condition?: PodCondition): Promise<void> => {
    const { name = "", namespace = "", uid } = pod.metadata;
    try {
      if (!isPodTerminal(pod)) {
        const conditions =
          condition === undefined
            ? []
            : withCondition<PodCondition>(
                pod.status?.conditions,
                condition,
                formatTime(clock.now()),
              ).filter((one) => one.type === condition.type);
        const status = {
          phase: "Failed",
          ...(conditions.length === 0 ? {} : { conditions: conditions.map((one) => ({ ...one })) }),
        };
        await api.patch(
          resources.pods,
          name,
          namespace,
          "strategic",
          { metadata: { uid }, status },
          { subresource: "status" },
        );
      }
      await api.delete(resources.pods, name, namespace, {
        gracePeriodSeconds: 0,
        ...(uid === undefined ? {} : { preconditions: { uid } }),
      });
      log.info(
        { namespace, name, node: pod.spec.nodeName },
        "a pod that nobody looks after was deleted",
      );
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  };

  const reconciler = createReconciler({ name: "pod-garbage-collector", context, reconcile });

  const onPod = (pod: Pod): void => {
    const key = objectKey(pod);
    const nodeName = pod.spec.nodeName ?? "";
    if (isUnscheduledTerminating(pod)) reconciler.enqueue(`${podPrefix}${key}`);
    const node = nodes.store.get(nodeName);
    if (nodeName !== "" && (node === undefined || isOutOfService(node)))
      reconciler.enqueue(`${nodePrefix}${nodeName}`);
    if (endedPodsMax === 0 || !isPodTerminal(pod)) return;
    ended.add(key);
    if (ended.size > endedPodsMax) reconciler.enqueue(endedKey);
  };
  pods.subscribe({
    onAdd: onPod,
    onUpdate: onPod,
    onDelete: (pod) => void ended.delete(objectKey(pod)),
  });
  const onNode = (node: Node): void =>
    reconciler.enqueue(`${nodePrefix}${node.metadata.name ?? ""}`);
  nodes.subscribe({
    onUpdate(node, previous) {
      if (isOutOfService(node) && !isOutOfService(previous)) onNode(node);
    },
    onDelete: onNode,
  });
  return reconciler;
}

const nodeGone: PodCondition = {
  type: "DisruptionTarget",
  status: "True",
  reason: "DeletionByPodGC",
  message: "PodGC: node no longer exists",
};
