import { readFileSync } from "node:fs";

/**
 * When a process was started, in clock ticks since boot (field 22 of /proc/PID/stat): with it a process id names one process for good. Undefined when there is no
 * such process, or only its remains that nobody has waited for.
 */
export function processStartTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field is a name in brackets that may hold anything.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19];
  } catch {
    return undefined;
  }
}
