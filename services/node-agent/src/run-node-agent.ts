import { hostname } from "node:os";
import { join } from "node:path";
import { createApiClient, createHttpTransport } from "@wherry/client";
import type { HttpTransport } from "@wherry/client";
import { createContainerdRuntime, createSimulatedRuntime } from "@wherry/cri-api";
import type { ContainerRuntime } from "@wherry/cri-api";
import { loadKubeconfig } from "@wherry/pki";
import {
  createMetrics,
  parseConfig,
  runServices,
  systemClock,
  UsageError,
} from "@wherry/service-kit";
import type { FlagDefinition, FlagValues, Logger, ServiceNode } from "@wherry/service-kit";
import { createNodeAgent } from "./agent.ts";
import { nodeAgentConfig } from "./config.ts";
import type { NodeAgentConfig } from "./config.ts";

/** Flags of the node agent on its own. Where K3s or the kubelet have one for the same thing, it has their name. */
export const nodeAgentFlags: readonly FlagDefinition[] = [
  {
    name: "kubeconfig",
    kind: "string",
    env: ["KUBECONFIG"],
    help: "File with the API server's address and this node's credentials. Required.",
  },
  {
    name: "runtime",
    kind: "string",
    defaultText: "containerd",
    help: "containerd, or simulated: containers in memory, for scale tests.",
  },
  {
    name: "container-runtime-endpoint",
    kind: "string",
    defaultText: "/run/containerd/containerd.sock",
    help: "Socket of containerd.",
  },
  {
    name: "nodes",
    kind: "integer",
    defaultText: "1",
    help: "Number of hollow nodes; needs --runtime simulated.",
  },
  {
    name: "node-name",
    kind: "string",
    env: ["K3S_NODE_NAME"],
    help: "Name of the node; default: the host name.",
  },
  { name: "node-ip", kind: "list", env: ["K3S_NODE_IP"], help: "Internal addresses." },
  {
    name: "node-external-ip",
    kind: "list",
    env: ["K3S_NODE_EXTERNAL_IP"],
    help: "External addresses.",
  },
  { name: "node-label", kind: "list", help: "KEY=VALUE; labels at registration." },
  { name: "node-taint", kind: "list", help: "KEY=VALUE:EFFECT; taints at registration." },
  {
    name: "root-dir",
    kind: "string",
    defaultText: "/var/lib/kubelet",
    help: "Holds pods' volumes.",
  },
  { name: "image-dir", kind: "string", help: "Image archives to import at start." },
  {
    name: "cgroup-root",
    kind: "string",
    defaultText: "/",
    help: "Cgroup under which the pods' groups are made.",
  },
  {
    name: "cluster-dns",
    kind: "list",
    defaultText: "10.43.0.10",
    help: "Addresses of the cluster's DNS.",
  },
  {
    name: "cluster-domain",
    kind: "string",
    defaultText: "cluster.local",
    help: "Domain of the cluster.",
  },
  {
    name: "resolv-conf",
    kind: "string",
    defaultText: "/etc/resolv.conf",
    help: "The host's resolver file.",
  },
  { name: "max-pods", kind: "integer", defaultText: "110", help: "Pods that the node takes." },
];

const simulatedCapacity = {
  cpuMilli: 4_000,
  memoryBytes: 8 * 1024 ** 3,
  storageBytes: 100 * 1024 ** 3,
};
const stopTimeoutMs = 10_000;
/** Each followed configMap and secret holds a connection, each node a few more. */
const connectionsPerNode = 300;

export interface NodeAgentRun {
  readonly kubeconfig: string;
  readonly runtime: "containerd" | "simulated";
  readonly socket: string;
  readonly nodes: readonly NodeAgentConfig[];
}

/** Throws UsageError naming the flag that is wrong or missing. */
export function nodeAgentRunOf(values: FlagValues): NodeAgentRun {
  const kubeconfig = textOf(values, "kubeconfig");
  if (kubeconfig === undefined)
    throw new UsageError(
      "--kubeconfig is required: the file with the API server's address and this node's credentials",
    );
  const runtime = textOf(values, "runtime") ?? "containerd";
  if (runtime !== "containerd" && runtime !== "simulated")
    throw new UsageError(`--runtime must be containerd or simulated, not "${runtime}"`);
  const count = typeof values["nodes"] === "number" ? values["nodes"] : 1;
  if (count < 1) throw new UsageError("--nodes must be 1 or more");
  if (count > 1 && runtime !== "simulated")
    throw new UsageError(
      "--nodes needs --runtime simulated: one machine's containerd serves one node",
    );
  const name = textOf(values, "node-name") ?? hostname().toLowerCase();
  const names =
    count === 1 ? [name] : Array.from({ length: count }, (_, index) => `${name}-${index + 1}`);
  return {
    kubeconfig,
    runtime,
    socket: (
      textOf(values, "container-runtime-endpoint") ?? "/run/containerd/containerd.sock"
    ).replace(/^unix:\/\//u, ""),
    nodes: names.map((nodeName) =>
      parseConfig(nodeAgentConfig, {
        ...commonConfig(values),
        ...(runtime === "simulated" ? hollowConfig(values, nodeName) : {}),
        nodeName,
      }),
    ),
  };
}

function commonConfig(values: FlagValues): Record<string, unknown> {
  const given = {
    nodeIps: values["node-ip"],
    nodeExternalIps: values["node-external-ip"],
    nodeLabels: Object.fromEntries(listOf(values, "node-label").map(parseLabel)),
    nodeTaints: listOf(values, "node-taint").map(parseTaint),
    kubeletRoot: values["root-dir"],
    imagesDir: values["image-dir"],
    cgroupRoot: values["cgroup-root"],
    clusterDns: values["cluster-dns"],
    clusterDomain: values["cluster-domain"],
    resolvConf: values["resolv-conf"],
    podsMax: values["max-pods"],
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

/** A node without a machine: folders of its own, nothing mounted, no cgroups. */
function hollowConfig(values: FlagValues, nodeName: string): Record<string, unknown> {
  const root = join(textOf(values, "root-dir") ?? "/var/lib/kubelet", "hollow", nodeName);
  return {
    mounts: "none",
    cgroups: "none",
    capacity: simulatedCapacity,
    kubeletRoot: root,
    podLogsRoot: join(root, "log/pods"),
    containerLogsRoot: join(root, "log/containers"),
  };
}

function parseLabel(text: string): [string, string] {
  const equals = text.indexOf("=");
  if (equals < 1) throw new UsageError(`--node-label must be KEY=VALUE, not "${text}"`);
  return [text.slice(0, equals), text.slice(equals + 1)];
}

function parseTaint(text: string): {
  readonly key: string;
  readonly value?: string;
  readonly effect: string;
} {
  const match = /^([^=:]+)(?:=([^:]*))?:(NoSchedule|PreferNoSchedule|NoExecute)$/u.exec(text);
  const [, key, value, effect] = match ?? [];
  if (key === undefined || effect === undefined)
    throw new UsageError(
      `--node-taint must be KEY=VALUE:EFFECT with effect NoSchedule, PreferNoSchedule or NoExecute, not "${text}"`,
    );
  return { key, effect, ...(value === undefined ? {} : { value }) };
}

function textOf(values: FlagValues, name: string): string | undefined {
  const value = values[name];
  return typeof value === "string" && value !== "" ? value : undefined;
}

function listOf(values: FlagValues, name: string): readonly string[] {
  const value = values[name];
  return Array.isArray(value) ? (value as readonly string[]) : [];
}

export interface RunNodeAgentOptions {
  readonly signal: AbortSignal;
  readonly log: Logger;
  readonly onReady?: () => void;
}

/** Runs the node agents until the signal aborts; rejects when one ends by itself. Their pods stay. */
export async function runNodeAgent(run: NodeAgentRun, options: RunNodeAgentOptions): Promise<void> {
  const { signal, log, onReady } = options;
  const transport = await openTransport(run);
  const api = createApiClient(transport);
  const metrics = await createMetrics();
  const services = run.nodes.map((config): ServiceNode => {
    const runtime: ContainerRuntime =
      run.runtime === "simulated"
        ? createSimulatedRuntime()
        : createContainerdRuntime({ socket: run.socket, log });
    return { service: createNodeAgent(config, { api, runtime, clock: systemClock, log, metrics }) };
  });
  try {
    await runServices(services, { signal, stopTimeoutMs, log, onReady: () => onReady?.() });
  } finally {
    transport.close();
  }
}

async function openTransport(run: NodeAgentRun): Promise<HttpTransport> {
  const access = await loadKubeconfig(run.kubeconfig);
  const token =
    access.tokenFile === undefined
      ? access.token === undefined
        ? undefined
        : { value: access.token }
      : { file: access.tokenFile };
  return createHttpTransport({
    url: access.server,
    userAgent: "wherry-node-agent",
    connectionsMax: connectionsPerNode * run.nodes.length,
    insecureSkipTlsVerify: access.insecureSkipTlsVerify,
    ...(access.caPem === undefined ? {} : { ca: { value: access.caPem } }),
    ...(access.tlsServerName === undefined ? {} : { serverName: access.tlsServerName }),
    ...(access.certPem === undefined ? {} : { cert: { value: access.certPem } }),
    ...(access.keyPem === undefined ? {} : { key: { value: access.keyPem } }),
    ...(token === undefined ? {} : { token }),
  });
}
