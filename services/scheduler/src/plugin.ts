import type { Pod } from "@wherry/machinery";
import type { NodeInfo } from "./node-info.ts";

/**
 * The scheduling framework's extension points as pure functions (KEP-624). A filter gives the reasons why the pod does not fit, in upstream's words; a score
 * lies between 0 and 100 after `normalize`.
 */
export interface FilterPlugin {
  readonly name: string;
  filter(pod: Pod, node: NodeInfo): Unfit | undefined;
}

export interface Unfit {
  readonly reasons: readonly string[];
  /** True if removing pods from the node cannot help (upstream's UnschedulableAndUnresolvable). */
  readonly unresolvable: boolean;
}

export interface ScorePlugin {
  readonly name: string;
  readonly weight: number;
  score(pod: Pod, node: NodeInfo, all: readonly NodeInfo[]): number;
  /** Over the raw scores of all feasible nodes; none: raw scores are already 0 to 100. */
  normalize?(scores: readonly number[]): readonly number[];
}

export const SCORE_MAX = 100;

/** Upstream's DefaultNormalizeScore: the largest becomes 100; reversed for penalties. */
export function normalizeToMax(scores: readonly number[], reverse: boolean): number[] {
  const max = Math.max(0, ...scores);
  if (max === 0) return scores.map(() => (reverse ? SCORE_MAX : 0));
  return scores.map((score) => {
    const scaled = Math.trunc((SCORE_MAX * score) / max);
    return reverse ? SCORE_MAX - scaled : scaled;
  });
}

export function unfit(reason: string, unresolvable: boolean): Unfit {
  return { reasons: [reason], unresolvable };
}
