import { UsageError } from "./flags.ts";
import { InvariantError } from "./invariant.ts";

/** Exit codes of every executable: 0 ok, 1 failure, 2 usage. */
export const exitCode = { ok: 0, failure: 1, usage: 2 } as const;

export interface ProcessContext {
  /** Arguments after the script. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborted by the first SIGTERM or SIGINT. */
  readonly signal: AbortSignal;
  readonly isRoot: boolean;
  readonly pid: number;
  /** "v26.10.0" */
  readonly runtimeVersion: string;
  /** The executable and its own arguments: what starts this program again. */
  readonly selfCommand: readonly string[];
  /** Milliseconds since this process was started by the kernel. */
  uptimeMs(): number;
  stdout(text: string): void;
  stderr(text: string): void;
}

/** Causes that are shown of one error. */
const CAUSES_MAX = 5;

/** A repeated signal within this time is the same request: npm forwards the terminal's SIGINT a second time. */
const REPEAT_WINDOW_MS = 1_000;
const KEEP_ALIVE_MS = 2 ** 30;

/**
 * Runs a program: gives it its surroundings, turns signals into an abort and failures into one line and an exit code. A second signal
 * (after the repeat window) exits at once. The only way into `process` for everything else.
 */
export function runMain(main: (context: ProcessContext) => Promise<number | void>): void {
  const stop = new AbortController();
  let firstSignalMs: number | undefined;
  const onSignal = (): void => {
    if (firstSignalMs === undefined) {
      firstSignalMs = performance.now();
      stop.abort(new Error("stop requested"));
    } else if (performance.now() - firstSignalMs > REPEAT_WINDOW_MS) {
      process.exit(exitCode.failure);
    }
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);

  const context: ProcessContext = {
    args: process.argv.slice(2),
    env: process.env,
    signal: stop.signal,
    isRoot: process.getuid?.() === 0,
    pid: process.pid,
    runtimeVersion: process.version,
    selfCommand: [
      process.execPath,
      ...process.execArgv,
      ...(process.argv[1] === undefined ? [] : [process.argv[1]]),
    ],
    uptimeMs: () => process.uptime() * 1000,
    stdout: (text) => void process.stdout.write(text),
    stderr: (text) => void process.stderr.write(text),
  };
  // The clock's timers keep no process alive; a program lives until its main function has ended.
  setInterval(() => {}, KEEP_ALIVE_MS);
  main(context).then(
    (code) => finish(code ?? exitCode.ok),
    (error: unknown) => {
      // Work that was cut short because it was asked to stop has not failed.
      if (error === stop.signal.reason) return finish(exitCode.ok);
      process.stderr.write(`${failureText(error)}\n`);
      finish(error instanceof UsageError ? exitCode.usage : exitCode.failure);
    },
  );
}

/** Leaves once what was written is out. */
function finish(code: number): void {
  process.exitCode = code;
  process.stdout.write("", () => process.stderr.write("", () => process.exit(code)));
}

/**
 * One line for a person: an operating error's message stands for itself. WHERRY_DEBUG adds the stack and the causes; a fault of the program (a TypeError and its like)
 * shows them always, because nobody foresaw it.
 */
function failureText(error: unknown): string {
  if (!(error instanceof Error)) return `error: ${String(error)}`;
  if (process.env["WHERRY_DEBUG"] === undefined && !isFault(error))
    return `error: ${error.message}`;
  const lines = [`error: ${error.message}`, error.stack ?? ""];
  for (
    let cause = error.cause, depth = 0;
    cause instanceof Error && depth < CAUSES_MAX;
    cause = cause.cause, depth += 1
  )
    lines.push(`caused by: ${cause.stack ?? cause.message}`);
  return lines.join("\n");
}

function isFault(error: Error): boolean {
  return (
    error instanceof TypeError ||
    error instanceof RangeError ||
    error instanceof ReferenceError ||
    error instanceof InvariantError
  );
}
