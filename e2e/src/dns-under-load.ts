import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { node26, type Cluster } from "./cluster.ts";
import type { DnsLoadResult } from "./dns-load.ts";
import type { ListLoadResult } from "./list-load.ts";
import { until } from "./until.ts";

const program = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

const CLUSTER_DNS = "10.43.0.10";

/** Asks the cluster's DNS, or another server, from the node, every `intervalMs`. The asker goes before others at the CPU: its own waiting is not what is measured. */
export async function askDns(
  cluster: Cluster,
  name: string,
  seconds: number,
  intervalMs: number,
  server = CLUSTER_DNS,
): Promise<DnsLoadResult> {
  const { stdout } = await cluster.server.exec(
    [
      "nice",
      "-n",
      "-10",
      node26,
      program("dns-load.ts"),
      server,
      name,
      String(seconds),
      String(intervalMs),
    ],
    { timeoutMs: (seconds + 20) * 1_000 },
  );
  return JSON.parse(stdout) as DnsLoadResult;
}

/** Runs `work` while a client LISTs every resource in a loop. */
export async function whileListing<T>(
  cluster: Cluster,
  work: () => Promise<T>,
): Promise<{ readonly result: T; readonly load: ListLoadResult }> {
  const child = cluster.server.spawn([node26, program("list-load.ts"), cluster.kubeconfig], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream?.on("data", (data: Buffer) => (output += data.toString()));
  const ended = once(child, "close");
  try {
    await until(
      "the first lists",
      20_000,
      async () => output.startsWith("listing ") || child.exitCode !== null,
    );
    const result = await work();
    child.kill("SIGTERM");
    await ended;
    if (child.exitCode !== 0) throw new Error(`the listing client failed:\n${output}`);
    return { result, load: JSON.parse(output.trim().split("\n").at(-1) ?? "") as ListLoadResult };
  } finally {
    child.kill("SIGKILL");
    await ended;
  }
}
