import type { PodUsage, UsageSnapshot } from "./pod-usage.ts";

type Labels = Readonly<Record<string, string>>;
type Sample = readonly [labels: Labels, value: number, timestampMs: number | undefined];

const NANOSECONDS_PER_SECOND = 1e9;
const NANOSECONDS_PER_MS = 1_000_000n;

/** The text of `/metrics/resource`, which the metrics server reads. */
export function resourceMetrics(snapshot: UsageSnapshot | undefined): string {
  if (snapshot === undefined) return scrapeError(1);
  const { node, timeMs } = snapshot;
  const containers = snapshot.pods.flatMap((usage) =>
    usage.containers.map((container) => ({
      labels: { container: container.name, ...podLabels(usage) },
      cpu: Number(container.stats.cpuUsageNanoSeconds) / NANOSECONDS_PER_SECOND,
      memory: Number(container.stats.memoryWorkingSetBytes),
      atMs: Number(container.stats.timestamp / NANOSECONDS_PER_MS),
      startTimeMs: container.startTimeMs,
    })),
  );
  const pods = snapshot.pods.map((usage) => ({
    labels: podLabels(usage),
    cpu: Number(total(usage, (stats) => stats.cpuUsageNanoSeconds)) / NANOSECONDS_PER_SECOND,
    memory: Number(total(usage, (stats) => stats.memoryWorkingSetBytes)),
    atMs: Math.max(
      ...usage.containers.map((container) =>
        Number(container.stats.timestamp / NANOSECONDS_PER_MS),
      ),
    ),
  }));
  return [
    family(
      "container_cpu_usage_seconds_total",
      "counter",
      "Cumulative cpu time consumed by the container in core-seconds",
      containers.map((one): Sample => [one.labels, one.cpu, one.atMs]),
    ),
    family(
      "container_memory_working_set_bytes",
      "gauge",
      "Current working set of the container in bytes",
      containers.map((one): Sample => [one.labels, one.memory, one.atMs]),
    ),
    family(
      "container_start_time_seconds",
      "gauge",
      "Start time of the container since unix epoch in seconds",
      containers.flatMap((one): Sample[] =>
        one.startTimeMs === undefined ? [] : [[one.labels, one.startTimeMs / 1000, undefined]],
      ),
    ),
    family(
      "node_cpu_usage_seconds_total",
      "counter",
      "Cumulative cpu time consumed by the node in core-seconds",
      [[{}, Number(node.cpuUsageNanoSeconds) / NANOSECONDS_PER_SECOND, timeMs]],
    ),
    family("node_memory_working_set_bytes", "gauge", "Current working set of the node in bytes", [
      [{}, Number(node.memoryTotalBytes - node.memoryAvailableBytes), timeMs],
    ]),
    family(
      "pod_cpu_usage_seconds_total",
      "counter",
      "Cumulative cpu time consumed by the pod in core-seconds",
      pods.map((one): Sample => [one.labels, one.cpu, one.atMs]),
    ),
    family(
      "pod_memory_working_set_bytes",
      "gauge",
      "Current working set of the pod in bytes",
      pods.map((one): Sample => [one.labels, one.memory, one.atMs]),
    ),
    scrapeError(0),
  ].join("");
}

function podLabels({ pod }: PodUsage): Labels {
  return { namespace: pod.metadata.namespace ?? "", pod: pod.metadata.name ?? "" };
}

function total(
  usage: PodUsage,
  pick: (stats: PodUsage["containers"][number]["stats"]) => bigint,
): bigint {
  return usage.containers.reduce((sum, container) => sum + pick(container.stats), 0n);
}

function scrapeError(value: number): string {
  return family(
    "resource_scrape_error",
    "gauge",
    "1 if there was an error while getting container metrics, 0 otherwise",
    [[{}, value, undefined]],
  );
}

function family(
  name: string,
  type: "counter" | "gauge",
  help: string,
  samples: readonly Sample[],
): string {
  if (samples.length === 0) return "";
  const lines = samples.map(([labels, value, timestampMs]) => {
    const pairs = Object.entries(labels).map(
      ([label, text]) =>
        `${label}="${text.replace(/[\\"\n]/g, (character) => (character === "\n" ? "\\n" : `\\${character}`))}"`,
    );
    return `${name}${pairs.length === 0 ? "" : `{${pairs.join(",")}}`} ${value}${timestampMs === undefined ? "" : ` ${Math.round(timestampMs)}`}\n`;
  });
  return `# HELP ${name} [STABLE] ${help}\n# TYPE ${name} ${type}\n${lines.join("")}`;
}
