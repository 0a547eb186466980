import type { Node } from "@wherry/machinery";
import { readyStatus } from "./node-taints.ts";

/**
 * How fast nodes of a zone may be emptied, after upstream: one in ten seconds; where more than half of a zone is gone, slower in a large zone
 * and not at all in a small one; and not at all while no node of the cluster is ready, since then it is the control plane that is cut off.
 */

export interface DisruptionConfig {
  readonly evictionsPerSecond: number;
  readonly secondaryEvictionsPerSecond: number;
  readonly largeZoneNodes: number;
  readonly unhealthyZoneThreshold: number;
}

export const disruptionDefaults: DisruptionConfig = {
  evictionsPerSecond: 0.1,
  secondaryEvictionsPerSecond: 0.01,
  largeZoneNodes: 50,
  unhealthyZoneThreshold: 0.55,
};

export interface Disruption {
  /** No node in any zone is ready. */
  readonly everywhere: boolean;
  /** Equal for two judgements that say the same of every zone. */
  readonly verdict: string;
  /** Nodes per second that may be tainted in a zone; 0 = none. */
  rateOf(zone: string): number;
}

export function zoneOf(node: Node): string {
  const labels = node.metadata.labels ?? {};
  return `${labels["topology.kubernetes.io/region"] ?? ""}:\0:${labels["topology.kubernetes.io/zone"] ?? ""}`;
}

export function judgeDisruption(nodes: readonly Node[], config: DisruptionConfig): Disruption {
  const zones = new Map<string, { ready: number; total: number }>();
  for (const node of nodes) {
    if (node.metadata.labels?.["node.kubernetes.io/exclude-disruption"] !== undefined) continue;
    const zone = zones.get(zoneOf(node)) ?? { ready: 0, total: 0 };
    zones.set(zoneOf(node), zone);
    zone.total += 1;
    if (readyStatus(node) === "True") zone.ready += 1;
  }
  const counts = [...zones.values()];
  const everywhere = counts.length > 0 && counts.every((zone) => zone.ready === 0);
  const rateOf = (name: string): number => {
    const { ready, total } = zones.get(name) ?? { ready: 0, total: 0 };
    const notReady = total - ready;
    const isPartial =
      ready > 0 && notReady > 2 && notReady / total >= config.unhealthyZoneThreshold;
    if (!isPartial) return config.evictionsPerSecond;
    return total > config.largeZoneNodes ? config.secondaryEvictionsPerSecond : 0;
  };
  return {
    everywhere,
    rateOf,
    verdict: JSON.stringify([
      everywhere,
      [...zones.keys()].sort().map((name) => [name, rateOf(name)]),
    ]),
  };
}
