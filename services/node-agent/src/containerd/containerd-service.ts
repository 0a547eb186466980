/**
 * containerd as a managed child that outlives its manager.
 *
 * 1. It runs in a session of its own with its log in a file, so that nothing that happens to the agent reaches it.
 * 2. Who it is stands in a record (process id and start time) beside its socket. At the next start a live process with this record, the same
 *    configuration and an answering socket is adopted; otherwise it is ended and another one started. Pods live on either way.
 * 3. While the agent runs, a containerd that ends by itself is started again, at most RESTARTS_MAX times within RESTART_WINDOW_MS; then the
 *    service fails.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, open, rename, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { createContainerdRuntime } from "@wherry/cri-api";
import {
  createService,
  processStartTime,
  silentLogger,
  systemClock,
  type Clock,
  type Logger,
  type Service,
} from "@wherry/service-kit";
import { containerdConfig } from "./config-toml.ts";
import { pathsOf, settingsFor, type ContainerdConfig } from "./containerd-settings.ts";
import { ContainerdError } from "./containerd-error.ts";
import { readHostFacts, type HostFacts } from "./host-facts.ts";
import {
  isAlive,
  readProcessRecord,
  removeProcessRecord,
  writeProcessRecord,
  type ProcessRecord,
} from "./process-record.ts";
import { DEFAULT_SEARCH_PATH, findPrograms, type ContainerdPrograms } from "./programs.ts";
import { watchSocket, type SocketWatch } from "./socket-watch.ts";
import { endProcess, terminateContainerd } from "./terminate.ts";

const READY_WITHIN_MS = 30_000;
const READY_CHECK_MIN_MS = 10;
const READY_CHECK_MAX_MS = 200;
/** An adopted containerd has had all the time it needs. */
const ADOPT_WITHIN_MS = 5_000;
const RESTARTS_MAX = 5;
const RESTART_WINDOW_MS = 60_000;
const LOG_MAX_BYTES = 16 << 20;
const LOG_TAIL_BYTES = 8_192;
const LOG_TAIL_LINES = 3;
const LOG_LINE_MAX = 500;

export interface ContainerdDeps {
  readonly log: Logger;
  readonly clock?: Clock;
}

export interface ContainerdService extends Service {
  readonly socket: string;
  /** Folder with one `REGISTRY/hosts.toml` per mirrored registry; read by containerd at each pull. */
  readonly registryConfigDir: string;
  /** Where the pod network puts its CNI configuration. */
  readonly cniConfDir: string;
  /** Ends containerd itself, which `stop` does not. */
  terminate(): Promise<void>;
}

export function createContainerdService(
  config: ContainerdConfig,
  deps: ContainerdDeps,
): ContainerdService {
  const { clock = systemClock } = deps;
  const log = deps.log.child({ component: "containerd" });
  const paths = pathsOf(config);
  const searchPath = [join(config.dataDir, "bin"), ...(config.searchPath ?? DEFAULT_SEARCH_PATH)];
  let stopping = false;
  let watch: SocketWatch | undefined;
  let restarts: number[] = [];
  let restarting: Promise<void> | undefined;
  let lastExit = "for a reason unknown here";

  const launch = async (programs: ContainerdPrograms, digest: string): Promise<ProcessRecord> => {
    await rotateLog(paths.logFile);
    const logFile = await open(paths.logFile, "a", 0o640);
    try {
      const child = spawn(programs.containerd, ["--config", paths.configFile], {
        detached: true,
        stdio: ["ignore", logFile.fd, logFile.fd],
        cwd: "/",
        env: { ...config.environment, PATH: searchPath.join(":") },
      });
      child.on("exit", (code, signal) => {
        lastExit = signal === null ? `with exit code ${code ?? 0}` : `by signal ${signal}`;
      });
      await new Promise<void>((resolve, reject) => {
        child.once("spawn", resolve);
        child.once("error", (error) =>
          reject(
            new ContainerdError(
              "startFailed",
              `${programs.containerd} cannot be started: ${error.message}`,
              { cause: error },
            ),
          ),
        );
      });
      child.unref();
      const record = {
        pid: child.pid ?? 0,
        startTime: processStartTime(child.pid ?? 0) ?? "",
        config: digest,
      };
      await writeProcessRecord(paths.recordFile, record);
      return record;
    } finally {
      await logFile.close();
    }
  };

  const waitUntilReady = async (
    record: ProcessRecord,
    withinMs: number,
    signal: AbortSignal,
  ): Promise<void> => {
    const runtime = createContainerdRuntime({ socket: paths.socket, log: silentLogger, clock });
    const deadlineMs = clock.monotonic() + withinMs;
    try {
      for (
        let delayMs = READY_CHECK_MIN_MS;
        ;
        delayMs = Math.min(delayMs * 2, READY_CHECK_MAX_MS)
      ) {
        const ready = await runtime.status().then(
          (status) => status.runtimeReady,
          () => false,
        );
        if (ready) return;
        if (!(await isAlive(record)))
          throw new ContainerdError(
            "startFailed",
            `containerd ended while starting, ${lastExit}; ${await logTail(paths.logFile)}`,
          );
        if (clock.monotonic() >= deadlineMs)
          throw new ContainerdError(
            "startFailed",
            `containerd is not ready after ${withinMs / 1000} s; ${await logTail(paths.logFile)}`,
          );
        await clock.sleep(delayMs, signal);
      }
    } finally {
      runtime.close();
    }
  };

  /** The containerd of an earlier run, if it fits. */
  const adopt = async (digest: string, signal: AbortSignal): Promise<boolean> => {
    const record = await readProcessRecord(paths.recordFile);
    if (record === undefined || !(await isAlive(record))) {
      await removeProcessRecord(paths.recordFile);
      return false;
    }
    if (record.config === digest) {
      try {
        await waitUntilReady(record, ADOPT_WITHIN_MS, signal);
        log.info({ pid: record.pid }, "adopted the running containerd");
        return true;
      } catch (error) {
        signal.throwIfAborted();
        log.warn(
          { pid: record.pid, err: error },
          "the running containerd does not answer and is replaced",
        );
      }
    } else {
      log.info(
        { pid: record.pid },
        "the running containerd has another configuration and is replaced",
      );
    }
    await endProcess(record, clock);
    await removeProcessRecord(paths.recordFile);
    return false;
  };

  const bringUp = async (signal: AbortSignal): Promise<void> => {
    // Clocks and children do not keep a process alive, and at its start there may be nothing else that does.
    const hold = setInterval(() => {}, READY_WITHIN_MS);
    try {
      await findOrStart(signal);
    } finally {
      clearInterval(hold);
    }
  };

  const findOrStart = async (signal: AbortSignal): Promise<void> => {
    const programs = await findPrograms(searchPath);
    const text = containerdConfig(
      await settingsFor(config, paths, programs, await warnedFacts(log)),
    );
    const digest = createHash("sha256").update(text).update(programs.version.text).digest("hex");
    for (const folder of [
      paths.root,
      paths.stateDir,
      paths.registryConfigDir,
      paths.cniConfDir,
      dirname(paths.configFile),
      dirname(paths.socket),
    ]) {
      await mkdir(folder, { recursive: true, mode: 0o711 });
    }
    await writeFile(paths.configFile, text, { mode: 0o600 });
    if (await adopt(digest, signal)) return;
    await refuseForeignServer(paths.socket);
    const record = await launch(programs, digest);
    await waitUntilReady(record, READY_WITHIN_MS, signal);
    log.info(
      { pid: record.pid, version: programs.version.text, socket: paths.socket },
      "containerd is ready",
    );
  };

  /** Starts containerd again when it goes away. */
  const supervise = (signal: AbortSignal, fail: (error: unknown) => void): void => {
    const current = watchSocket(paths.socket);
    watch = current;
    const restart = async (): Promise<void> => {
      if (stopping) return;
      const nowMs = clock.monotonic();
      restarts = [...restarts.filter((atMs) => nowMs - atMs < RESTART_WINDOW_MS), nowMs];
      if (restarts.length > RESTARTS_MAX) {
        fail(
          new ContainerdError(
            "startFailed",
            `containerd ended ${restarts.length} times within ${RESTART_WINDOW_MS / 1000} s, ${lastExit}; ${await logTail(paths.logFile)}`,
          ),
        );
        return;
      }
      log.warn({ reason: lastExit }, "containerd went away and is started again");
      try {
        await bringUp(signal);
        if (!stopping) supervise(signal, fail);
      } catch (error) {
        if (!stopping) fail(error);
      }
    };
    void current.lost.then(() => {
      restarting = restart();
    });
  };

  const release = async (): Promise<void> => {
    stopping = true;
    life.abort(new Error("stopping"));
    watch?.close();
    await restarting;
  };

  const life = new AbortController();
  const service = createService({
    name: "containerd",
    async start(signal, fail) {
      await bringUp(signal);
      supervise(life.signal, fail);
    },
    stop: release,
  });
  return Object.assign(service, {
    socket: paths.socket,
    registryConfigDir: paths.registryConfigDir,
    cniConfDir: paths.cniConfDir,
    async terminate() {
      await release();
      await terminateContainerd(paths.stateDir, clock);
    },
  });
}

async function warnedFacts(log: Logger): Promise<HostFacts> {
  const facts = await readHostFacts();
  if (!facts.hasSharedRoot)
    log.info(
      "/ is not a shared mount: volumes with mount propagation will fail until `mount --make-rshared /` is run",
    );
  return facts;
}

/** Two servers on one root would wait for each other's locks; better to say so. */
async function refuseForeignServer(socket: string): Promise<void> {
  const { connect } = await import("node:net");
  const answers = await new Promise<boolean>((resolve) => {
    const probe = connect(socket);
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", () => resolve(false));
  });
  if (answers) {
    throw new ContainerdError(
      "socketInUse",
      `${socket} is served by a containerd that Wherry has no record of. End it, choose another --data-dir and state directory, or use it as it is with --container-runtime-endpoint ${socket}`,
    );
  }
}

/** containerd appends to an open file, so that only a start is a moment to begin a new one. */
async function rotateLog(file: string): Promise<void> {
  const size = await stat(file).then(
    (found) => found.size,
    () => 0,
  );
  if (size > LOG_MAX_BYTES) await rename(file, `${file}.1`);
}

/** The last complaints in containerd's log. */
async function logTail(file: string): Promise<string> {
  try {
    const handle = await open(file);
    try {
      const { size } = await handle.stat();
      const from = Math.max(0, size - LOG_TAIL_BYTES);
      const { buffer, bytesRead } = await handle.read(
        Buffer.alloc(LOG_TAIL_BYTES),
        0,
        LOG_TAIL_BYTES,
        from,
      );
      const lines = buffer
        .toString("utf8", 0, bytesRead)
        .split("\n")
        .filter((line) => /level=(error|fatal)|^containerd: /.test(line))
        .map((line) => line.slice(0, LOG_LINE_MAX));
      return `${file} ends with:\n${lines.slice(-LOG_TAIL_LINES).join("\n")}`;
    } finally {
      await handle.close();
    }
  } catch {
    return `see ${file}`;
  }
}
