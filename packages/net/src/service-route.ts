import type { Element } from "./element-ledger.ts";
import {
  chainName,
  SHORT_NUMBER_BIT,
  SHORT_SLOT_BASE,
  type ChainPolicy,
  type TransportProtocol,
} from "./service-table.ts";
import { familyOf, parseAddress, type IpFamily } from "./address.ts";
import { cidrContains, formatCidr, mergeCidrs, parseCidr } from "./cidr.ts";

export interface RouteEndpoint {
  readonly address: string;
  readonly port: number;
  /** Runs on this node. */
  readonly local: boolean;
}

/** One port of one service, in one IP family, as the routing table needs it. */
export interface ServiceRoute {
  readonly protocol: TransportProtocol;
  readonly clusterIp: string;
  readonly port: number;
  readonly nodePort?: number;
  /** `externalIPs`: routed like a load balancer's address, but never narrowed by source ranges. */
  readonly externalIps: readonly string[];
  readonly loadBalancerIps: readonly string[];
  /** For load balancer addresses only; empty = everybody. */
  readonly sourceRanges: readonly string[];
  readonly internalLocal: boolean;
  readonly externalLocal: boolean;
  /** Seconds; absent = no affinity. */
  readonly affinity?: number;
  /** Where traffic may go when any node will do. */
  readonly clusterEndpoints: readonly RouteEndpoint[];
  /** Where traffic may go when it has to stay on this node. */
  readonly localEndpoints: readonly RouteEndpoint[];
}

/** A container's `hostPort`. */
export interface HostPortRoute {
  readonly protocol: TransportProtocol;
  readonly hostPort: number;
  /** Absent or an unspecified address = all addresses of the node. */
  readonly hostIp?: string;
  readonly podIp: string;
  readonly containerPort: number;
}

/** Endpoints of one frontend beyond this number get no traffic; the endpoint numbers of affinity chains have that many values. */
export const ENDPOINTS_MAX = SHORT_NUMBER_BIT - 1;

/** The elements of one service port. `neverReject`: addresses (the cluster DNS) whose traffic passes when there is no endpoint. */
export function serviceElements(route: ServiceRoute, neverReject: ReadonlySet<string>): Element[] {
  const elements: Element[] = [];
  const reachable = route.clusterEndpoints.length > 0 || route.localEndpoints.length > 0;
  const at = (address: string): string => `${address} . ${route.protocol} . ${route.port}`;
  const affinity = route.affinity === undefined ? {} : { affinity: route.affinity };

  const internal = route.internalLocal ? route.localEndpoints : route.clusterEndpoints;
  if (internal.length > 0) {
    elements.push(
      ...frontend(route.protocol, "ip", at(route.clusterIp), "cluster", internal, affinity),
    );
  } else if (!neverReject.has(route.clusterIp)) {
    elements.push({
      set: "no-endpoints",
      key: at(route.clusterIp),
      value: reachable ? "goto drop-it" : "goto reject-it",
    });
  }
  if (!neverReject.has(route.clusterIp))
    elements.push({ set: "cluster-ips", key: route.clusterIp });

  const external = (keyedBy: "ip" | "port", key: string): void => {
    const noEndpoints = keyedBy === "ip" ? "no-endpoints" : "no-port-endpoints";
    if (!reachable) {
      elements.push({ set: noEndpoints, key, value: "goto reject-it" });
    } else if (!route.externalLocal) {
      if (route.clusterEndpoints.length > 0)
        elements.push(
          ...frontend(route.protocol, keyedBy, key, "external", route.clusterEndpoints, affinity),
        );
      else elements.push({ set: noEndpoints, key, value: "goto drop-it" });
    } else {
      elements.push(
        ...frontend(route.protocol, keyedBy, key, "local", route.localEndpoints, affinity),
      );
      if (route.clusterEndpoints.length > 0)
        elements.push(
          ...frontend(route.protocol, keyedBy, key, "short", route.clusterEndpoints, affinity),
        );
    }
  };
  for (const address of new Set([...route.externalIps, ...route.loadBalancerIps]))
    external("ip", at(address));
  if (route.nodePort !== undefined) external("port", `${route.protocol} . ${route.nodePort}`);

  if (route.sourceRanges.length > 0) {
    for (const address of new Set(route.loadBalancerIps)) {
      elements.push({ set: "restricted", key: at(address) });
      for (const range of sourcesOf(route.sourceRanges, route.loadBalancerIps, familyOf(address)))
        elements.push({ set: "allowed-sources", key: `${at(address)} . ${range}` });
    }
  }
  for (const endpoint of new Set(
    [...route.clusterEndpoints, ...route.localEndpoints]
      .filter((candidate) => candidate.local)
      .map((candidate) => candidate.address),
  )) {
    elements.push({ set: "hairpin", key: `${endpoint} . ${endpoint}` });
  }
  return elements;
}

export function hostPortElements(route: HostPortRoute): Element[] {
  const key = `${route.protocol} . ${route.hostPort}`;
  const anywhere =
    route.hostIp === undefined || route.hostIp === "" || parseAddress(route.hostIp).value === 0n;
  return [
    { set: "host-ports", key, value: "goto host-port" },
    {
      set: anywhere ? "host-port-any" : "host-port-address",
      key: anywhere ? key : `${route.hostIp} . ${key}`,
      value: `${route.podIp} . ${route.containerPort}`,
    },
    { set: "hairpin", key: `${route.podIp} . ${route.podIp}` },
  ];
}

function* frontend(
  protocol: TransportProtocol,
  keyedBy: "ip" | "port",
  key: string,
  policy: ChainPolicy,
  candidates: readonly RouteEndpoint[],
  affinity: { readonly affinity?: number },
): Generator<Element> {
  const endpoints = sortEndpoints(candidates);
  const short = policy === "short";
  const byIp = keyedBy === "ip";
  const chain = chainName({ keyedBy, protocol, policy, endpoints: endpoints.length, ...affinity });
  const verdicts = byIp
    ? short
      ? "services-short"
      : "services"
    : short
      ? "node-ports-short"
      : "node-ports";
  yield { set: verdicts, key, value: `goto ${chain}` };
  const numbers = affinity.affinity === undefined ? undefined : numberEndpoints(endpoints);
  for (const [index, endpoint] of endpoints.entries()) {
    const slot = `${key} . ${index + (short ? SHORT_SLOT_BASE : 0)}`;
    const target = `${endpoint.address} . ${endpoint.port}`;
    const number = numbers?.[index];
    if (number === undefined) {
      yield {
        set: `${byIp ? "endpoints" : "port-endpoints"}-${protocol}`,
        key: slot,
        value: target,
      };
    } else {
      const mark = `0x${(short ? number | SHORT_NUMBER_BIT : number).toString(16)}`;
      yield { set: byIp ? "numbers" : "port-numbers", key: slot, value: mark };
      yield { set: byIp ? "numbered" : "port-numbered", key: `${key} . ${mark}`, value: target };
    }
  }
}

/** Without doubles and in one order, so that the same endpoints give the same elements. */
function sortEndpoints(endpoints: readonly RouteEndpoint[]): RouteEndpoint[] {
  const byKey = new Map(
    endpoints.map((endpoint) => [`${endpoint.address} ${endpoint.port}`, endpoint]),
  );
  return [...byKey]
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([, endpoint]) => endpoint)
    .slice(0, ENDPOINTS_MAX);
}

/**
 * Numbers from 1 to ENDPOINTS_MAX that an endpoint keeps while others come and go (its hash), so that clients stay bound to it. Two endpoints
 * of one frontend with the same hash take the next free number.
 */
function numberEndpoints(endpoints: readonly RouteEndpoint[]): number[] {
  const taken = new Set<number>();
  return endpoints.map((endpoint) => {
    let number = (hash(`${endpoint.address} ${endpoint.port}`) % ENDPOINTS_MAX) + 1;
    while (taken.has(number)) number = (number % ENDPOINTS_MAX) + 1;
    taken.add(number);
    return number;
  });
}

/** FNV-1a, 32 bits. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1)
    value = Math.imul(value ^ text.charCodeAt(index), 0x01000193) >>> 0;
  return value;
}

/** Ranges of one family without nested ones, and the balancer's own addresses: a node that holds one sends from it. */
function sourcesOf(ranges: readonly string[], own: readonly string[], family: IpFamily): string[] {
  const allowed = mergeCidrs(
    ranges.map((range) => parseCidr(range.trim())).filter((range) => range.family === family),
  );
  const extra = own
    .filter((address) => familyOf(address) === family)
    .map(parseAddress)
    .filter((address) => !allowed.some((range) => cidrContains(range, address)))
    .map((address) => ({ family, base: address.value, prefix: family === 4 ? 32 : 128 }));
  return mergeCidrs([...allowed, ...extra]).map(formatCidr);
}
