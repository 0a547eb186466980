import { readFile } from "node:fs/promises";

/** What the whole machine uses. */
export interface NodeUsage {
  readonly cpuUsageNanoSeconds: bigint;
  readonly memoryTotalBytes: bigint;
  readonly memoryAvailableBytes: bigint;
  readonly bootTimeMs: number;
}

/** The kernel counts in hundredths of a second on every architecture that Node runs on. */
const TICK_NANOSECONDS = 10_000_000n;

export async function readNodeUsage(): Promise<NodeUsage> {
  const [stat, meminfo] = await Promise.all([
    readFile("/proc/stat", "utf8"),
    readFile("/proc/meminfo", "utf8"),
  ]);
  return parseNodeUsage(stat, meminfo);
}

/** From the texts of `/proc/stat` and `/proc/meminfo`. */
export function parseNodeUsage(stat: string, meminfo: string): NodeUsage {
  const [user = "0", nice = "0", system = "0", , , irq = "0", softirq = "0", steal = "0"] =
    /^cpu\s+(.*)$/m.exec(stat)?.[1]?.split(/\s+/) ?? [];
  const ticks = [user, nice, system, irq, softirq, steal].reduce(
    (sum, part) => sum + BigInt(part),
    0n,
  );
  const kilobytes = (name: string): bigint =>
    BigInt(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(meminfo)?.[1] ?? 0) * 1024n;
  return {
    cpuUsageNanoSeconds: ticks * TICK_NANOSECONDS,
    memoryTotalBytes: kilobytes("MemTotal"),
    memoryAvailableBytes: kilobytes("MemAvailable"),
    bootTimeMs: Number(/^btime\s+(\d+)/m.exec(stat)?.[1] ?? 0) * 1000,
  };
}
