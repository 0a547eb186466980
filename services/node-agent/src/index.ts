export { createNodeAgent } from "./agent.ts";
export type { NodeAgent, NodeAgentDeps } from "./agent.ts";
export { nodeAgentConfig } from "./config.ts";
export type { NodeAgentConfig } from "./config.ts";
export { nodeAgentFlags, nodeAgentRunOf, runNodeAgent } from "./run-node-agent.ts";
export type { NodeAgentRun, RunNodeAgentOptions } from "./run-node-agent.ts";
export { ContainerdError } from "./containerd/containerd-error.ts";
export type { ContainerdErrorCode } from "./containerd/containerd-error.ts";
export { createContainerdService } from "./containerd/containerd-service.ts";
export type { ContainerdDeps, ContainerdService } from "./containerd/containerd-service.ts";
export { DEFAULT_STATE_DIR } from "./containerd/containerd-settings.ts";
export type { ContainerdConfig } from "./containerd/containerd-settings.ts";
export { terminateContainerd } from "./containerd/terminate.ts";
export { createKubeletApi } from "./kubelet-api/kubelet-api.ts";
export type { KubeletApiDeps } from "./kubelet-api/kubelet-api.ts";
export type { NodeUsage } from "./kubelet-api/node-usage.ts";
export type { PodDirectory } from "./kubelet-api/pod-directory.ts";
export { dnsProgramFile } from "./dns-program-file.ts";
export {
  clusterDnsConfig,
  createClusterDns,
  createPodNetwork,
  createServiceRouter,
  detectNodeIp,
  networkPaths,
  podNetworkConfig,
  removePodNetwork,
  serviceRouterConfig,
  terminateDns,
} from "./network/index.ts";
export type {
  ClusterDnsConfig,
  PodNetworkConfig,
  RemovalCounts,
  ServiceRouterConfig,
} from "./network/index.ts";
