import type { Pod } from "@wherry/machinery";
import type { NodeInfo } from "./node-info.ts";
import type { FilterPlugin, ScorePlugin, Unfit } from "./plugin.ts";

export type Placement =
  | { readonly kind: "placed"; readonly node: string }
  | {
      readonly kind: "unfit";
      readonly message: string;
      readonly unfitNodes: ReadonlyMap<string, Unfit>;
    };

export interface Profile {
  readonly filters: readonly FilterPlugin[];
  readonly scores: readonly ScorePlugin[];
}

/**
 * Pure: filter, then score, then the best; `random` (0 to 1) breaks ties. A pod that fits nowhere gets upstream's message, which counts nodes by reason.
 */
export function placePod(
  pod: Pod,
  nodes: readonly NodeInfo[],
  profile: Profile,
  random: () => number,
): Placement {
  const unfitNodes = new Map<string, Unfit>();
  const feasible: NodeInfo[] = [];
  for (const node of nodes) {
    const reason = firstUnfit(pod, node, profile.filters);
    if (reason === undefined) feasible.push(node);
    else unfitNodes.set(node.node.metadata.name ?? "", reason);
  }
  if (feasible.length === 0)
    return { kind: "unfit", message: unfitMessage(nodes.length, unfitNodes), unfitNodes };
  const totals = totalScores(pod, feasible, profile.scores);
  const best = Math.max(...totals);
  const winners = feasible.filter((_node, index) => totals[index] === best);
  const winner = winners[Math.floor(random() * winners.length)] ?? winners[0];
  return { kind: "placed", node: winner?.node.metadata.name ?? "" };
}

function firstUnfit(pod: Pod, node: NodeInfo, filters: readonly FilterPlugin[]): Unfit | undefined {
  for (const plugin of filters) {
    const result = plugin.filter(pod, node);
    if (result !== undefined) return result;
  }
  return undefined;
}

export function totalScores(
  pod: Pod,
  nodes: readonly NodeInfo[],
  plugins: readonly ScorePlugin[],
): number[] {
  const totals = nodes.map(() => 0);
  for (const plugin of plugins) {
    const raw = nodes.map((node) => plugin.score(pod, node, nodes));
    const scores = plugin.normalize?.(raw) ?? raw;
    for (const [index, score] of scores.entries())
      totals[index] = (totals[index] ?? 0) + score * plugin.weight;
  }
  return totals;
}

/** "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint {k: v}. preemption: 0/3 nodes are available: …" */
export function unfitMessage(nodeCount: number, unfitNodes: ReadonlyMap<string, Unfit>): string {
  if (nodeCount === 0) return "no nodes available to schedule pods";
  const counts = new Map<string, number>();
  for (const { reasons } of unfitNodes.values())
    for (const reason of reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  const reasons = [...counts].map(([reason, count]) => `${count} ${reason}`).sort();
  const head = `0/${nodeCount} nodes are available`;
  return `${head}: ${reasons.join(", ")}. ${preemptionMessage(nodeCount, unfitNodes)}`;
}

/** What preemption would say: it helps nowhere as long as no pod here may be evicted for another. */
function preemptionMessage(nodeCount: number, unfitNodes: ReadonlyMap<string, Unfit>): string {
  const helpless = [...unfitNodes.values()].filter((one) => one.unresolvable).length;
  const victimless = unfitNodes.size - helpless;
  const parts = [
    ...(victimless > 0 ? [`${victimless} No preemption victims found for incoming pod`] : []),
    ...(helpless > 0 ? [`${helpless} Preemption is not helpful for scheduling`] : []),
  ];
  return `preemption: 0/${nodeCount} nodes are available: ${parts.join(", ")}.`;
}
