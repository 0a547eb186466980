import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { processStartTime } from "@wherry/service-kit";

/** Names one process for good: process ids are used again, a start time is not. */
export interface ProcessRecord {
  readonly pid: number;
  /** Clock ticks since boot, from `/proc/PID/stat`. */
  readonly startTime: string;
  /** Digest of the configuration it was started with. */
  readonly config: string;
}

export async function readProcessRecord(file: string): Promise<ProcessRecord | undefined> {
  try {
    const { pid, startTime, config } = JSON.parse(
      await readFile(file, "utf8"),
    ) as Partial<ProcessRecord>;
    if (typeof pid === "number" && typeof startTime === "string" && typeof config === "string")
      return { pid, startTime, config };
  } catch {
    // Missing or half-written: as if there were none. The socket is checked as well.
  }
  return undefined;
}

export async function writeProcessRecord(file: string, record: ProcessRecord): Promise<void> {
  await writeFile(`${file}.new`, JSON.stringify(record), { mode: 0o600 });
  await rename(`${file}.new`, file);
}

export async function removeProcessRecord(file: string): Promise<void> {
  await rm(file, { force: true });
}

export async function isAlive(record: ProcessRecord): Promise<boolean> {
  return processStartTime(record.pid) === record.startTime;
}
