import { PassThrough } from "node:stream";
import type { Clock } from "@wherry/service-kit";
import type { ExecOptions, ExecSession } from "../runtime.ts";
import type { SimulatedProcess } from "./script.ts";

/** Plays a simulated process over the streams of an exec. */
export function createSimulatedSession(
  behaviour: SimulatedProcess,
  options: Omit<ExecOptions, "command">,
  clock: Clock,
): ExecSession {
  const stdin = options.stdin ? new PassThrough() : undefined;
  const stdout = options.stdout ? new PassThrough() : undefined;
  const stderr = options.stderr && !options.tty ? new PassThrough() : undefined;
  const over = new AbortController();

  const play = async (): Promise<number> => {
    let elapsedMs = 0;
    for (const line of behaviour.output) {
      if (line.atMs > elapsedMs) await clock.sleep(line.atMs - elapsedMs, over.signal);
      elapsedMs = line.atMs;
      const target = line.stream === "stderr" && !options.tty ? stderr : stdout;
      target?.write(options.tty ? line.text.replaceAll("\n", "\r\n") : line.text);
    }
    if (behaviour.copiesInput && stdin !== undefined) {
      for await (const chunk of stdin) {
        if (stdout?.write(chunk) === false) await drained(stdout, over.signal);
      }
    }
    stdin?.resume();
    if (behaviour.runMs === undefined) await aborted(over.signal);
    else if (behaviour.runMs > elapsedMs)
      await clock.sleep(behaviour.runMs - elapsedMs, over.signal);
    const ends = [stdout, stderr].map((stream) => ended(stream, over.signal));
    stdout?.end();
    stderr?.end();
    await Promise.all(ends);
    return behaviour.exitCode;
  };
  const exit = play();
  exit.catch(() => {});

  return {
    stdin,
    stdout,
    stderr,
    resize() {},
    exit,
    close() {
      over.abort(new Error("the session was closed"));
      for (const stream of [stdin, stdout, stderr]) stream?.destroy();
    },
  };
}

function drained(stream: PassThrough, signal: AbortSignal): Promise<void> {
  return Promise.race([
    new Promise<void>((resolve) => void stream.once("drain", resolve)),
    aborted(signal),
  ]);
}

function ended(stream: PassThrough | undefined, signal: AbortSignal): Promise<void> {
  if (stream === undefined) return Promise.resolve();
  return Promise.race([
    new Promise<void>((resolve) => void stream.once("end", resolve)),
    aborted(signal),
  ]);
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const fail = (): void => reject(signal.reason as Error);
    if (signal.aborted) fail();
    else signal.addEventListener("abort", fail, { once: true });
  });
}
