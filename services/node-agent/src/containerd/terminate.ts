import { join } from "node:path";
import { kill } from "node:process";
import type { Clock } from "@wherry/service-kit";
import { ContainerdError } from "./containerd-error.ts";
import {
  isAlive,
  readProcessRecord,
  removeProcessRecord,
  type ProcessRecord,
} from "./process-record.ts";

const TERM_WAIT_MS = 10_000;
const KILL_WAIT_MS = 5_000;
const CHECK_MS = 20;

export function recordFile(stateDir: string): string {
  return join(stateDir, "containerd.json");
}

/** Ends the containerd that was recorded for this state directory, if it still lives. Its pods go on; remove them before. */
export async function terminateContainerd(stateDir: string, clock: Clock): Promise<void> {
  const record = await readProcessRecord(recordFile(stateDir));
  if (record !== undefined) await endProcess(record, clock);
  await removeProcessRecord(recordFile(stateDir));
}

export async function endProcess(record: ProcessRecord, clock: Clock): Promise<void> {
  if (!(await isAlive(record))) return;
  kill(record.pid, "SIGTERM");
  if (await endsWithin(record, clock, TERM_WAIT_MS)) return;
  kill(record.pid, "SIGKILL");
  if (await endsWithin(record, clock, KILL_WAIT_MS)) return;
  throw new ContainerdError("stopFailed", `containerd (process ${record.pid}) does not end`);
}

async function endsWithin(record: ProcessRecord, clock: Clock, waitMs: number): Promise<boolean> {
  for (let waitedMs = 0; waitedMs < waitMs; waitedMs += CHECK_MS) {
    if (!(await isAlive(record))) return true;
    await clock.sleep(CHECK_MS);
  }
  return false;
}
