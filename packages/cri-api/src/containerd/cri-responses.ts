import type {
  CriContainer,
  CriContainerMetadata,
  CriContainerStats,
  CriContainerStatus,
  CriImage,
  CriPodSandbox,
  CriPodSandboxMetadata,
  CriPodSandboxStatus,
} from "../gen/cri.js";
import type {
  Container,
  ContainerMetadata,
  ContainerState,
  ContainerStats,
  ContainerStatus,
  Image,
  PodSandbox,
  PodSandboxMetadata,
  PodSandboxStatus,
} from "../runtime.ts";

/** On the wire a field that is zero, empty or an enum's first value is absent. */
type Wire<T> = T | undefined;

export function podSandboxFrom(message: CriPodSandbox): PodSandbox {
  return {
    id: message.id ?? "",
    metadata: sandboxMetadataFrom(message.metadata),
    state: message.state === "SANDBOX_NOTREADY" ? "NOTREADY" : "READY",
    createdAt: bigintFrom(message.created_at),
    labels: message.labels ?? {},
    annotations: message.annotations ?? {},
  };
}

export function podSandboxStatusFrom(message: CriPodSandboxStatus): PodSandboxStatus {
  const ips = [
    message.network?.ip ?? "",
    ...(message.network?.additional_ips ?? []).map((address) => address.ip ?? ""),
  ];
  return {
    ...podSandboxFrom({ ...message }),
    ips: ips.filter((ip) => ip !== ""),
    network: message.linux?.namespaces?.options?.network ?? "POD",
  };
}

export function containerFrom(message: CriContainer): Container {
  return {
    id: message.id ?? "",
    podSandboxId: message.pod_sandbox_id ?? "",
    metadata: containerMetadataFrom(message.metadata),
    image: message.image?.image ?? "",
    imageRef: message.image_ref ?? "",
    state: containerStateFrom(message.state),
    createdAt: bigintFrom(message.created_at),
    labels: message.labels ?? {},
    annotations: message.annotations ?? {},
  };
}

/** What containerd adds to a verbose status: CRI's own message names neither the sandbox nor the process. */
export interface ContainerInfo {
  readonly sandboxID?: string;
  readonly pid?: number;
}

export function containerStatusFrom(
  message: CriContainerStatus,
  info: ContainerInfo,
): ContainerStatus {
  return {
    id: message.id ?? "",
    podSandboxId: info.sandboxID ?? "",
    ...(info.pid === undefined || info.pid === 0 ? {} : { pid: info.pid }),
    metadata: containerMetadataFrom(message.metadata),
    image: message.image?.image ?? "",
    imageRef: message.image_ref ?? "",
    state: containerStateFrom(message.state),
    createdAt: bigintFrom(message.created_at),
    labels: message.labels ?? {},
    annotations: message.annotations ?? {},
    startedAt: bigintFrom(message.started_at),
    finishedAt: bigintFrom(message.finished_at),
    exitCode: message.exit_code ?? 0,
    reason: message.reason ?? "",
    message: message.message ?? "",
    logPath: message.log_path ?? "",
  };
}

export function imageFrom(message: CriImage): Image {
  const uid = message.uid?.value;
  const { username } = message;
  return {
    id: message.id ?? "",
    repoTags: message.repo_tags ?? [],
    repoDigests: message.repo_digests ?? [],
    size: Number(message.size ?? 0),
    pinned: message.pinned ?? false,
    ...(message.uid === undefined && username === undefined
      ? {}
      : {
          user: {
            ...(message.uid === undefined ? {} : { uid: Number(uid ?? 0) }),
            ...(username === undefined ? {} : { username }),
          },
        }),
  };
}

export function containerStatsFrom(message: CriContainerStats): ContainerStats {
  return {
    id: message.attributes?.id ?? "",
    labels: message.attributes?.labels ?? {},
    cpuUsageNanoSeconds: bigintFrom(message.cpu?.usage_core_nano_seconds?.value),
    memoryWorkingSetBytes: bigintFrom(message.memory?.working_set_bytes?.value),
    timestamp: bigintFrom(message.cpu?.timestamp ?? message.memory?.timestamp),
  };
}

export function bigintFrom(value: Wire<bigint | number>): bigint {
  return BigInt(value ?? 0);
}

function sandboxMetadataFrom(message: Wire<CriPodSandboxMetadata>): PodSandboxMetadata {
  return {
    name: message?.name ?? "",
    uid: message?.uid ?? "",
    namespace: message?.namespace ?? "",
    attempt: message?.attempt ?? 0,
  };
}

function containerMetadataFrom(message: Wire<CriContainerMetadata>): ContainerMetadata {
  return { name: message?.name ?? "", attempt: message?.attempt ?? 0 };
}

function containerStateFrom(state: CriContainer["state"]): ContainerState {
  switch (state) {
    case "CONTAINER_RUNNING":
      return "RUNNING";
    case "CONTAINER_EXITED":
      return "EXITED";
    case "CONTAINER_UNKNOWN":
      return "UNKNOWN";
    case "CONTAINER_CREATED":
    case undefined:
      return "CREATED";
  }
}
