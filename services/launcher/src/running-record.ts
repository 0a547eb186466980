import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { writeSecret } from "@wherry/pki";
import { processStartTime } from "@wherry/service-kit";

/** Which process runs on a data folder: its id and its start time, so that a reused id is not mistaken for it. */
export interface RunningRecord {
  readonly pid: number;
  /** Field 22 of /proc/<pid>/stat: clock ticks since boot. */
  readonly startTicks: string;
}

/** Gone after a reboot, as everything is that a node has running. */
const NODE_DIR = "/run/wherry";

const recordFile = (dataDir: string): string => join(dataDir, "running.json");

/**
 * Keeps two from working on one data folder, and two nodes from one machine: containerd, DNS, links and rules lie under fixed names. Rejects when a living process
 * holds one of them; gives what returns them.
 */
export async function claimMachine(claim: {
  readonly dataDir: string;
  readonly withNode: boolean;
  readonly pid: number;
}): Promise<() => Promise<void>> {
  const holder = await readRunningRecord(claim.dataDir);
  if (holder !== undefined)
    throw new Error(
      `another wherry (process ${holder.pid}) uses ${claim.dataDir}; stop it, or choose another --data-dir`,
    );
  const node = claim.withNode ? await readRunningRecord(NODE_DIR) : undefined;
  if (node !== undefined)
    throw new Error(
      `another wherry (process ${node.pid}) runs the node of this machine, and there can be one; stop it, or run a server with --disable-agent`,
    );
  const folders = claim.withNode ? [claim.dataDir, NODE_DIR] : [claim.dataDir];
  for (const folder of folders) {
    await writeRunningRecord(folder, claim.pid).catch((error: NodeJS.ErrnoException) => {
      throw new Error(
        `${folder} cannot be written (${error.code ?? error.message}); check its permissions${folder === NODE_DIR ? "" : ", or choose another --data-dir"}`,
        { cause: error },
      );
    });
  }
  return async () => {
    for (const folder of folders) await removeRunningRecord(folder);
  };
}

async function writeRunningRecord(dataDir: string, pid: number): Promise<void> {
  await writeSecret(
    recordFile(dataDir),
    JSON.stringify({ pid, startTicks: processStartTime(pid) }),
  );
}

/** The recorded process, if it still lives. */
export async function readRunningRecord(dataDir: string): Promise<RunningRecord | undefined> {
  try {
    const record = JSON.parse(await readFile(recordFile(dataDir), "utf8")) as RunningRecord;
    return record.startTicks !== undefined && processStartTime(record.pid) === record.startTicks
      ? record
      : undefined;
  } catch {
    // No record, or one that was cut short by a crash.
    return undefined;
  }
}

export async function removeRunningRecord(dataDir: string): Promise<void> {
  await rm(recordFile(dataDir), { force: true });
}
