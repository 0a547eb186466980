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
import { PAUSE_IMAGE_REFERENCE, createContainerdRuntime } from "@wherry/cri-api";
import {
  createService,
  silentLogger,
  systemClock,
  type Clock,
  type Logger,
  type Service,
} from "@wherry/service-kit";
import { containerdConfig } from "./config-toml.ts";
import { ContainerdError } from "./containerd-error.ts";
import { readHostFacts, type HostFacts } from "./host-facts.ts";
import {
  isAlive,
  readProcessRecord,
  removeProcessRecord,
  startTimeOf,
  writeProcessRecord,
  type ProcessRecord,
} from "./process-record.ts";
import {
  DEFAULT_SEARCH_PATH,
  findPrograms,
  findProgram,
  type ContainerdPrograms,
} from "./programs.ts";
import { watchSocket, type SocketWatch } from "./socket-watch.ts";
import { endProcess, recordFile, terminateContainerd } from "./terminate.ts";

const READY_WITHIN_MS = 30_000;
const READY_CHECK_MIN_MS = 10;
const READY_CHECK_MAX_MS = 200;
/** An adopted containerd has had all the time it needs. */
const ADOPT_WITHIN_MS = 5_000;
const RESTARTS_MAX = 5;
const RESTART_WINDOW_MS = 60_000;
const LOG_MAX_BYTES = 16 << 20;
const LOG_TAIL_BYTES = 2_000;
const CNI_BIN_DIRS = ["/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"];

export interface ContainerdConfig {
  /** The data directory; K3s' layout inside: `agent/containerd`, `agent/etc/containerd`, `agent/etc/cni/net.d`. */
  readonly dataDir: string;
  /** State, socket and record; gone after a reboot. */
  readonly stateDir?: string;
  /** `containerd.sock` in the state directory by default. */
  readonly socket?: string;
  readonly snapshotter?: string;
  /** Folders with CNI plugins, first one that exists for 1.x; `<data-dir>/bin/cni` and the distributions' folders by default. */
  readonly cniBinDirs?: readonly string[];
  readonly cniConfDir?: string;
  /** Must be what the pods' cgroup parents are written for. */
  readonly cgroupDriver?: "cgroupfs" | "systemd";
  /** Where programs are looked for, `<data-dir>/bin` first. It is also containerd's PATH, in which it finds its shim. */
  readonly searchPath?: readonly string[];
  /** More environment for containerd, such as HTTPS_PROXY for image pulls. */
  readonly environment?: Readonly<Record<string, string>>;
}

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

export const DEFAULT_STATE_DIR = "/run/wherry/containerd";

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
  let lastExit = "";

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
        lastExit = signal === null ? `exit code ${code ?? 0}` : `signal ${signal}`;
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
        startTime: (await startTimeOf(child.pid ?? 0)) ?? "",
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
            `containerd ended while starting (${lastExit}); ${await logTail(paths.logFile)}`,
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
    void current.lost.then(async () => {
      if (stopping) return;
      const nowMs = clock.monotonic();
      restarts = [...restarts.filter((atMs) => nowMs - atMs < RESTART_WINDOW_MS), nowMs];
      if (restarts.length > RESTARTS_MAX) {
        fail(
          new ContainerdError(
            "startFailed",
            `containerd ended ${restarts.length} times within ${RESTART_WINDOW_MS / 1000} s (${lastExit}); ${await logTail(paths.logFile)}`,
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
    });
  };

  const life = new AbortController();
  const service = createService({
    name: "containerd",
    async start(signal, fail) {
      await bringUp(signal);
      supervise(life.signal, fail);
    },
    async stop() {
      stopping = true;
      life.abort(new Error("stopping"));
      watch?.close();
    },
  });
  return Object.assign(service, {
    socket: paths.socket,
    registryConfigDir: paths.registryConfigDir,
    cniConfDir: paths.cniConfDir,
    async terminate() {
      stopping = true;
      watch?.close();
      await terminateContainerd(paths.stateDir, clock);
    },
  });
}

interface ContainerdPaths {
  readonly root: string;
  readonly stateDir: string;
  readonly socket: string;
  readonly configFile: string;
  readonly recordFile: string;
  readonly logFile: string;
  readonly registryConfigDir: string;
  readonly cniConfDir: string;
}

function pathsOf(config: ContainerdConfig): ContainerdPaths {
  const stateDir = config.stateDir ?? DEFAULT_STATE_DIR;
  const root = join(config.dataDir, "agent/containerd");
  return {
    root,
    stateDir,
    socket: config.socket ?? join(stateDir, "containerd.sock"),
    configFile: join(config.dataDir, "agent/etc/containerd/config.toml"),
    recordFile: recordFile(stateDir),
    logFile: join(root, "containerd.log"),
    registryConfigDir: join(config.dataDir, "agent/etc/containerd/certs.d"),
    cniConfDir: config.cniConfDir ?? join(config.dataDir, "agent/etc/cni/net.d"),
  };
}

async function settingsFor(
  config: ContainerdConfig,
  paths: ContainerdPaths,
  programs: ContainerdPrograms,
  facts: HostFacts,
) {
  const crun = facts.hasHybridCgroups && programs.runc !== undefined ? undefined : programs.crun;
  const runtimes = {
    ...(programs.runc === undefined ? {} : { runc: programs.runc }),
    ...(crun === undefined ? {} : { crun }),
  };
  return {
    version: programs.version,
    root: paths.root,
    state: paths.stateDir,
    socket: paths.socket,
    sandboxImage: PAUSE_IMAGE_REFERENCE,
    snapshotter: config.snapshotter ?? "overlayfs",
    cniBinDirs: await existingCniFolders(config),
    cniConfDir: paths.cniConfDir,
    registryConfigDir: paths.registryConfigDir,
    runtimes,
    defaultRuntime: crun === undefined ? "runc" : "crun",
    systemdCgroup: config.cgroupDriver === "systemd",
    disableAppArmor: !facts.hasAppArmor,
    restrictOomScore: !facts.mayRaiseLimits,
  };
}

async function existingCniFolders(config: ContainerdConfig): Promise<readonly string[]> {
  const candidates = config.cniBinDirs ?? [join(config.dataDir, "bin/cni"), ...CNI_BIN_DIRS];
  const found: string[] = [];
  for (const folder of candidates) {
    if ((await findProgram("loopback", [folder])) !== undefined) found.push(folder);
  }
  return found.length > 0 ? found : candidates.slice(-1);
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

async function logTail(file: string): Promise<string> {
  try {
    const handle = await open(file);
    try {
      const { size } = await handle.stat();
      const { buffer, bytesRead } = await handle.read(
        Buffer.alloc(LOG_TAIL_BYTES),
        0,
        LOG_TAIL_BYTES,
        Math.max(0, size - LOG_TAIL_BYTES),
      );
      return `the end of ${file}:\n${buffer.toString("utf8", 0, bytesRead)}`;
    } finally {
      await handle.close();
    }
  } catch {
    return `see ${file}`;
  }
}
