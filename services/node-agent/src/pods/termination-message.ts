import { open } from "node:fs/promises";
import type { ObservedContainer } from "./observed.ts";

const messageMaxBytes = 4_096;
const logTailMaxBytes = 2_048;
const logTailMaxLines = 80;

/**
 * What an ended container left as its last words: its termination log, or, when it is empty, the policy says so and the container failed,
 * the end of its output. Undefined when there is nothing.
 */
export async function terminationMessage(
  container: ObservedContainer,
): Promise<string | undefined> {
  if (container.state !== "EXITED") return undefined;
  const own =
    container.terminationLog === undefined
      ? ""
      : await readTail(container.terminationLog, messageMaxBytes);
  if (own !== "") return own;
  const failed = container.exitCode !== 0 || container.reason === "OOMKilled";
  if (
    container.terminationMessagePolicy !== "FallbackToLogsOnError" ||
    !failed ||
    container.logPath === ""
  )
    return undefined;
  // A log line carries a prefix of about 45 bytes, which is taken off again.
  const raw = await readTail(container.logPath, logTailMaxBytes * 4);
  const text = raw
    .split("\n")
    .slice(-logTailMaxLines - 1)
    .map(logText)
    .join("");
  return text === "" ? undefined : text.slice(-logTailMaxBytes);
}

/** The message of a CRI log line: `<time> <stream> <P|F> <message>`. */
function logText(line: string): string {
  const match = /^\S+ (?:stdout|stderr) ([PF])\S* ?(.*)$/u.exec(line);
  if (match === null) return "";
  return match[1] === "F" ? `${match[2]}\n` : (match[2] ?? "");
}

async function readTail(path: string, bytesMax: number): Promise<string> {
  try {
    const file = await open(path, "r");
    try {
      const { size } = await file.stat();
      const length = Math.min(size, bytesMax);
      const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length);
      return buffer.subarray(0, bytesRead).toString("utf8");
    } finally {
      await file.close();
    }
  } catch {
    return ""; // Gone with its pod, or never written: there is no message.
  }
}
