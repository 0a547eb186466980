export { createClusterDns } from "./cluster-dns.ts";
export type { ClusterDns } from "./cluster-dns.ts";
export { terminateDns } from "./dns/dns-process.ts";
export {
  clusterDnsConfig,
  networkPaths,
  podNetworkConfig,
  serviceRouterConfig,
} from "./network-config.ts";
export type { ClusterDnsConfig, PodNetworkConfig, ServiceRouterConfig } from "./network-config.ts";
export { detectNodeIp } from "./node-address.ts";
export type { DetectedNodeIp, NodeAddressOptions } from "./node-address.ts";
export { createPodNetwork } from "./pod-network.ts";
export type { PodNetwork } from "./pod-network.ts";
export { removePodNetwork } from "./remove-pod-network.ts";
export type { RemovalCounts, RemovalOptions } from "./remove-pod-network.ts";
export { createServiceRouter } from "./service-router.ts";
export type { ServiceRouter } from "./service-router.ts";
export type { NetworkDeps } from "./shared-informers.ts";
