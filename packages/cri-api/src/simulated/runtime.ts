import { randomBytes } from "node:crypto";
import { appendFile, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { duplexPair } from "node:stream";
import { systemClock, type Clock, type Timer } from "@wherry/service-kit";
import { normalizeReference } from "../oci/image-spec.ts";
import { planImport } from "../oci/import-plan.ts";
import { scanArchive } from "../oci/archive.ts";
import {
  RuntimeError,
  type Container,
  type ContainerConfig,
  type ContainerEvent,
  type ContainerRuntime,
  type ContainerStatus,
  type Image,
  type PodSandboxConfig,
  type PodSandboxStatus,
} from "../runtime.ts";
import { createSandboxAddresses } from "./sandbox-addresses.ts";
import { interpretCommand, type SimulatedProcess } from "./script.ts";
import { createSimulatedSession } from "./session.ts";

/** Annotations of a pod (or of one container, with `.NAME` behind them) that say how long its containers run and how they end. */
export const RUN_MS_ANNOTATION = "simulated.wherry.io/run-ms";
export const EXIT_CODE_ANNOTATION = "simulated.wherry.io/exit-code";

const MISSING_IMAGE_PREFIX = "missing/";
const TERMINATED_BY_SIGNAL = 143;
const KILLED = 137;
const EVENTS_WAITING_MAX = 4096;
const SIMULATED_IMAGE_BYTES = 1 << 20;
const SIMULATED_MEMORY_BYTES = 4n << 20n;

export interface SimulatedContainer {
  readonly config: ContainerConfig;
  readonly sandbox: PodSandboxConfig;
}

export interface SimulatedRuntimeOptions {
  readonly clock?: Clock;
  /** Block that pod addresses come from; 10.88.0.0/16 by default. */
  readonly podCidr?: string;
  /** Decides what a container does; undefined = by annotations, then by its command, else it runs until it is stopped. */
  readonly script?: (container: SimulatedContainer) => SimulatedProcess | undefined;
  /** What an exec does; undefined = by its command, else it succeeds silently. */
  readonly execScript?: (
    container: SimulatedContainer,
    command: readonly string[],
  ) => SimulatedProcess | undefined;
  /** Writes log files in CRI's format; true by default. A container that writes nothing gets no file. */
  readonly writesLogs?: boolean;
}

interface SandboxRecord {
  status: PodSandboxStatus;
  readonly config: PodSandboxConfig;
}

interface ContainerRecord {
  status: ContainerStatus;
  readonly config: ContainerConfig;
  readonly sandbox: SandboxRecord;
  behaviour: SimulatedProcess | undefined;
  timers: Timer[];
}

/**
 * A container runtime in memory: every image is there (but those named `missing/…`), containers start at once, run as scripted and end when
 * stopped. Nothing survives the behaviour.
 */
export function createSimulatedRuntime(
  options: SimulatedRuntimeOptions = {},
): ContainerRuntime & { close(): void } {
  const { clock = systemClock, writesLogs = true } = options;
  const addresses = createSandboxAddresses(options.podCidr ?? "10.88.0.0/16");
  const sandboxes = new Map<string, SandboxRecord>();
  const containers = new Map<string, ContainerRecord>();
  const images = new Map<string, Image>();
  const listeners = new Set<(event: ContainerEvent) => void>();

  const nowNanoseconds = (): bigint => BigInt(Math.floor(clock.now() * 1000)) * 1000n;
  const emit = (kind: ContainerEvent["kind"], containerId: string): void => {
    for (const listener of listeners) listener({ kind, containerId });
  };
  const sandboxOf = (id: string): SandboxRecord => found(sandboxes, id, "sandbox");
  const containerOf = (id: string): ContainerRecord => found(containers, id, "container");
  const runningContainer = (id: string): ContainerRecord => {
    const container = containerOf(id);
    if (container.status.state !== "RUNNING")
      throw new RuntimeError(
        "unknown",
        `container ${id} is in state ${container.status.state}, not running`,
      );
    return container;
  };

  const finish = (container: ContainerRecord, exitCode: number): void => {
    if (container.status.state !== "RUNNING") return;
    for (const timer of container.timers) timer.cancel();
    container.timers = [];
    const { pid: _pid, ...status } = container.status;
    container.status = {
      ...status,
      state: "EXITED",
      finishedAt: nowNanoseconds(),
      exitCode,
      reason: exitCode === 0 ? "Completed" : "Error",
    };
    emit("stopped", status.id);
  };
  const writeLog = async (
    container: ContainerRecord,
    line: { readonly stream: string; readonly text: string },
  ): Promise<void> => {
    const { logDirectory } = container.sandbox.config;
    if (!writesLogs || logDirectory === "" || container.config.logPath === "") return;
    const file = join(logDirectory, container.config.logPath);
    await mkdir(dirname(file), { recursive: true });
    await appendFile(file, `${new Date(clock.now()).toISOString()} ${line.stream} F ${line.text}`);
  };
  const start = (container: ContainerRecord, behaviour: SimulatedProcess): void => {
    // One after the other, so that lines of the same moment keep their order. A log that cannot be written does not end a container.
    let written = Promise.resolve();
    for (const line of behaviour.output) {
      container.timers.push(
        clock.setTimer(line.atMs, () => {
          written = written.then(() => writeLog(container, line)).catch(() => {});
        }),
      );
    }
    if (behaviour.runMs !== undefined && !behaviour.copiesInput) {
      container.timers.push(
        clock.setTimer(
          behaviour.runMs,
          () => void written.then(() => finish(container, behaviour.exitCode)),
        ),
      );
    }
  };
  const processOf = (container: ContainerRecord): SimulatedProcess => {
    const { config, sandbox } = container;
    const command = [...config.command, ...config.args];
    return (
      options.script?.({ config, sandbox: sandbox.config }) ??
      annotatedProcess(config, sandbox.config) ??
      interpretCommand(command) ?? { exitCode: 0, output: [], copiesInput: false }
    );
  };
  const execProcess = (
    container: ContainerRecord,
    command: readonly string[],
  ): SimulatedProcess => {
    const { config, sandbox } = container;
    return (
      options.execScript?.({ config, sandbox: sandbox.config }, command) ??
      interpretCommand(command) ?? { runMs: 0, exitCode: 0, output: [], copiesInput: false }
    );
  };

  const addImage = (reference: string): Image => {
    const name = normalizeReference(reference);
    const existing = images.get(name);
    if (existing !== undefined) return existing;
    const digest = `sha256:${Buffer.from(name).toString("hex").padEnd(64, "0").slice(-64)}`;
    const image: Image = {
      id: digest,
      repoTags: [name],
      repoDigests: [`${name.replace(/:[^/]*$/, "")}@${digest}`],
      size: SIMULATED_IMAGE_BYTES,
      pinned: false,
    };
    images.set(name, image);
    return image;
  };
  const imageNamed = (reference: string): Image | undefined =>
    images.get(normalizeReference(reference)) ??
    [...images.values()].find((image) => image.id === reference);
  const isMissing = (reference: string): boolean => reference.startsWith(MISSING_IMAGE_PREFIX);

  return {
    version: async () => ({
      runtimeName: "simulated",
      runtimeVersion: "1.0.0",
      runtimeApiVersion: "v1",
    }),
    status: async () => ({ runtimeReady: true, networkReady: true, message: "" }),

    async runPodSandbox(config) {
      const hostNetwork = config.linux.securityContext.namespaceOptions.network === "NODE";
      const id = newId();
      const status: PodSandboxStatus = {
        id,
        metadata: config.metadata,
        state: "READY",
        createdAt: nowNanoseconds(),
        labels: config.labels,
        annotations: config.annotations,
        ips: hostNetwork ? [] : [addresses.allocate()],
        network: hostNetwork ? "NODE" : "POD",
      };
      sandboxes.set(id, { status, config });
      emit("started", id);
      return id;
    },
    async stopPodSandbox(id) {
      const sandbox = sandboxes.get(id);
      if (sandbox === undefined || sandbox.status.state === "NOTREADY") return;
      for (const container of containers.values())
        if (container.sandbox === sandbox) finish(container, KILLED);
      for (const ip of sandbox.status.ips) addresses.release(ip);
      sandbox.status = { ...sandbox.status, state: "NOTREADY", ips: [] };
      emit("stopped", id);
    },
    async removePodSandbox(id) {
      const sandbox = sandboxes.get(id);
      if (sandbox === undefined) return;
      if (sandbox.status.state === "READY")
        throw new RuntimeError("failedPrecondition", `sandbox ${id} is still running`);
      for (const [containerId, container] of containers) {
        if (container.sandbox !== sandbox) continue;
        containers.delete(containerId);
        emit("removed", containerId);
      }
      sandboxes.delete(id);
      emit("removed", id);
    },
    podSandboxStatus: async (id) => sandboxOf(id).status,
    async listPodSandboxes(filter = {}) {
      return [...sandboxes.values()]
        .map((sandbox) => sandbox.status)
        .filter(
          (status) =>
            (filter.id === undefined || status.id.startsWith(filter.id)) &&
            hasLabels(status.labels, filter.labels),
        );
    },

    async createContainer(sandboxId, config) {
      const sandbox = sandboxOf(sandboxId);
      const image = imageNamed(config.image);
      if (image === undefined)
        throw new RuntimeError(
          "notFound",
          `failed to resolve image ${JSON.stringify(config.image)}: not found`,
        );
      const id = newId();
      const status: ContainerStatus = {
        id,
        podSandboxId: sandboxId,
        metadata: config.metadata,
        image: config.image,
        imageRef: image.id,
        state: "CREATED",
        createdAt: nowNanoseconds(),
        labels: config.labels,
        annotations: config.annotations,
        startedAt: 0n,
        finishedAt: 0n,
        exitCode: 0,
        reason: "",
        message: "",
        logPath: join(sandbox.config.logDirectory, config.logPath),
      };
      containers.set(id, { status, config, sandbox, behaviour: undefined, timers: [] });
      return id;
    },
    async startContainer(id) {
      const container = containerOf(id);
      if (container.status.state !== "CREATED")
        throw new RuntimeError(
          "failedPrecondition",
          `container ${id} is in state ${container.status.state}`,
        );
      container.behaviour = processOf(container);
      container.status = { ...container.status, state: "RUNNING", startedAt: nowNanoseconds() };
      emit("started", id);
      start(container, container.behaviour);
    },
    async stopContainer(id) {
      const container = containers.get(id);
      if (container !== undefined) finish(container, TERMINATED_BY_SIGNAL);
    },
    async removeContainer(id) {
      const container = containers.get(id);
      if (container === undefined) return;
      finish(container, KILLED);
      containers.delete(id);
      emit("removed", id);
    },
    containerStatus: async (id) => containerOf(id).status,
    async listContainers(filter = {}) {
      return [...containers.values()]
        .map((container): Container => container.status)
        .filter(
          (status) =>
            (filter.id === undefined || status.id.startsWith(filter.id)) &&
            (filter.podSandboxId === undefined || status.podSandboxId === filter.podSandboxId) &&
            hasLabels(status.labels, filter.labels),
        );
    },
    async reopenContainerLog(id) {
      runningContainer(id);
    },
    async updateContainerResources(id) {
      containerOf(id);
    },

    async execSync(id, command, timeoutSeconds) {
      const behaviour = execProcess(runningContainer(id), command);
      const runMs = behaviour.runMs ?? Number.POSITIVE_INFINITY;
      if (timeoutSeconds > 0 && runMs > timeoutSeconds * 1000) {
        await clock.sleep(timeoutSeconds * 1000);
        throw new RuntimeError(
          "deadlineExceeded",
          `failed to exec in container: timeout ${timeoutSeconds}s exceeded: context deadline exceeded`,
        );
      }
      if (runMs > 0) await clock.sleep(runMs);
      const text = (stream: string): Buffer =>
        Buffer.from(
          behaviour.output
            .filter((line) => line.stream === stream)
            .map((line) => line.text)
            .join(""),
        );
      return { stdout: text("stdout"), stderr: text("stderr"), exitCode: behaviour.exitCode };
    },
    async exec(id, request) {
      return createSimulatedSession(
        execProcess(runningContainer(id), request.command),
        request,
        clock,
      );
    },
    async attach(id, request) {
      const { behaviour } = runningContainer(id);
      const copiesInput = behaviour?.copiesInput ?? false;
      return createSimulatedSession(
        { exitCode: 0, output: [], copiesInput, ...(copiesInput ? { runMs: 0 } : {}) },
        request,
        clock,
      );
    },
    /** Whatever is sent to a port comes back. */
    async portForward(sandboxId) {
      if (sandboxOf(sandboxId).status.state !== "READY")
        throw new RuntimeError("failedPrecondition", `sandbox ${sandboxId} is not ready`);
      const [near, far] = duplexPair();
      far.pipe(far);
      return near;
    },

    async *events(signal) {
      const waiting: ContainerEvent[] = [];
      let over = signal.aborted;
      let wake = (): void => {};
      const listener = (event: ContainerEvent): void => {
        waiting.push(event);
        if (waiting.length > EVENTS_WAITING_MAX) over = true;
        wake();
      };
      const onAbort = (): void => {
        over = true;
        wake();
      };
      listeners.add(listener);
      signal.addEventListener("abort", onAbort, { once: true });
      try {
        while (!over) {
          const event = waiting.shift();
          if (event !== undefined) yield event;
          else {
            await new Promise<void>((resolve) => {
              wake = resolve;
            });
          }
        }
      } finally {
        listeners.delete(listener);
        signal.removeEventListener("abort", onAbort);
      }
    },
    async containerStats() {
      const timestamp = nowNanoseconds();
      return [...containers.values()]
        .filter((container) => container.status.state === "RUNNING")
        .map(({ status }) => ({
          id: status.id,
          labels: status.labels,
          /** A thousandth of a core. */
          cpuUsageNanoSeconds: (timestamp - status.startedAt) / 1000n,
          memoryWorkingSetBytes: SIMULATED_MEMORY_BYTES,
          timestamp,
        }));
    },

    listImages: async () => [...images.values()],
    async imageStatus(reference) {
      return imageNamed(reference) ?? (isMissing(reference) ? undefined : addImage(reference));
    },
    async pullImage(reference) {
      if (isMissing(reference))
        throw new RuntimeError(
          "notFound",
          `failed to pull and unpack image ${JSON.stringify(normalizeReference(reference))}: not found`,
        );
      return addImage(reference).id;
    },
    async removeImage(reference) {
      const image = imageNamed(reference);
      if (image !== undefined) for (const tag of image.repoTags) images.delete(tag);
    },
    imageFsInfo: async () => ({
      mountpoint: "/",
      usedBytes: BigInt(images.size * SIMULATED_IMAGE_BYTES),
    }),
    async importImages(tarFile) {
      const plan = planImport(tarFile, await scanArchive(tarFile));
      return plan.images.map(({ reference }) => {
        addImage(reference);
        return reference;
      });
    },
    close() {
      for (const container of containers.values())
        for (const timer of container.timers) timer.cancel();
      listeners.clear();
    },
  };
}

function annotatedProcess(
  config: ContainerConfig,
  sandbox: PodSandboxConfig,
): SimulatedProcess | undefined {
  const read = (annotation: string): string | undefined =>
    config.annotations[annotation] ??
    sandbox.annotations[`${annotation}.${config.metadata.name}`] ??
    sandbox.annotations[annotation];
  const runMs = read(RUN_MS_ANNOTATION);
  const exitCode = read(EXIT_CODE_ANNOTATION);
  if (runMs === undefined && exitCode === undefined) return undefined;
  const numbers = [Number(runMs ?? 0), Number(exitCode ?? 0)];
  const [duration = 0, code = 0] = numbers;
  if (numbers.some((number) => !Number.isInteger(number) || number < 0)) {
    throw new RuntimeError(
      "invalidArgument",
      `annotations ${RUN_MS_ANNOTATION} and ${EXIT_CODE_ANNOTATION} take whole numbers, got ${runMs ?? ""} and ${exitCode ?? ""}`,
    );
  }
  return { runMs: duration, exitCode: code, output: [], copiesInput: false };
}

function found<T>(records: ReadonlyMap<string, T>, id: string, what: string): T {
  const record = records.get(id);
  if (record === undefined)
    throw new RuntimeError("notFound", `${what} ${JSON.stringify(id)} is not known: not found`);
  return record;
}

function hasLabels(
  labels: Readonly<Record<string, string>>,
  wanted: Readonly<Record<string, string>> = {},
): boolean {
  return Object.entries(wanted).every(([name, value]) => labels[name] === value);
}

function newId(): string {
  return randomBytes(32).toString("hex");
}
