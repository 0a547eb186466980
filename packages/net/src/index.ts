export {
  familyOf,
  formatAddress,
  formatIpv4,
  parseAddress,
  parseIpv4,
  tryParseAddress,
} from "./address.ts";
export type { IpAddress, IpFamily } from "./address.ts";
export {
  cidrAround,
  cidrContains,
  cidrSize,
  cidrsOverlap,
  formatCidr,
  mergeCidrs,
  nthAddress,
  nthSubnet,
  parseCidr,
  subnetCount,
  subnetIndex,
} from "./cidr.ts";
export type { Cidr } from "./cidr.ts";
export { commandFailed, createCommandRunner, runChecked, runJson } from "./command-runner.ts";
export type {
  CommandOptions,
  CommandResult,
  CommandRunner,
  CommandRunnerOptions,
} from "./command-runner.ts";
export { NodeUnreachableError } from "./dialer.ts";
export type { NodeDialer } from "./dialer.ts";
export { ElementLedger } from "./element-ledger.ts";
export type { Element, ElementChanges } from "./element-ledger.ts";
export {
  readAddresses,
  readForwardingEntries,
  readLink,
  readLinks,
  readNeighbours,
  readRoutes,
} from "./links.ts";
export type { ForwardingEntry, Link, LinkAddress, Neighbour, Route } from "./links.ts";
export { masqueradeCommands } from "./masquerade-table.ts";
export { NetworkError } from "./network-error.ts";
export type { NetworkErrorCode } from "./network-error.ts";
export {
  applyNft,
  changeCommands,
  elementCommands,
  listNftTables,
  tableText,
} from "./nft-script.ts";
export type { NftFamily, NftTable } from "./nft-script.ts";
export { diffOverlay, planHostGateway, planVxlan } from "./overlay-plan.ts";
export type {
  HostGatewayPeer,
  OverlayChanges,
  OverlayObserved,
  OverlayPlan,
  VxlanPeer,
  VxlanSelf,
} from "./overlay-plan.ts";
export { hostPortElements, serviceElements } from "./service-route.ts";
export type { HostPortRoute, RouteEndpoint, ServiceRoute } from "./service-route.ts";
export { chainCommands, chainName, chainOfVerdict, fullSyncCommands } from "./service-table.ts";
export type { ChainSpec, ServiceTableConfig, TransportProtocol } from "./service-table.ts";
export { createConnectDialer, KUBELET_PORT, startKubeletTls } from "./tunnel/connect-dialer.ts";
export type { EgressTls } from "./tunnel/connect-dialer.ts";
export { createTunnelSession, relay } from "./tunnel/session.ts";
export type { TunnelSession, TunnelSessionOptions } from "./tunnel/session.ts";
