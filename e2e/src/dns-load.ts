/**
 * A program that asks a DNS server for the A record of a name at a steady rate over UDP, and prints what it met as JSON. It runs inside a machine:
 * `node dns-load.ts SERVER NAME SECONDS INTERVAL_MS`.
 */
import { createSocket } from "node:dgram";

export interface DnsLoadResult {
  readonly sent: number;
  readonly answered: number;
  /** Answers without an address. */
  readonly empty: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** A question that is not answered by then counts as lost. */
const LOST_AFTER_MS = 5_000;

if (import.meta.main) {
  const [server = "", name = "", seconds = "5", intervalMs = "10"] = process.argv.slice(2);
  console.log(
    JSON.stringify(await measure(server, name, Number(seconds) * 1_000, Number(intervalMs))),
  );
}

async function measure(
  server: string,
  name: string,
  durationMs: number,
  intervalMs: number,
): Promise<DnsLoadResult> {
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => socket.connect(53, server, resolve));
  const askedMs = new Map<number, number>();
  const times: number[] = [];
  let sent = 0;
  let empty = 0;
  socket.on("message", (answer) => {
    const id = answer.readUInt16BE(0);
    const asked = askedMs.get(id);
    if (asked === undefined) return;
    askedMs.delete(id);
    times.push(performance.now() - asked);
    if (answer.readUInt16BE(6) === 0) empty += 1;
  });
  // A refused port arrives as an error of the socket; the question then counts as lost.
  socket.on("error", () => {});
  await new Promise<void>((resolve) => {
    const beganMs = performance.now();
    const timer = setInterval(() => {
      if (performance.now() - beganMs > durationMs) {
        clearInterval(timer);
        resolve();
        return;
      }
      sent += 1;
      const id = sent % 65_536;
      askedMs.set(id, performance.now());
      socket.send(question(id, name));
    }, intervalMs);
  });
  for (let waitedMs = 0; askedMs.size > 0 && waitedMs < LOST_AFTER_MS; waitedMs += 50)
    await new Promise((resolve) => setTimeout(resolve, 50));
  socket.close();
  times.sort((a, b) => a - b);
  const at = (share: number): number =>
    times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? Number.NaN;
  return {
    sent,
    answered: times.length,
    empty,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    maxMs: times.at(-1) ?? Number.NaN,
  };
}

function question(id: number, name: string): Buffer {
  const head = Buffer.alloc(12);
  head.writeUInt16BE(id, 0);
  // Recursion desired, one question.
  head.writeUInt16BE(0x0100, 2);
  head.writeUInt16BE(1, 4);
  const labels = name
    .split(".")
    .filter((label) => label !== "")
    .map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]));
  return Buffer.concat([head, ...labels, Buffer.from([0, 0, 1, 0, 1])]);
}
