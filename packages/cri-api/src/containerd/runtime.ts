import { systemClock, type Clock, type Logger } from "@wherry/service-kit";
import type { ContainerRuntime, ExecOptions } from "../runtime.ts";
import { RuntimeError } from "../runtime.ts";
import { openSpdyPortForward, openSpdySession } from "../spdy-session.ts";
import { createCriClient } from "./cri-client.ts";
import { containerConfigMessage, resourcesMessage, sandboxConfigMessage } from "./cri-requests.ts";
import {
  bigintFrom,
  containerFrom,
  containerStatsFrom,
  containerStatusFrom,
  imageFrom,
  podSandboxFrom,
  podSandboxStatusFrom,
  type ContainerInfo,
} from "./cri-responses.ts";
import { subscribeToEvents } from "./events.ts";
import { createGrpcChannel } from "./grpc-channel.ts";
import { createNativeClient } from "./native-client.ts";

/** A sandbox needs its network plugins too. */
const SANDBOX_TIMEOUT_MS = 240_000;
const CALL_SLACK_MS = 120_000;
/** About five seconds in all, between looks whether an imported image is listed. */
const LISTED_DELAYS_MS = [2, 5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560];
/** The server ends a synchronous exec by itself; this is how much later the client gives up waiting. */
const EXEC_SLACK_MS = 10_000;

export interface ContainerdRuntimeOptions {
  /** Path of the unix socket. */
  readonly socket: string;
  readonly log: Logger;
  readonly clock?: Clock;
}

/** CRI v1 over containerd's socket, for 1.6 to 2.x. Connects at the first call and again whenever containerd comes back. */
export function createContainerdRuntime(
  options: ContainerdRuntimeOptions,
): ContainerRuntime & { close(): void } {
  const { socket, clock = systemClock } = options;
  const log = options.log.child({ component: "containerd" });
  const channel = createGrpcChannel(socket);
  const cri = createCriClient(channel);
  const native = createNativeClient(channel);

  const execUrl = async (containerId: string, request: ExecOptions): Promise<string> => {
    const { url } = await cri.runtime("Exec", {
      container_id: containerId,
      cmd: request.command,
      ...streamFlags(request),
    });
    return url ?? "";
  };
  const attachUrl = async (
    containerId: string,
    request: Omit<ExecOptions, "command">,
  ): Promise<string> => {
    const { url } = await cri.runtime("Attach", {
      container_id: containerId,
      ...streamFlags(request),
    });
    return url ?? "";
  };
  const portForwardUrl = async (sandboxId: string, ports: readonly number[]): Promise<string> => {
    const { url } = await cri.runtime("PortForward", { pod_sandbox_id: sandboxId, port: ports });
    return url ?? "";
  };

  const runtime: ContainerRuntime & { close(): void } = {
    async version() {
      const answer = await cri.runtime("Version", {});
      return {
        runtimeName: answer.runtime_name ?? "",
        runtimeVersion: answer.runtime_version ?? "",
        runtimeApiVersion: answer.runtime_api_version ?? "",
      };
    },
    async status() {
      const { status } = await cri.runtime("Status", {});
      const conditions = status?.conditions ?? [];
      const failing = conditions.filter((condition) => condition.status !== true);
      return {
        runtimeReady: conditions.some(
          (condition) => condition.type === "RuntimeReady" && condition.status === true,
        ),
        networkReady: conditions.some(
          (condition) => condition.type === "NetworkReady" && condition.status === true,
        ),
        message: failing
          .map(
            (condition) =>
              `${condition.type ?? ""}: ${condition.reason ?? ""}: ${condition.message ?? ""}`,
          )
          .join("; "),
      };
    },
    async runPodSandbox(config, runtimeHandler) {
      const answer = await cri.runtime(
        "RunPodSandbox",
        { config: sandboxConfigMessage(config), runtime_handler: runtimeHandler },
        SANDBOX_TIMEOUT_MS,
      );
      return answer.pod_sandbox_id ?? "";
    },
    async stopPodSandbox(id) {
      await unlessShimCloses(clock, () =>
        unlessGone(cri.runtime("StopPodSandbox", { pod_sandbox_id: id }, SANDBOX_TIMEOUT_MS)),
      );
    },
    async removePodSandbox(id) {
      await unlessGone(cri.runtime("RemovePodSandbox", { pod_sandbox_id: id }, SANDBOX_TIMEOUT_MS));
    },
    async podSandboxStatus(id) {
      const { status } = await cri.runtime("PodSandboxStatus", { pod_sandbox_id: id });
      if (status === undefined)
        throw new RuntimeError("notFound", `the runtime knows no sandbox ${id}`);
      return podSandboxStatusFrom(status);
    },
    async listPodSandboxes(filter = {}) {
      const { items } = await cri.runtime("ListPodSandbox", {
        filter: { id: filter.id, label_selector: filter.labels },
      });
      return (items ?? []).map(podSandboxFrom);
    },
    async createContainer(sandboxId, config, sandboxConfig) {
      const answer = await cri.runtime("CreateContainer", {
        pod_sandbox_id: sandboxId,
        config: containerConfigMessage(config),
        sandbox_config: sandboxConfigMessage(sandboxConfig),
      });
      return answer.container_id ?? "";
    },
    async startContainer(id) {
      await cri.runtime("StartContainer", { container_id: id });
    },
    async stopContainer(id, timeoutSeconds) {
      const callTimeoutMs = timeoutSeconds * 1000 + CALL_SLACK_MS;
      await unlessShimCloses(clock, () =>
        unlessGone(
          cri.runtime(
            "StopContainer",
            { container_id: id, timeout: timeoutSeconds },
            callTimeoutMs,
          ),
        ),
      );
    },
    async removeContainer(id) {
      await unlessGone(cri.runtime("RemoveContainer", { container_id: id }));
    },
    async containerStatus(id) {
      const { status, info } = await cri.runtime("ContainerStatus", {
        container_id: id,
        verbose: true,
      });
      if (status === undefined)
        throw new RuntimeError("notFound", `the runtime knows no container ${id}`);
      return containerStatusFrom(status, JSON.parse(info?.["info"] ?? "{}") as ContainerInfo);
    },
    async listContainers(filter = {}) {
      const { containers } = await cri.runtime("ListContainers", {
        filter: {
          id: filter.id,
          pod_sandbox_id: filter.podSandboxId,
          label_selector: filter.labels,
        },
      });
      return (containers ?? []).map(containerFrom);
    },
    async reopenContainerLog(id) {
      await cri.runtime("ReopenContainerLog", { container_id: id });
    },
    async updateContainerResources(id, resources) {
      await cri.runtime("UpdateContainerResources", {
        container_id: id,
        linux: resourcesMessage(resources),
      });
    },
    async execSync(id, command, timeoutSeconds) {
      const timeoutMs = timeoutSeconds === 0 ? 0 : timeoutSeconds * 1000 + EXEC_SLACK_MS;
      const answer = await cri.runtime(
        "ExecSync",
        { container_id: id, cmd: command, timeout: timeoutSeconds },
        timeoutMs,
      );
      return {
        stdout: bufferFrom(answer.stdout),
        stderr: bufferFrom(answer.stderr),
        exitCode: answer.exit_code ?? 0,
      };
    },
    async exec(id, request) {
      return openSpdySession(await execUrl(id, request), request);
    },
    async attach(id, request) {
      return openSpdySession(await attachUrl(id, request), request);
    },
    async portForward(sandboxId, port) {
      return openSpdyPortForward(await portForwardUrl(sandboxId, [port]), port);
    },
    async streamingUrl(request) {
      switch (request.kind) {
        case "exec":
          return execUrl(request.containerId, request);
        case "attach":
          return attachUrl(request.containerId, request);
        case "portForward":
          return portForwardUrl(request.sandboxId, request.ports);
      }
    },
    events: (signal) => subscribeToEvents(channel, native, runtime, clock, signal),
    async containerStats() {
      const { stats } = await cri.runtime("ListContainerStats", {});
      return (stats ?? []).map(containerStatsFrom);
    },
    async listImages() {
      const { images } = await cri.image("ListImages", {});
      return (images ?? []).map(imageFrom);
    },
    async imageStatus(reference) {
      const { image } = await cri.image("ImageStatus", { image: { image: reference } });
      return image === undefined ? undefined : imageFrom(image);
    },
    async pullImage(reference, auth) {
      const request = {
        image: { image: reference },
        auth:
          auth === undefined
            ? undefined
            : {
                username: auth.username,
                password: auth.password,
                auth: auth.auth,
                server_address: auth.serverAddress,
                identity_token: auth.identityToken,
                registry_token: auth.registryToken,
              },
      };
      const answer = await cri.image("PullImage", request, 0);
      return answer.image_ref ?? "";
    },
    async removeImage(reference) {
      await cri.image("RemoveImage", { image: { image: reference } });
    },
    async imageFsInfo() {
      const { image_filesystems: filesystems } = await cri.image("ImageFsInfo", {});
      const first = filesystems?.[0];
      return {
        mountpoint: first?.fs_id?.mountpoint ?? "",
        usedBytes: bigintFrom(first?.used_bytes?.value),
      };
    },
    async importImages(tarFile) {
      const { importImageArchive } = await import("./image-import.ts");
      const references = await importImageArchive(channel, native, tarFile);
      for (const reference of references) await waitUntilListed(runtime, clock, tarFile, reference);
      log.info({ file: tarFile, images: references }, "imported images");
      return references;
    },
    close: () => channel.close(),
  };
  return runtime;
}

/** The CRI plugin learns of an image from an event; a pod that comes earlier would make it pull. */
async function waitUntilListed(
  runtime: ContainerRuntime,
  clock: Clock,
  tarFile: string,
  reference: string,
): Promise<void> {
  for (const delayMs of LISTED_DELAYS_MS) {
    if ((await runtime.imageStatus(reference)) !== undefined) return;
    await clock.sleep(delayMs);
  }
  throw new RuntimeError(
    "failedPrecondition",
    `${tarFile}: ${reference} was imported, but the runtime does not offer it. Does the archive hold it for this machine's architecture?`,
  );
}

/** CRI wants stopping and removing to be idempotent; containerd 1.6 answers "not found" for some of them. */
async function unlessGone(call: Promise<unknown>): Promise<void> {
  try {
    await call;
  } catch (error) {
    if (!(error instanceof RuntimeError) || error.code !== "notFound") throw error;
  }
}

const SHIM_TRIES_MAX = 5;
const SHIM_RETRY_MS = 50;

/**
 * A shim that ends while containerd talks to it makes a stop fail with "ttrpc: closed", which only its text tells from other failures. Stopping is
 * idempotent, so it is asked for again a few times.
 */
async function unlessShimCloses(clock: Clock, stop: () => Promise<unknown>): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await stop();
      return;
    } catch (error) {
      const isRace = error instanceof RuntimeError && /ttrpc: closed/.test(error.message);
      if (!isRace || tries >= SHIM_TRIES_MAX) throw error;
      await clock.sleep(SHIM_RETRY_MS);
    }
  }
}

/** CRI refuses a tty together with a separate stderr. */
function streamFlags(request: Omit<ExecOptions, "command">): {
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
} {
  return {
    tty: request.tty,
    stdin: request.stdin,
    stdout: request.stdout,
    stderr: request.stderr && !request.tty,
  };
}

function bufferFrom(bytes: Uint8Array | undefined): Buffer {
  return bytes === undefined
    ? Buffer.alloc(0)
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
