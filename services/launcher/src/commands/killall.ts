/**
 * Removes what a server or agent left running: pods, containerd, the DNS process, mounts, cgroups, links and rules. It works from what the kernel shows and
 * not from containerd's answers, so that it also cleans up after a containerd that is gone. State on disk stays.
 */
import { execFile } from "node:child_process";
import { readdir, readFile, readlink, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { kill } from "node:process";
import { promisify } from "node:util";
import { createCommandRunner } from "@wherry/net";
import {
  DEFAULT_STATE_DIR,
  networkPaths,
  removePodNetwork,
  terminateContainerd,
  terminateDns,
} from "@wherry/node-agent";
import {
  processStartTime,
  systemClock,
  type ParsedFlags,
  type ProcessContext,
} from "@wherry/service-kit";
import type { Command } from "../command.ts";
import { dataFlags } from "../common-flags.ts";
import { readNodeFootprint } from "../node-footprint.ts";
import { dataDirOf } from "../node-settings.ts";
import { readRunningRecord, removeRunningRecord } from "../running-record.ts";

const END_WAIT_MS = 15_000;
const CHECK_MS = 50;
const UNMOUNT_ROUNDS_MAX = 5;

export const killallCommand: Command = {
  usage: "wherry killall [flags]",
  flags: dataFlags,
  run: runKillall,
};

async function runKillall(context: ProcessContext, { values }: ParsedFlags): Promise<void> {
  if (!context.isRoot)
    throw new Error("removing pods, mounts and rules needs root: run wherry killall as root");
  const dataDir = dataDirOf(values, context);
  const node = await readNodeFootprint();
  const paths = networkPaths(dataDir);
  const counts: Record<string, number> = {};

  counts["servers"] = await endRecordedProcess(dataDir);
  counts["pod processes"] = await endShims(DEFAULT_STATE_DIR);
  await terminateContainerd(DEFAULT_STATE_DIR, systemClock);
  await terminateDns(paths.dnsRunDir);
  counts["mounts"] = await unmountBelow([
    DEFAULT_STATE_DIR,
    join(dataDir, "agent/containerd"),
    join(node.kubeletRoot, "pods"),
  ]);
  const network = await removePodNetwork(createCommandRunner(), {
    cniConfDir: paths.cniConfDir,
    dnsAddresses: [node.clusterDns],
    clusterCidr: node.clusterCidr,
    serviceCidr: node.serviceCidr,
  });
  Object.assign(counts, network);
  // A cgroup root of our own goes too, once it is empty.
  counts["cgroups"] = await removeCgroups(
    "/sys/fs/cgroup",
    node.cgroupRoot === "/" ? "kubepods" : node.cgroupRoot,
  );
  context.stdout(
    `removed: ${Object.entries(counts)
      .map(([what, count]) => `${count} ${what}`)
      .join(", ")}\n`,
  );
}

/** SIGTERM first, SIGKILL at the end of the wait. */
async function endRecordedProcess(dataDir: string): Promise<number> {
  const record = await readRunningRecord(dataDir);
  if (record === undefined) return 0;
  signalTo(record.pid, "SIGTERM");
  for (let waitedMs = 0; processStartTime(record.pid) === record.startTicks; waitedMs += CHECK_MS) {
    if (waitedMs > END_WAIT_MS) signalTo(record.pid, "SIGKILL");
    await wait(CHECK_MS);
  }
  await removeRunningRecord(dataDir);
  return 1;
}

/**
 * Every shim of our containerd, with all that runs below it: it carries our socket's path in its arguments and shares our mounts (the same path may mean another
 * containerd in another mount namespace).
 */
async function endShims(stateDir: string): Promise<number> {
  let ended = 0;
  for (let waitedMs = 0; waitedMs < END_WAIT_MS; waitedMs += CHECK_MS) {
    const processes = await listProcesses();
    const candidates = processes.filter(
      (one) =>
        /containerd-shim/.test(one.command[0] ?? "") &&
        one.command.some((word) => word.startsWith(stateDir)),
    );
    const shims: ProcessEntry[] = [];
    for (const one of candidates) if (await sharesOurMounts(one.pid)) shims.push(one);
    if (shims.length === 0) return ended;
    const doomed = withDescendants(
      shims.map((one) => one.pid),
      processes,
    );
    if (waitedMs === 0) ended = doomed.length;
    for (const pid of doomed) signalTo(pid, "SIGKILL");
    await wait(CHECK_MS);
  }
  throw new Error("some pods' processes do not end; see ps for containerd-shim");
}

async function sharesOurMounts(pid: number): Promise<boolean> {
  const namespaceOf = async (id: string): Promise<string> =>
    await readlink(`/proc/${id}/ns/mnt`).catch(() => "");
  const own = await namespaceOf("self");
  return own !== "" && (await namespaceOf(String(pid))) === own;
}

interface ProcessEntry {
  readonly pid: number;
  readonly parent: number;
  readonly command: readonly string[];
}

async function listProcesses(): Promise<ProcessEntry[]> {
  const found: ProcessEntry[] = [];
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const [stat, command] = await Promise.all([
        readFile(`/proc/${name}/stat`, "utf8"),
        readFile(`/proc/${name}/cmdline`, "utf8"),
      ]);
      found.push({
        pid: Number(name),
        parent: Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]),
        command: command.split("\0"),
      });
    } catch {
      // It ended while we looked.
    }
  }
  return found;
}

/** Children first, so that nothing is adopted by a parent that is about to end. */
function withDescendants(pids: readonly number[], processes: readonly ProcessEntry[]): number[] {
  return pids.flatMap((pid) => [
    ...withDescendants(
      processes.filter((one) => one.parent === pid).map((one) => one.pid),
      processes,
    ),
    pid,
  ]);
}

async function unmountBelow(folders: readonly string[]): Promise<number> {
  let unmounted = 0;
  for (let round = 0; round < UNMOUNT_ROUNDS_MAX; round += 1) {
    const points = (await mountPoints()).filter((point) =>
      folders.some((folder) => point === folder || point.startsWith(`${folder}/`)),
    );
    if (points.length === 0) return unmounted;
    for (const point of points.reverse()) {
      // A busy mount is detached and goes when its last user does.
      await promisify(execFile)("umount", ["-l", point]).then(
        () => (unmounted += 1),
        () => {},
      );
    }
  }
  return unmounted;
}

/** In mount order; spaces are written as \040 there. */
async function mountPoints(): Promise<string[]> {
  const text = await readFile("/proc/self/mountinfo", "utf8");
  return text
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((point) => point !== "")
    .map((point) =>
      point.replace(/\\(\d{3})/g, (_all, octal: string) =>
        String.fromCharCode(Number.parseInt(octal, 8)),
      ),
    );
}

/** In every hierarchy of cgroup v1, or the one of v2. */
async function removeCgroups(mount: string, group: string): Promise<number> {
  const hierarchies = await readdir(mount, { withFileTypes: true });
  const roots = [
    mount,
    ...hierarchies.filter((entry) => entry.isDirectory()).map((entry) => join(mount, entry.name)),
  ];
  let removed = 0;
  for (const root of roots) removed += await removeTree(join(root, group));
  return removed;
}

async function removeTree(folder: string): Promise<number> {
  let removed = 0;
  try {
    for (const entry of await readdir(folder, { withFileTypes: true }))
      if (entry.isDirectory()) removed += await removeTree(join(folder, entry.name));
    await rmdir(folder);
    return removed + 1;
  } catch {
    // Not there, or a process that is still ending is in it.
    return removed;
  }
}

function signalTo(pid: number, signal: NodeJS.Signals): void {
  try {
    kill(pid, signal);
  } catch {
    // Gone already.
  }
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
