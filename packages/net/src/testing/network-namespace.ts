import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { createCommandRunner, type CommandRunner } from "../command-runner.ts";

export interface NetworkNamespace extends CommandRunner {
  /** The process that holds the namespace open. */
  readonly pid: number;
  /** What runs a command inside: put it before the command's words. */
  readonly prefix: readonly string[];
  /** Runs lines for `ip -batch -`, in this namespace. */
  ip(lines: readonly string[]): Promise<void>;
  close(): Promise<void>;
}

/** Why namespaces cannot be made here, for `test(…, { skip })`; false when they can. */
export function missingForNamespaces(programs: readonly string[] = ["ip", "nft"]): string | false {
  for (const program of ["unshare", "nsenter", ...programs]) {
    if (spawnSync("sh", ["-c", `command -v ${program}`]).status !== 0)
      return `${program} is not installed`;
  }
  return spawnSync("unshare", ["-n", "true"]).status === 0
    ? false
    : "needs root: network namespaces cannot be made";
}

/** A fresh network namespace with its loopback up, gone when the process that holds it ends. Addressed by that process' id, never by a name. */
export async function openNamespace(): Promise<NetworkNamespace> {
  const holder = spawn(
    "unshare",
    ["-n", "sh", "-c", "ip link set lo up && echo ready && exec cat"],
    { stdio: ["pipe", "pipe", "inherit"] },
  );
  await once(holder.stdout, "data");
  const pid = holder.pid ?? 0;
  const prefix = ["nsenter", `--net=/proc/${pid}/ns/net`, "--"];
  const runner = createCommandRunner({ prefix });
  return {
    pid,
    prefix,
    run: (command, options) => runner.run(command, options),
    async ip(lines) {
      const result = await runner.run(["ip", "-batch", "-"], { input: `${lines.join("\n")}\n` });
      if (result.exitCode !== 0) throw new Error(`ip -batch failed: ${result.stderr}`);
    },
    async close() {
      const ended = once(holder, "exit");
      holder.stdin.end();
      await ended;
    },
  };
}
