import { resources } from "@wherry/client";
import {
  findCondition,
  formatTime,
  isNotFound,
  type Lease,
  type Node,
  type Pod,
} from "@wherry/machinery";
import { createReconciler, type Controller, type ControllerContext } from "../core/controller.ts";
import { againOnConflict } from "./conflict-retry.ts";
import { disruptionDefaults, judgeDisruption, zoneOf, type Disruption } from "./node-disruption.ts";
import { planNodeHealth } from "./node-health.ts";
import { hasEvictionTaint, planTaints, readyStatus, type EvictionMode } from "./node-taints.ts";
import { podsByNode } from "./pods-by-node.ts";

export interface NodeLifecycleConfig {
  /** A node that is silent for longer is taken as unreachable; 50 s by default. */
  readonly nodeMonitorGraceMs?: number;
  /** The same before its first status; 60 s by default. */
  readonly nodeStartupGraceMs?: number;
}

const leaseNamespace = "kube-node-lease";

/** The last sign of life of a node, on our own clock: a skewed clock of a node does no harm. */
interface Sign {
  readonly uid: string;
  readonly heartbeat: string;
  readonly renewed: string;
  readonly atMs: number;
}

/**
 * Watches over nodes: says "Unknown" for those whose lease and status stand still, puts their conditions into taints, and takes pods on
 * unreachable nodes out of their services. One timer for each node, moved on by what the node says; nothing is polled.
 */
export function createNodeLifecycleController(
  context: ControllerContext,
  config: NodeLifecycleConfig = {},
): Controller {
  const { api, events, clock } = context;
  const graceMs = config.nodeMonitorGraceMs ?? 50_000;
  const startupGraceMs = config.nodeStartupGraceMs ?? 60_000;
  const nodes = context.informers.informer<Node>(resources.nodes);
  const leases = context.informers.informer<Lease>(resources.leases, { namespace: leaseNamespace });
  const pods = context.informers.informer<Pod>(resources.pods, { indexes: podsByNode });
  const signs = new Map<string, Sign>();
  /** When the next node of a zone may be tainted for eviction. */
  const nextEvictionMs = new Map<string, number>();
  /** Judged when it is next asked for; undefined after a change that may alter it. */
  let judged: Disruption | undefined;
  let lastJudged: Disruption | undefined;

  const observe = (node: Node): Sign => {
    const { name = "", uid = "" } = node.metadata;
    const heartbeat = findCondition(node.status?.conditions, "Ready")?.lastHeartbeatTime ?? "";
    const renewed = leases.store.get(`${leaseNamespace}/${name}`)?.spec.renewTime ?? "";
    const before = signs.get(name);
    if (before?.uid === uid && before.heartbeat === heartbeat && before.renewed === renewed)
      return before;
    const sign = { uid, heartbeat, renewed, atMs: clock.monotonic() };
    signs.set(name, sign);
    return sign;
  };

  const reconcile = async (name: string): Promise<{ requeueAfterMs: number } | void> => {
    // Also when this node is gone: what is said of the others may have changed by it.
    currentDisruption();
    const node = nodes.store.get(name);
    if (node === undefined) return undefined;
    const sign = observe(node);
    const now = formatTime(clock.now());
    const plan = planNodeHealth({
      node,
      silentMs: clock.monotonic() - sign.atMs,
      graceMs,
      startupGraceMs,
      now,
    });
    if (plan.kind === "unknown") {
      // The cache shows this soon, and brings the node here again for its taints.
      await api.update(
        resources.nodes,
        { ...node, status: { ...node.status, conditions: plan.conditions } },
        { subresource: "status" },
      );
      if (plan.wasReady)
        events.event(node, "Normal", "NodeNotReady", `Node ${name} status is now: NodeNotReady`);
      return undefined;
    }
    if (readyStatus(node) === "Unknown") await markPodsNotReady(name);
    await alignLabels(node);
    const waitMs = await alignTaints(node, now);
    const checkMs = plan.kind === "healthy" ? plan.checkAfterMs : undefined;
    const nextMs = Math.min(
      waitMs ?? Number.POSITIVE_INFINITY,
      checkMs ?? Number.POSITIVE_INFINITY,
    );
    return Number.isFinite(nextMs) ? { requeueAfterMs: nextMs } : undefined;
  };

  /** Returns how long to wait before the node may be tainted for eviction. */
  const alignTaints = async (node: Node, now: string): Promise<number | undefined> => {
    const { name = "", uid, resourceVersion } = node.metadata;
    const { mode, waitMs } = evictionMode(node);
    const taints = planTaints(node, mode, now);
    if (taints !== undefined) {
      await api.patch(resources.nodes, name, undefined, "merge", {
        metadata: { uid, resourceVersion },
        spec: { taints: taints.map((taint) => ({ ...taint })) },
      });
    }
    return waitMs;
  };

  const evictionMode = (node: Node): { readonly mode: EvictionMode; readonly waitMs?: number } => {
    const disruption = currentDisruption();
    if (disruption.everywhere) return { mode: "spare" };
    const isNotReady = ["False", "Unknown"].includes(readyStatus(node) ?? "");
    if (!isNotReady || hasEvictionTaint(node)) return { mode: "evict" };
    const zone = zoneOf(node);
    const rate = disruption.rateOf(zone);
    if (rate === 0) return { mode: "keep" };
    const nowMs = clock.monotonic();
    const dueMs = nextEvictionMs.get(zone) ?? 0;
    if (nowMs < dueMs) return { mode: "keep", waitMs: dueMs - nowMs };
    nextEvictionMs.set(zone, nowMs + 1_000 / rate);
    return { mode: "evict" };
  };

  const markPodsNotReady = async (node: string): Promise<void> => {
    for (const pod of pods.store.byIndex("node", node)) {
      const ready = findCondition(pod.status?.conditions, "Ready");
      if (ready?.status !== "True") continue;
      const condition = { ...ready, status: "False", lastTransitionTime: formatTime(clock.now()) };
      const conditions = (pod.status?.conditions ?? []).map((one) =>
        one.type === "Ready" ? condition : one,
      );
      try {
        await api.update(
          resources.pods,
          { ...pod, status: { ...pod.status, conditions } },
          { subresource: "status" },
        );
        events.event(pod, "Warning", "NodeNotReady", "Node is not ready");
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    }
  };

  const alignLabels = async ({ metadata: { name = "", labels = {} } }: Node): Promise<void> => {
    const stale = mirroredLabels.filter(
      ({ stable, beta }) => labels[stable] !== undefined && labels[beta] !== labels[stable],
    );
    if (stale.length === 0) return;
    const patch = Object.fromEntries(stale.map(({ stable, beta }) => [beta, labels[stable]]));
    await api.patch(resources.nodes, name, undefined, "merge", { metadata: { labels: patch } });
  };

  const reconciler = createReconciler({
    name: "node-lifecycle",
    context,
    reconcile: againOnConflict(reconcile),
    concurrency: 8,
  });

  /** A judgement that has changed concerns every node. When the first node is ready again, all get their whole time anew. */
  const currentDisruption = (): Disruption => {
    if (judged !== undefined) return judged;
    judged = judgeDisruption(nodes.store.list(), disruptionDefaults);
    if (lastJudged !== undefined && lastJudged.verdict !== judged.verdict) {
      const atMs = clock.monotonic();
      if (lastJudged.everywhere && !judged.everywhere)
        for (const [name, sign] of signs) signs.set(name, { ...sign, atMs });
      for (const name of nodes.store.keys()) reconciler.enqueue(name);
    }
    lastJudged = judged;
    return judged;
  };

  const onReadinessChange = (name: string): void => {
    judged = undefined;
    reconciler.enqueue(name);
  };

  const announce = (node: Node, reason: string, text: string): void => {
    const { name = "" } = node.metadata;
    events.event(node, "Normal", reason, `Node ${name} event: ${text}`);
  };

  nodes.subscribe({
    onAdd(node) {
      const { name = "" } = node.metadata;
      observe(node);
      announce(node, "RegisteredNode", `Registered Node ${name} in Controller`);
      onReadinessChange(name);
    },
    onUpdate(node, previous) {
      observe(node);
      const { name = "" } = node.metadata;
      if (readyStatus(node) !== readyStatus(previous) || zoneOf(node) !== zoneOf(previous))
        onReadinessChange(name);
      else reconciler.enqueue(name);
    },
    onDelete(node) {
      const { name = "" } = node.metadata;
      signs.delete(name);
      announce(node, "RemovingNode", `Removing Node ${name} from Controller`);
      onReadinessChange(name);
    },
  });
  // A renewed lease only moves the sign of life on; the node's timer finds it when it is due.
  const onLease = ({ metadata: { name = "" } }: Lease): void => {
    const node = nodes.store.get(name);
    if (node !== undefined) observe(node);
  };
  leases.subscribe({ onAdd: onLease, onUpdate: onLease });
  pods.subscribe({
    onAdd: (pod) => onAssigned(pod),
    onUpdate: (pod, previous) => {
      if (pod.spec.nodeName !== previous.spec.nodeName) onAssigned(pod);
    },
  });
  const onAssigned = ({ spec: { nodeName = "" } }: Pod): void => {
    const node = nodes.store.get(nodeName);
    if (node !== undefined && readyStatus(node) === "Unknown") reconciler.enqueue(nodeName);
  };
  return reconciler;
}

/** Old names of labels that must say what the stable ones say. */
const mirroredLabels = [
  { stable: "kubernetes.io/os", beta: "beta.kubernetes.io/os" },
  { stable: "kubernetes.io/arch", beta: "beta.kubernetes.io/arch" },
];
