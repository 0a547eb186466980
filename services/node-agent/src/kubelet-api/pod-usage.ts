import type { ContainerRuntime, ContainerStats } from "@wherry/cri-api";
import type { Pod } from "@wherry/machinery";
import { runtimeLabel } from "../pods/runtime-labels.ts";
import { readNodeUsage, type NodeUsage } from "./node-usage.ts";
import type { PodDirectory } from "./pod-directory.ts";

export interface ContainerUsage {
  readonly name: string;
  readonly startTimeMs: number | undefined;
  readonly stats: ContainerStats;
  /** Averaged since the sample before; undefined for the first. */
  readonly cpuNanoCores: bigint | undefined;
}

export interface PodUsage {
  readonly pod: Pod;
  readonly containers: readonly ContainerUsage[];
}

export interface UsageSnapshot {
  readonly node: NodeUsage;
  readonly nodeCpuNanoCores: bigint | undefined;
  readonly timeMs: number;
  readonly pods: readonly PodUsage[];
}

export interface UsageReader {
  read(): Promise<UsageSnapshot>;
}

interface Sample {
  readonly cpuNanoSeconds: bigint;
  readonly timeNanoSeconds: bigint;
}

const NODE_SAMPLE = "node";
const NANOSECONDS_PER_SECOND = 1_000_000_000n;

/** Joins the runtime's figures with the pods they belong to, and makes rates of them from one reading to the next. */
export function createUsageReader(
  runtime: ContainerRuntime,
  pods: PodDirectory,
  nowMs: () => number,
  readNode: () => Promise<NodeUsage> = readNodeUsage,
): UsageReader {
  let samples = new Map<string, Sample>();
  return {
    async read() {
      const [node, stats] = await Promise.all([readNode(), runtime.containerStats()]);
      const timeMs = nowMs();
      const current = new Map<string, Sample>();
      const rate = (id: string, sample: Sample): bigint | undefined => {
        const before = samples.get(id);
        current.set(id, sample);
        if (
          before === undefined ||
          sample.timeNanoSeconds <= before.timeNanoSeconds ||
          sample.cpuNanoSeconds < before.cpuNanoSeconds
        )
          return undefined;
        return (
          ((sample.cpuNanoSeconds - before.cpuNanoSeconds) * NANOSECONDS_PER_SECOND) /
          (sample.timeNanoSeconds - before.timeNanoSeconds)
        );
      };
      const byPod = Map.groupBy(stats, (container) => container.labels[runtimeLabel.podUid] ?? "");
      const usages = pods.list().map((pod): PodUsage => {
        const containers = (byPod.get(pod.metadata.uid ?? "") ?? []).map(
          (container): ContainerUsage => {
            const name = container.labels[runtimeLabel.containerName] ?? "";
            return {
              name,
              startTimeMs: startTimeOf(pod, name),
              stats: container,
              cpuNanoCores: rate(container.id, {
                cpuNanoSeconds: container.cpuUsageNanoSeconds,
                timeNanoSeconds: container.timestamp,
              }),
            };
          },
        );
        return { pod, containers };
      });
      const nodeCpuNanoCores = rate(NODE_SAMPLE, {
        cpuNanoSeconds: node.cpuUsageNanoSeconds,
        timeNanoSeconds: BigInt(Math.round(timeMs)) * 1_000_000n,
      });
      samples = current;
      return {
        node,
        nodeCpuNanoCores,
        timeMs,
        pods: usages.filter((usage) => usage.containers.length > 0),
      };
    },
  };
}

function startTimeOf(pod: Pod, container: string): number | undefined {
  const statuses = [
    ...(pod.status?.containerStatuses ?? []),
    ...(pod.status?.initContainerStatuses ?? []),
  ];
  const startedAt = statuses.find((status) => status.name === container)?.state?.running?.startedAt;
  return startedAt === undefined ? undefined : Date.parse(startedAt);
}
