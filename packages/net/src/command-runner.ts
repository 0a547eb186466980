import { NetworkError } from "./network-error.ts";

export interface CommandOptions {
  /** Written to standard input; an iterable is pulled as fast as the program reads, so that large programs are built in pieces. */
  readonly input?: string | Iterable<string>;
  readonly signal?: AbortSignal;
  /** Default 30,000. The program is killed at the end of it. */
  readonly timeoutMs?: number;
}

export interface CommandResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs the programs that change the machine's network. It is passed in by the caller, who thereby decides where they run (this
 * machine, a network namespace, nowhere in tests).
 */
export interface CommandRunner {
  /** Resolves when the program has ended, whatever its exit code. Rejects with `NetworkError` when it could not run to its end. */
  run(command: readonly string[], options?: CommandOptions): Promise<CommandResult>;
}

export interface CommandRunnerOptions {
  /** Put before every command: `["nsenter", "--net=/proc/42/ns/net", "--"]`. */
  readonly prefix?: readonly string[];
  /** Programs at the same time; default 4. */
  readonly runningMax?: number;
  /** Commands waiting for their turn; one more rejects with `overloaded`. Default 1,024. */
  readonly waitingMax?: number;
}

const OUTPUT_MAX_BYTES = 64 << 20;
const DEFAULT_TIMEOUT_MS = 30_000;

export function createCommandRunner(options: CommandRunnerOptions = {}): CommandRunner {
  const prefix = options.prefix ?? [];
  const runningMax = options.runningMax ?? 4;
  const waitingMax = options.waitingMax ?? 1_024;
  const waiting: (() => void)[] = [];
  let running = 0;
  return {
    async run(command, commandOptions = {}) {
      if (running >= runningMax) {
        if (waiting.length >= waitingMax) {
          throw new NetworkError(
            "overloaded",
            `${waitingMax} commands wait already; "${command.join(" ")}" was not run`,
          );
        }
        await new Promise<void>((resolve) => waiting.push(resolve));
      } else {
        running += 1;
      }
      try {
        return await spawnCommand([...prefix, ...command], commandOptions);
      } finally {
        const next = waiting.shift();
        if (next === undefined) running -= 1;
        else next();
      }
    },
  };
}

/** Runs and demands exit code 0; gives the standard output. */
export async function runChecked(
  runner: CommandRunner,
  command: readonly string[],
  options?: CommandOptions,
): Promise<string> {
  const result = await runner.run(command, options);
  if (result.exitCode !== 0) throw commandFailed(command, result);
  return result.stdout;
}

/** Runs a program that prints JSON; no output at all reads as an empty list, which is how iproute2 prints nothing. */
export async function runJson(
  runner: CommandRunner,
  command: readonly string[],
  options?: CommandOptions,
): Promise<unknown> {
  const text = await runChecked(runner, command, options);
  if (text.trim() === "") return [];
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new NetworkError("malformed", `"${command.join(" ")}" did not print JSON`, {
      cause: error,
    });
  }
}

export function commandFailed(command: readonly string[], result: CommandResult): NetworkError {
  const said = result.stderr.trim().slice(0, 2_000);
  return new NetworkError(
    "command-failed",
    `"${command.join(" ")}" ended with code ${result.exitCode}${said === "" ? "" : `: ${said}`}`,
  );
}

async function spawnCommand(
  command: readonly string[],
  options: CommandOptions,
): Promise<CommandResult> {
  // Loaded when first needed: who only wants the package's pure parts does not carry it.
  const [{ spawn }, { Readable }] = await Promise.all([
    import("node:child_process"),
    import("node:stream"),
  ]);
  const [program = "", ...args] = command;
  const { promise, resolve, reject } = Promise.withResolvers<CommandResult>();
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  let stopReason: NetworkError | undefined;
  const child = spawn(program, args, {
    stdio: [options.input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
  });
  const stop = (reason: NetworkError): void => {
    stopReason ??= reason;
    child.kill("SIGKILL");
  };
  const onAbort = (): void =>
    stop(
      new NetworkError("command-aborted", `"${command.join(" ")}" was aborted`, {
        cause: options.signal?.reason,
      }),
    );
  const timer = setTimeout(
    () =>
      stop(
        new NetworkError(
          "command-timed-out",
          `"${command.join(" ")}" took longer than ${timeoutMs} ms`,
        ),
      ),
    timeoutMs,
  );
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  let bytes = 0;
  const collect = (chunks: Buffer[]) => (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > OUTPUT_MAX_BYTES)
      stop(
        new NetworkError(
          "malformed",
          `"${command.join(" ")}" printed more than ${OUTPUT_MAX_BYTES} bytes`,
        ),
      );
    else chunks.push(chunk);
  };
  child.stdout?.on("data", collect(stdout));
  child.stderr?.on("data", collect(stderr));
  if (child.stdin !== null && options.input !== undefined) {
    // A program that ends before it has read everything closes the pipe; its exit code and message say why.
    child.stdin.on("error", () => {});
    const input = typeof options.input === "string" ? [options.input] : options.input;
    const source = Readable.from(input, { highWaterMark: 4 });
    source.on("error", (error) =>
      stop(
        new NetworkError(
          "command-failed",
          `the input for "${command.join(" ")}" could not be built`,
          { cause: error },
        ),
      ),
    );
    source.pipe(child.stdin);
  }
  if (options.signal?.aborted === true) onAbort();
  else options.signal?.addEventListener("abort", onAbort, { once: true });
  const settle = (finish: () => void): void => {
    clearTimeout(timer);
    options.signal?.removeEventListener("abort", onAbort);
    finish();
  };
  child.on("error", (error: NodeJS.ErrnoException) => {
    const missing = error.code === "ENOENT";
    settle(() =>
      reject(
        new NetworkError(
          missing ? "command-not-found" : "command-failed",
          missing
            ? `"${program}" is not installed or not in PATH`
            : `"${program}" could not be started: ${error.message}`,
          {
            cause: error,
          },
        ),
      ),
    );
  });
  child.on("close", (code, signal) => {
    settle(() => {
      if (stopReason !== undefined) reject(stopReason);
      else if (code === null)
        reject(
          new NetworkError(
            "command-failed",
            `"${command.join(" ")}" was ended by ${signal ?? "a signal"}`,
          ),
        );
      else
        resolve({
          exitCode: code,
          stdout: Buffer.concat(stdout).toString(),
          stderr: Buffer.concat(stderr).toString(),
        });
    });
  });
  return promise;
}
