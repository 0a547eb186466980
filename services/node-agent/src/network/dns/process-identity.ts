import { readFileSync } from "node:fs";

/** One process for good: ids are used again, an id with its start time is not. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks after boot (field 22 of /proc/PID/stat). */
  readonly startTime: string;
}

/** undefined when there is no such process. */
export function readStartTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field is a name in brackets that may hold anything; a zombie has ended.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

/** The process that the file names, if it still is that one. */
export function readLiveProcess(stateFile: string): ProcessIdentity | undefined {
  let state: Partial<ProcessIdentity>;
  try {
    state = JSON.parse(readFileSync(stateFile, "utf8")) as Partial<ProcessIdentity>;
  } catch {
    // Nothing was started here, or the file was never completed.
    return undefined;
  }
  const { pid, startTime } = state;
  if (typeof pid !== "number" || typeof startTime !== "string") return undefined;
  return readStartTime(pid) === startTime ? { pid, startTime } : undefined;
}
