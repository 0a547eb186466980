import { matchesNodeTerm, toleratesTaint, type ResourceAmounts } from "@wherry/machinery";
import { nonZeroPodRequests, type NodeInfo } from "../node-info.ts";
import { normalizeToMax, SCORE_MAX, type ScorePlugin } from "../plugin.ts";

const SCORED_RESOURCES = ["cpu", "memory"] as const;

/** Share of a resource that is taken with the pod on the node, 0 to 1; undefined where the node has none. */
function fractions(node: NodeInfo, asked: ResourceAmounts): number[] {
  return SCORED_RESOURCES.flatMap((name) => {
    const room = node.allocatable.get(name) ?? 0;
    if (room === 0) return [];
    return [Math.min(((node.nonZeroRequested.get(name) ?? 0) + (asked.get(name) ?? 0)) / room, 1)];
  });
}

/** The emptier the better. */
export const leastAllocated: ScorePlugin = {
  name: "NodeResourcesFit",
  weight: 1,
  score(pod, node) {
    const taken = fractions(node, nonZeroPodRequests(pod));
    if (taken.length === 0) return 0;
    return Math.trunc(
      taken.reduce((sum, share) => sum + Math.trunc((1 - share) * SCORE_MAX), 0) / taken.length,
    );
  },
};

/** The more even cpu and memory are taken, the better. */
export const balancedAllocation: ScorePlugin = {
  name: "NodeResourcesBalancedAllocation",
  weight: 1,
  score(pod, node) {
    const taken = fractions(node, nonZeroPodRequests(pod));
    const [a = 0, b = a] = taken;
    return Math.trunc((1 - Math.abs(a - b) / 2) * SCORE_MAX);
  },
};

/** Fewer untolerated PreferNoSchedule taints are better. */
export const preferredTaints: ScorePlugin = {
  name: "TaintToleration",
  weight: 3,
  score(pod, { node }) {
    const tolerations = (pod.spec.tolerations ?? []).filter(
      (one) => (one.effect ?? "") === "" || one.effect === "PreferNoSchedule",
    );
    const taints = (node.spec.taints ?? []).filter((taint) => taint.effect === "PreferNoSchedule");
    return taints.filter(
      (taint) => !tolerations.some((toleration) => toleratesTaint(toleration, taint)),
    ).length;
  },
  normalize: (scores) => normalizeToMax(scores, true),
};

export const preferredNodeAffinity: ScorePlugin = {
  name: "NodeAffinity",
  weight: 2,
  score(pod, { node }) {
    const terms =
      pod.spec.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
    return terms
      .filter((term) => matchesNodeTerm(term.preference, node))
      .reduce((sum, term) => sum + term.weight, 0);
  },
  normalize: (scores) => normalizeToMax(scores, false),
};

const IMAGE_MIN_BYTES = 23 * 1024 * 1024;
const IMAGE_MAX_BYTES = 1000 * 1024 * 1024;

/** Images that are there already, weighed by how many nodes have them, so that not everything piles up on one. */
export const imageLocality: ScorePlugin = {
  name: "ImageLocality",
  weight: 1,
  score(pod, node, all) {
    const containers = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])];
    let bytes = 0;
    for (const { image = "" } of containers) {
      const name = /[:@][^/]*$/.test(image) ? image : `${image}:latest`;
      const size = node.images.get(name);
      if (size === undefined) continue;
      const spread = all.filter((other) => other.images.has(name)).length / all.length;
      bytes += Math.trunc(size * spread);
    }
    const max = IMAGE_MAX_BYTES * containers.length;
    const clamped = Math.min(Math.max(bytes, IMAGE_MIN_BYTES), max);
    return Math.trunc((SCORE_MAX * (clamped - IMAGE_MIN_BYTES)) / (max - IMAGE_MIN_BYTES));
  },
};

/** Pods of the same owner prefer different nodes (upstream's default spreading, by host). */
export const ownerSpread: ScorePlugin = {
  name: "PodTopologySpread",
  weight: 2,
  score(pod, node) {
    const owner = pod.metadata.ownerReferences?.find((one) => one.controller === true)?.uid;
    if (owner === undefined) return 0;
    let same = 0;
    for (const other of node.pods.values()) {
      if (
        other.metadata.deletionTimestamp === undefined &&
        other.metadata.ownerReferences?.some((one) => one.uid === owner) === true
      )
        same += 1;
    }
    return same;
  },
  normalize: (scores) => normalizeToMax(scores, true),
};

export const defaultScores: readonly ScorePlugin[] = [
  leastAllocated,
  balancedAllocation,
  preferredTaints,
  preferredNodeAffinity,
  imageLocality,
  ownerSpread,
];
