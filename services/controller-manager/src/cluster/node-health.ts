import { findCondition, type Node, type NodeCondition } from "@wherry/machinery";

/** What the controller says about a node that has not been heard of; pure. */

export interface NodeHealthState {
  readonly node: Node;
  /** Since the last sign of life, on the controller's own clock. */
  readonly silentMs: number;
  /** How long a node may be silent, once it has posted a status. */
  readonly graceMs: number;
  /** The same for a node that has never posted one. */
  readonly startupGraceMs: number;
  readonly now: string;
}

export type NodeHealthPlan =
  | { readonly kind: "healthy"; readonly checkAfterMs: number }
  | {
      readonly kind: "unknown";
      readonly conditions: readonly NodeCondition[];
      readonly wasReady: boolean;
    }
  /** Silent, and its status says so already. */
  | { readonly kind: "known" };

/** NetworkUnavailable is not the kubelet's to say. */
const kubeletConditions = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

export function planNodeHealth({
  node,
  silentMs,
  graceMs,
  startupGraceMs,
  now,
}: NodeHealthState): NodeHealthPlan {
  const conditions = node.status?.conditions ?? [];
  const ready = findCondition(conditions, "Ready");
  const limitMs = ready === undefined ? startupGraceMs : graceMs;
  if (silentMs <= limitMs) return { kind: "healthy", checkAfterMs: limitMs - silentMs + 1 };
  if (ready?.status === "Unknown") return { kind: "known" };
  let next: readonly NodeCondition[] = conditions;
  for (const type of kubeletConditions) {
    const index = next.findIndex((condition) => condition.type === type);
    const old = next[index];
    if (old === undefined) next = [...next, neverUpdated(node, type, now)];
    else if (old.status !== "Unknown") next = next.with(index, stoppedPosting(old, now));
  }
  return { kind: "unknown", conditions: next, wasReady: ready?.status === "True" };
}

function neverUpdated(node: Node, type: string, now: string): NodeCondition {
  return {
    type,
    status: "Unknown",
    reason: "NodeStatusNeverUpdated",
    message: "Kubelet never posted node status.",
    lastHeartbeatTime: node.metadata.creationTimestamp ?? now,
    lastTransitionTime: now,
  };
}

function stoppedPosting(old: NodeCondition, now: string): NodeCondition {
  return {
    ...old,
    status: "Unknown",
    reason: "NodeStatusUnknown",
    message: "Kubelet stopped posting node status.",
    lastTransitionTime: now,
  };
}
