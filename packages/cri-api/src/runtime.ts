/**
 * The container runtime as the node agent sees it: CRI v1 (k8s.io/cri-api runtime.v1) plus what the agent needs beyond it (events,
 * image import). Two implementations pass one contract suite: containerd over its socket, and the simulated runtime.
 * Message fields keep CRI's snake_case-to-camelCase JSON names; int64 nanosecond timestamps are bigints.
 */
import type { Duplex } from "node:stream";

export interface RuntimeVersion {
  readonly runtimeName: string;
  readonly runtimeVersion: string;
  readonly runtimeApiVersion: string;
}

export interface PodSandboxMetadata {
  readonly name: string;
  readonly uid: string;
  readonly namespace: string;
  readonly attempt: number;
}

export interface ContainerMetadata {
  readonly name: string;
  readonly attempt: number;
}

export interface PodSandboxConfig {
  readonly metadata: PodSandboxMetadata;
  readonly hostname: string;
  readonly logDirectory: string;
  readonly dnsConfig?: {
    readonly servers: readonly string[];
    readonly searches: readonly string[];
    readonly options: readonly string[];
  };
  readonly portMappings: readonly {
    readonly protocol: "TCP" | "UDP" | "SCTP";
    readonly containerPort: number;
    readonly hostPort: number;
    readonly hostIp: string;
  }[];
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly linux: {
    readonly cgroupParent: string;
    readonly sysctls: Readonly<Record<string, string>>;
    readonly securityContext: SandboxSecurityContext;
  };
}

export type NamespaceMode = "POD" | "CONTAINER" | "NODE" | "TARGET";

export interface NamespaceOptions {
  readonly network: NamespaceMode;
  readonly pid: NamespaceMode;
  readonly ipc: NamespaceMode;
  readonly targetId?: string;
}

export interface SandboxSecurityContext {
  readonly namespaceOptions: NamespaceOptions;
  readonly privileged: boolean;
  readonly runAsUser?: number;
  readonly runAsGroup?: number;
  readonly supplementalGroups: readonly number[];
  readonly readonlyRootfs: boolean;
  readonly seccomp?: SeccompProfile;
}

export interface SeccompProfile {
  readonly profileType: "RuntimeDefault" | "Unconfined" | "Localhost";
  readonly localhostRef?: string;
}

export interface Mount {
  readonly containerPath: string;
  readonly hostPath: string;
  readonly readonly: boolean;
  readonly propagation: "PRIVATE" | "HOST_TO_CONTAINER" | "BIDIRECTIONAL";
}

export interface ContainerResources {
  readonly cpuPeriod?: number;
  readonly cpuQuota?: number;
  readonly cpuShares?: number;
  readonly memoryLimitInBytes?: number;
  readonly oomScoreAdj?: number;
}

export interface ContainerConfig {
  readonly metadata: ContainerMetadata;
  readonly image: string;
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly workingDir: string;
  readonly envs: readonly { readonly key: string; readonly value: string }[];
  readonly mounts: readonly Mount[];
  readonly devices: readonly {
    readonly containerPath: string;
    readonly hostPath: string;
    readonly permissions: string;
  }[];
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** Relative to the sandbox's log directory. */
  readonly logPath: string;
  readonly stdin: boolean;
  readonly stdinOnce: boolean;
  readonly tty: boolean;
  readonly linux: {
    readonly resources: ContainerResources;
    readonly securityContext: ContainerSecurityContext;
  };
}

export interface ContainerSecurityContext {
  readonly namespaceOptions: NamespaceOptions;
  readonly privileged: boolean;
  readonly capabilities: { readonly add: readonly string[]; readonly drop: readonly string[] };
  readonly runAsUser?: number;
  readonly runAsGroup?: number;
  readonly runAsUsername?: string;
  readonly supplementalGroups: readonly number[];
  readonly readonlyRootfs: boolean;
  readonly noNewPrivileges: boolean;
  readonly maskedPaths: readonly string[];
  readonly readonlyPaths: readonly string[];
  readonly seccomp?: SeccompProfile;
}

export interface PodSandbox {
  readonly id: string;
  readonly metadata: PodSandboxMetadata;
  readonly state: "READY" | "NOTREADY";
  readonly createdAt: bigint;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface PodSandboxStatus extends PodSandbox {
  /** First is the primary; empty for host network. */
  readonly ips: readonly string[];
  readonly network: NamespaceMode;
}

export type ContainerState = "CREATED" | "RUNNING" | "EXITED" | "UNKNOWN";

export interface Container {
  readonly id: string;
  readonly podSandboxId: string;
  readonly metadata: ContainerMetadata;
  readonly image: string;
  readonly imageRef: string;
  readonly state: ContainerState;
  readonly createdAt: bigint;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface ContainerStatus extends Container {
  /** Nanoseconds since the epoch; 0n = not yet. */
  readonly startedAt: bigint;
  readonly finishedAt: bigint;
  readonly exitCode: number;
  /** "Completed", "Error", "OOMKilled" … */
  readonly reason: string;
  readonly message: string;
  readonly logPath: string;
  /** Process id on the host while running; absent when the runtime does not say. */
  readonly pid?: number;
}

export interface Image {
  readonly id: string;
  readonly repoTags: readonly string[];
  readonly repoDigests: readonly string[];
  /** Bytes. */
  readonly size: number;
  readonly user?: { readonly uid?: number; readonly username?: string };
  readonly pinned: boolean;
}

export interface ContainerStats {
  readonly id: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Cumulative. */
  readonly cpuUsageNanoSeconds: bigint;
  readonly memoryWorkingSetBytes: bigint;
  readonly timestamp: bigint;
}

export interface ContainerEvent {
  readonly kind: "started" | "stopped" | "oom" | "removed";
  readonly containerId: string;
}

export interface AuthConfig {
  readonly username?: string;
  readonly password?: string;
  readonly auth?: string;
  readonly serverAddress?: string;
  readonly identityToken?: string;
  readonly registryToken?: string;
}

export interface ContainerRuntime {
  version(): Promise<RuntimeVersion>;
  status(): Promise<{
    readonly runtimeReady: boolean;
    readonly networkReady: boolean;
    readonly message: string;
  }>;
  runPodSandbox(config: PodSandboxConfig, runtimeHandler?: string): Promise<string>;
  stopPodSandbox(id: string): Promise<void>;
  removePodSandbox(id: string): Promise<void>;
  podSandboxStatus(id: string): Promise<PodSandboxStatus>;
  listPodSandboxes(filter?: {
    readonly id?: string;
    readonly labels?: Readonly<Record<string, string>>;
  }): Promise<readonly PodSandbox[]>;
  createContainer(
    sandboxId: string,
    config: ContainerConfig,
    sandboxConfig: PodSandboxConfig,
  ): Promise<string>;
  startContainer(id: string): Promise<void>;
  /** SIGTERM, then SIGKILL after `timeoutSeconds`. */
  stopContainer(id: string, timeoutSeconds: number): Promise<void>;
  removeContainer(id: string): Promise<void>;
  containerStatus(id: string): Promise<ContainerStatus>;
  listContainers(filter?: {
    readonly id?: string;
    readonly podSandboxId?: string;
    readonly labels?: Readonly<Record<string, string>>;
  }): Promise<readonly Container[]>;
  reopenContainerLog(id: string): Promise<void>;
  updateContainerResources(id: string, resources: ContainerResources): Promise<void>;
  /** Runs a command to its end. Rejects with code `deadlineExceeded` after `timeoutSeconds` (0 = none). */
  execSync(
    id: string,
    command: readonly string[],
    timeoutSeconds: number,
  ): Promise<{ readonly stdout: Buffer; readonly stderr: Buffer; readonly exitCode: number }>;
  /** Streaming; see `ExecSession`. */
  exec(id: string, options: ExecOptions): Promise<ExecSession>;
  attach(id: string, options: Omit<ExecOptions, "command">): Promise<ExecSession>;
  /** A byte stream to `port` on the loopback of the sandbox's network namespace. */
  portForward(sandboxId: string, port: number): Promise<Duplex>;
  /** URL of the runtime's own SPDY streaming server for one request; SPDY clients are relayed to it byte by byte. Absent: not offered. */
  streamingUrl?(
    request:
      | ({ readonly kind: "exec"; readonly containerId: string } & ExecOptions)
      | ({ readonly kind: "attach"; readonly containerId: string } & Omit<ExecOptions, "command">)
      | {
          readonly kind: "portForward";
          readonly sandboxId: string;
          readonly ports: readonly number[];
        },
  ): Promise<string>;
  /** Ends when the signal aborts or the runtime goes away. May miss events; callers relist now and then. */
  events(signal: AbortSignal): AsyncIterable<ContainerEvent>;
  containerStats(): Promise<readonly ContainerStats[]>;
  listImages(): Promise<readonly Image[]>;
  imageStatus(reference: string): Promise<Image | undefined>;
  /** Returns the image id. */
  pullImage(reference: string, auth?: AuthConfig): Promise<string>;
  removeImage(reference: string): Promise<void>;
  /** Bytes used by images and the mount point they lie on. */
  imageFsInfo(): Promise<{ readonly mountpoint: string; readonly usedBytes: bigint }>;
  /** Imports every image of a docker-save or OCI-layout tar file. Returns the references. Idempotent. */
  importImages(tarFile: string): Promise<readonly string[]>;
}

export interface ExecOptions {
  readonly command: readonly string[];
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

/** The streams of one exec or attach. With a tty there is no stderr. Ending `stdin` half-closes it. */
export interface ExecSession {
  readonly stdin: NodeJS.WritableStream | undefined;
  readonly stdout: NodeJS.ReadableStream | undefined;
  readonly stderr: NodeJS.ReadableStream | undefined;
  resize(columns: number, rows: number): void;
  /** Exit code once all output has been delivered; rejects when the connection breaks. */
  readonly exit: Promise<number>;
  /** Ends the session; the process inside goes on (as with containerd). */
  close(): void;
}

/** gRPC's status codes by name. */
export type RuntimeErrorCode =
  | "cancelled"
  | "unknown"
  | "invalidArgument"
  | "deadlineExceeded"
  | "notFound"
  | "alreadyExists"
  | "permissionDenied"
  | "resourceExhausted"
  | "failedPrecondition"
  | "aborted"
  | "outOfRange"
  | "unimplemented"
  | "internal"
  | "unavailable"
  | "dataLoss"
  | "unauthenticated";

/** A failed runtime call, with gRPC's code and the runtime's text. */
export class RuntimeError extends Error {
  readonly code: RuntimeErrorCode;

  constructor(code: RuntimeErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "RuntimeError";
    this.code = code;
  }
}
