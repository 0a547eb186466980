import { findCondition, isBeingDeleted, type Node, type Pod } from "@wherry/machinery";
import { isPodTerminal } from "./service-pods.ts";

/** Which pods nobody else will remove; pure. */

/** Ended pods beyond the limit, evicted ones first, then the oldest. */
export function surplusEnded(ended: readonly Pod[], limit: number): readonly Pod[] {
  if (ended.length <= limit) return [];
  const rank = ({ metadata, status }: Pod): string =>
    [
      status?.phase === "Failed" && status.reason === "Evicted" ? 0 : 1,
      metadata.creationTimestamp ?? "",
      metadata.name ?? "",
    ].join(" ");
  return [...ended].sort((a, b) => (rank(a) < rank(b) ? -1 : 1)).slice(0, ended.length - limit);
}

/** A pod that is being deleted and has never had a node: no kubelet will report its end. */
export function isUnscheduledTerminating(pod: Pod): boolean {
  return isBeingDeleted(pod) && (pod.spec.nodeName ?? "") === "";
}

/** An administrator has said that the node will not come back as it was. */
export function isOutOfService(node: Node): boolean {
  const isReady = findCondition(node.status?.conditions, "Ready")?.status === "True";
  return (
    !isReady &&
    (node.spec.taints ?? []).some((taint) => taint.key === "node.kubernetes.io/out-of-service")
  );
}

/** The pods that go with their node: all of a node that is gone, those under deletion of one that is out of service. */
export function lostPods(pods: readonly Pod[], node: Node | undefined): readonly Pod[] {
  if (node === undefined) return pods;
  return isOutOfService(node)
    ? pods.filter((pod) => isBeingDeleted(pod) && !isPodTerminal(pod))
    : [];
}
