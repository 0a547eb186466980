import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { writeSecret } from "@wherry/pki";

/** Which process runs on a data folder: its id and its start time, so that a reused id is not mistaken for it. */
export interface RunningRecord {
  readonly pid: number;
  /** Field 22 of /proc/<pid>/stat: clock ticks since boot. */
  readonly startTicks: string;
}

const recordFile = (dataDir: string): string => join(dataDir, "running.json");

export async function writeRunningRecord(dataDir: string, pid: number): Promise<void> {
  await writeSecret(recordFile(dataDir), JSON.stringify({ pid, startTicks: await startTicksOf(pid) }));
}

/** The recorded process, if it still lives. */
export async function readRunningRecord(dataDir: string): Promise<RunningRecord | undefined> {
  try {
    const record = JSON.parse(await readFile(recordFile(dataDir), "utf8")) as RunningRecord;
    return (await startTicksOf(record.pid)) === record.startTicks ? record : undefined;
  } catch {
    // No record, or one that was cut short by a crash.
    return undefined;
  }
}

export async function removeRunningRecord(dataDir: string): Promise<void> {
  await rm(recordFile(dataDir), { force: true });
}

export async function startTicksOf(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    // The command name may hold spaces and brackets; what follows the last one is regular.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}
