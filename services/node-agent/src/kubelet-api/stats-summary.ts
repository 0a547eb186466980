import type { ContainerUsage, PodUsage, UsageSnapshot } from "./pod-usage.ts";

/** The document of `/stats/summary`, as far as the runtime's figures reach: cpu and memory of the node, the pods and their containers. */
export function statsSummary(nodeName: string, snapshot: UsageSnapshot): object {
  const { node } = snapshot;
  const time = timeText(snapshot.timeMs);
  return {
    node: {
      nodeName,
      startTime: timeText(node.bootTimeMs),
      cpu: {
        time,
        ...(snapshot.nodeCpuNanoCores === undefined
          ? {}
          : { usageNanoCores: Number(snapshot.nodeCpuNanoCores) }),
        usageCoreNanoSeconds: Number(node.cpuUsageNanoSeconds),
      },
      memory: {
        time,
        availableBytes: Number(node.memoryAvailableBytes),
        usageBytes: Number(node.memoryTotalBytes - node.memoryAvailableBytes),
        workingSetBytes: Number(node.memoryTotalBytes - node.memoryAvailableBytes),
      },
    },
    pods: snapshot.pods.map(podSummary),
  };
}

function podSummary({ pod, containers }: PodUsage): object {
  const sum = (pick: (container: ContainerUsage) => bigint): number =>
    Number(containers.reduce((total, container) => total + pick(container), 0n));
  const time = timeText(Math.max(...containers.map((container) => timeOf(container))));
  const hasRates = containers.every((container) => container.cpuNanoCores !== undefined);
  return {
    podRef: { name: pod.metadata.name, namespace: pod.metadata.namespace, uid: pod.metadata.uid },
    startTime: pod.status?.startTime ?? null,
    containers: containers.map((container) => ({
      name: container.name,
      startTime: container.startTimeMs === undefined ? null : timeText(container.startTimeMs),
      cpu: {
        time: timeText(timeOf(container)),
        ...(container.cpuNanoCores === undefined
          ? {}
          : { usageNanoCores: Number(container.cpuNanoCores) }),
        usageCoreNanoSeconds: Number(container.stats.cpuUsageNanoSeconds),
      },
      memory: {
        time: timeText(timeOf(container)),
        workingSetBytes: Number(container.stats.memoryWorkingSetBytes),
      },
    })),
    cpu: {
      time,
      ...(hasRates ? { usageNanoCores: sum((container) => container.cpuNanoCores ?? 0n) } : {}),
      usageCoreNanoSeconds: sum((container) => container.stats.cpuUsageNanoSeconds),
    },
    memory: { time, workingSetBytes: sum((container) => container.stats.memoryWorkingSetBytes) },
  };
}

function timeOf(container: ContainerUsage): number {
  return Number(container.stats.timestamp / 1_000_000n);
}

function timeText(timeMs: number): string {
  return new Date(timeMs).toISOString().replace(/\.\d+Z$/, "Z");
}
