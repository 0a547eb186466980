import { findCondition, type Node, type Taint } from "@wherry/machinery";

/** Which taints a node has to bear for what its conditions say; pure. */

export const notReadyTaint = "node.kubernetes.io/not-ready";
export const unreachableTaint = "node.kubernetes.io/unreachable";
const unschedulableTaint = "node.kubernetes.io/unschedulable";

const taintByCondition: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  Ready: { False: notReadyTaint, Unknown: unreachableTaint },
  MemoryPressure: { True: "node.kubernetes.io/memory-pressure" },
  DiskPressure: { True: "node.kubernetes.io/disk-pressure" },
  NetworkUnavailable: { True: "node.kubernetes.io/network-unavailable" },
  PIDPressure: { True: "node.kubernetes.io/pid-pressure" },
};

const managedKeys = new Set([
  ...Object.values(taintByCondition).flatMap((byStatus) => Object.values(byStatus)),
  unschedulableTaint,
]);

/**
 * `evict`: pods are to leave a node that is not ready; `spare`: they stay, whatever its condition (the whole cluster is in this state);
 * `keep`: it is not decided yet, only a taint that is there may change its key.
 */
export type EvictionMode = "evict" | "spare" | "keep";

/** The taints that the node should have, or undefined when it has them. Taints of others stay as they are. */
export function planTaints(
  node: Node,
  mode: EvictionMode,
  now: string,
): readonly Taint[] | undefined {
  const present = node.spec.taints ?? [];
  const wanted = [...noScheduleTaints(node), ...noExecuteTaints(node, mode)];
  const isManaged = (taint: Taint): boolean => isNodeController(taint);
  const kept = present.filter(
    (taint) => !isManaged(taint) || wanted.some((one) => sameTaint(one, taint)),
  );
  const added = wanted.filter((taint) => !present.some((one) => sameTaint(one, taint)));
  if (added.length === 0 && kept.length === present.length) return undefined;
  return [...kept, ...added.map((taint) => ({ ...taint, timeAdded: now }))];
}

export function readyStatus(node: Node): string | undefined {
  return findCondition(node.status?.conditions, "Ready")?.status;
}

export function hasEvictionTaint(node: Node): boolean {
  return (node.spec.taints ?? []).some((taint) => isEviction(taint));
}

function noScheduleTaints(node: Node): readonly Taint[] {
  const keys = (node.status?.conditions ?? []).flatMap(
    ({ type, status }) => taintByCondition[type]?.[status] ?? [],
  );
  if (node.spec.unschedulable === true) keys.push(unschedulableTaint);
  return keys.map((key) => ({ key, effect: "NoSchedule" }));
}

function noExecuteTaints(node: Node, mode: EvictionMode): readonly Taint[] {
  const status = readyStatus(node);
  const key =
    status === "False" ? notReadyTaint : status === "Unknown" ? unreachableTaint : undefined;
  if (key === undefined) return [];
  if (mode === "spare" || (mode === "keep" && !hasEvictionTaint(node))) return [];
  return [{ key, effect: "NoExecute" }];
}

function isNodeController(taint: Taint): boolean {
  return isEviction(taint) || (taint.effect === "NoSchedule" && managedKeys.has(taint.key));
}

function isEviction(taint: Taint): boolean {
  return (
    taint.effect === "NoExecute" && (taint.key === notReadyTaint || taint.key === unreachableTaint)
  );
}

function sameTaint(a: Taint, b: Taint): boolean {
  return a.key === b.key && a.effect === b.effect;
}
