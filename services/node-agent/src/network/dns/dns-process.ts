import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { access, mkdir, open, rm, stat, writeFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { setPriority } from "node:os";
import { join } from "node:path";
import { createCommandRunner, NetworkError, runChecked, type CommandRunner } from "@wherry/net";
import type { Clock, Logger } from "@wherry/service-kit";
import { createLineReader, FEED_PROTOCOL, type FeedMessage, type FeedReply } from "./feed.ts";
import { readLiveProcess, readStartTime, type ProcessIdentity } from "./process-identity.ts";

export interface DnsProcessOptions {
  readonly runDir: string;
  readonly command: readonly string[];
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

export interface DnsConnection {
  readonly pid: number;
  /** True when a process of an earlier run was found and kept. */
  readonly adopted: boolean;
  /** Resolves when the message may be followed by another without piling up. */
  send(message: FeedMessage): Promise<void>;
  /** The next answer of the process; rejects when the connection ends first. */
  nextReply(): Promise<FeedReply>;
  /** Resolves when the connection has ended, whoever ended it. */
  readonly closed: Promise<void>;
  close(): void;
}

/** How long a new process may take to listen on its socket. */
const START_MAX_MS = 10_000;
const RETRY_MS = 25;
/** How long a process may take to end before it is killed. */
const END_MAX_MS = 2_000;
const HELLO_MAX_MS = 2_000;
const CPU_NICENESS = -10;

export function dnsProcessFiles(runDir: string): {
  readonly socket: string;
  readonly state: string;
  readonly log: string;
  readonly compileCache: string;
} {
  return {
    socket: join(runDir, "feed.sock"),
    state: join(runDir, "process.json"),
    log: join(runDir, "dns.log"),
    compileCache: join(runDir, "compile-cache"),
  };
}

/** Connects to the DNS process that runs already, if it is of this build; otherwise starts one in its place. */
export async function connectDnsProcess(
  options: DnsProcessOptions & { readonly run: CommandRunner },
): Promise<DnsConnection> {
  const files = dnsProcessFiles(options.runDir);
  const program = await programId(options.command);
  const running = await attach(files.socket, true);
  if (running !== undefined) {
    if (running.hello.protocol === FEED_PROTOCOL && running.hello.program === program)
      return running.connection;
    options.log.info(
      { pid: running.hello.pid },
      "the DNS process is of another build and is replaced",
    );
    running.connection.close();
  }
  await terminateDns(options.runDir, options.run);
  await startProcess(options, program);
  const deadline = options.clock.monotonic() + START_MAX_MS;
  for (;;) {
    const started = await attach(files.socket, false);
    if (started !== undefined) return started.connection;
    if (options.clock.monotonic() > deadline)
      throw new NetworkError(
        "command-timed-out",
        `the DNS process did not listen on ${files.socket} within ${START_MAX_MS} ms; its messages are in ${files.log}`,
      );
    await options.clock.sleep(RETRY_MS, options.signal);
  }
}

/** Ends the DNS process of this run dir, if there is one, and removes its files. Resolves to how many processes were ended. */
export async function terminateDns(
  runDir: string,
  run: CommandRunner = createCommandRunner(),
): Promise<number> {
  const files = dnsProcessFiles(runDir);
  const live = readLiveProcess(files.state);
  if (live !== undefined) {
    await signalProcess(run, live, "TERM");
    if (!(await hasEnded(live))) {
      await signalProcess(run, live, "KILL");
      await hasEnded(live);
    }
  }
  await rm(files.socket, { force: true });
  await rm(files.state, { force: true });
  return live === undefined ? 0 : 1;
}

async function startProcess(options: DnsProcessOptions, program: string): Promise<void> {
  const files = dnsProcessFiles(options.runDir);
  await mkdir(options.runDir, { recursive: true, mode: 0o700 });
  const cache = join(files.compileCache, program);
  const command = [`NODE_COMPILE_CACHE=${cache}`, ...options.command];
  if (!(await exists(cache))) {
    // Another build's is of no use any more.
    await rm(files.compileCache, { recursive: true, force: true });
    if (command.at(-1)?.endsWith(".ts") === true) await warmCompileCache(command, options.log);
  }
  const messages = await open(files.log, "w", 0o600);
  try {
    const args = [
      ...command,
      "--socket",
      files.socket,
      "--state",
      files.state,
      "--program",
      program,
    ];
    // A group of its own: what ends the agent's group must not end it.
    const child = spawn("env", args, { detached: true, stdio: ["ignore", "ignore", messages.fd] });
    await once(child, "spawn");
    await preferAtCpu(child.pid as number);
    child.on("error", () => {});
    child.unref();
  } finally {
    await messages.close();
  }
}

/**
 * An answer costs a fraction of a millisecond of CPU and must not queue behind those who compute for long: on two busy cores that is the difference between 80 and 8
 * ms at the 99th percentile. The kernel shares out between sessions first (autogroup) where there is no cgroup, so both weights are set. Where it is not permitted, DNS
 * is as patient as the rest.
 */
async function preferAtCpu(pid: number): Promise<void> {
  try {
    setPriority(pid, CPU_NICENESS);
    await writeFile(`/proc/${pid}/autogroup`, String(CPU_NICENESS));
  } catch {
    // Not permitted, or a kernel without autogroups.
  }
}

/** From sources, the process would carry the type stripper (20 MB) for good, unless its modules are in the cache already. */
async function warmCompileCache(command: readonly string[], log: Logger): Promise<void> {
  const child = spawn("env", [...command, "--warm"], { stdio: "ignore" });
  const [code] = (await once(child, "exit")) as [number | null];
  if (code !== 0) log.warn({ code }, "the DNS process' compile cache could not be filled");
}

async function attach(
  path: string,
  adopted: boolean,
): Promise<
  | { readonly connection: DnsConnection; readonly hello: Extract<FeedReply, { type: "hello" }> }
  | undefined
> {
  const socket = connect(path);
  try {
    await once(socket, "connect");
  } catch {
    // No socket, or one that nobody listens on any more.
    return undefined;
  }
  const channel = createChannel(socket);
  const timer = setTimeout(() => socket.destroy(), HELLO_MAX_MS);
  try {
    const hello = await channel.nextReply();
    if (hello.type !== "hello") {
      socket.destroy();
      return undefined;
    }
    return { hello, connection: { ...channel, pid: hello.pid, adopted } };
  } catch {
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}

function createChannel(socket: Socket): Omit<DnsConnection, "pid" | "adopted"> {
  const replies: FeedReply[] = [];
  const waiting: { resolve(reply: FeedReply): void; reject(error: unknown): void }[] = [];
  const ended = (): NetworkError =>
    new NetworkError("command-failed", "the connection to the DNS process ended");
  const closed = new Promise<void>((resolve) => {
    socket.on("close", () => {
      for (const waiter of waiting.splice(0)) waiter.reject(ended());
      resolve();
    });
  });
  socket.on("error", () => {});
  // The agent's other work keeps it alive, not this.
  socket.unref();
  const read = createLineReader((message) => {
    const reply = message as FeedReply;
    const waiter = waiting.shift();
    if (waiter === undefined) replies.push(reply);
    else waiter.resolve(reply);
  });
  socket.on("data", (chunk: Buffer) => {
    try {
      read(chunk);
    } catch {
      // Somebody else listens on our socket; without a hello it is not used.
      socket.destroy();
    }
  });
  return {
    async send(message) {
      if (socket.destroyed) throw ended();
      if (!socket.write(`${JSON.stringify(message)}\n`))
        await Promise.race([once(socket, "drain"), closed]);
    },
    nextReply() {
      const reply = replies.shift();
      if (reply !== undefined) return Promise.resolve(reply);
      if (socket.destroyed) return Promise.reject(ended());
      const { promise, resolve, reject } = Promise.withResolvers<FeedReply>();
      waiting.push({ resolve, reject });
      return promise;
    },
    closed,
    close() {
      socket.destroy();
    },
  };
}

/** Changes when a file that the command names changes. */
async function programId(command: readonly string[]): Promise<string> {
  const hash = createHash("sha256");
  for (const word of command) {
    const file = word.startsWith("/") ? await stat(word).catch(() => undefined) : undefined;
    hash.update(`${word}\0${file === undefined ? "" : `${file.size} ${file.mtimeMs}`}\0`);
  }
  return hash.digest("hex").slice(0, 16);
}

async function signalProcess(
  run: CommandRunner,
  target: ProcessIdentity,
  signal: "TERM" | "KILL",
): Promise<void> {
  if (readStartTime(target.pid) !== target.startTime) return;
  await runChecked(run, ["sh", "-c", 'kill -s "$1" "$2"', "sh", signal, String(target.pid)]).catch(
    (error: unknown) => {
      // It ended in between.
      if (!(error instanceof NetworkError) || error.code !== "command-failed") throw error;
    },
  );
}

async function hasEnded(target: ProcessIdentity): Promise<boolean> {
  for (let waited = 0; waited < END_MAX_MS; waited += RETRY_MS) {
    if (readStartTime(target.pid) !== target.startTime) return true;
    await new Promise<void>((resolve) => {
      setTimeout(resolve, RETRY_MS);
    });
  }
  return false;
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
