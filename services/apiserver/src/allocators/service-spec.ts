import type { KubeObject } from "@wherry/machinery";

export interface ServicePort {
  readonly name?: string;
  readonly protocol?: string;
  readonly port?: number;
  nodePort?: number;
}

/** The fields of a Service that allocation reads and sets, on a private draft. */
export interface ServiceSpecDraft {
  type?: string;
  clusterIP?: string;
  clusterIPs?: string[];
  ipFamilies?: string[];
  ipFamilyPolicy?: string;
  selector?: Readonly<Record<string, string>>;
  ports?: ServicePort[];
  externalTrafficPolicy?: string;
  healthCheckNodePort?: number;
  allocateLoadBalancerNodePorts?: boolean;
  loadBalancerClass?: string;
}

type DeepReadonly<T> = {
  readonly [K in keyof T]: T[K] extends (infer E)[] | undefined
    ? readonly Readonly<E>[] | undefined
    : T[K];
};
export type ServiceSpec = DeepReadonly<ServiceSpecDraft>;

export interface StoredService extends KubeObject {
  readonly spec?: ServiceSpec;
}

export const noClusterIP = "None";

export function needsClusterIP(spec: ServiceSpec): boolean {
  return (
    spec.type === undefined ||
    spec.type === "ClusterIP" ||
    spec.type === "NodePort" ||
    spec.type === "LoadBalancer"
  );
}

export function needsNodePorts(spec: ServiceSpec): boolean {
  return (
    spec.type === "NodePort" ||
    (spec.type === "LoadBalancer" && spec.allocateLoadBalancerNodePorts !== false)
  );
}

export function mayHaveNodePorts(spec: ServiceSpec): boolean {
  return spec.type === "NodePort" || spec.type === "LoadBalancer";
}

export function needsHealthCheckNodePort(spec: ServiceSpec): boolean {
  return spec.type === "LoadBalancer" && spec.externalTrafficPolicy === "Local";
}

/** Addresses that a stored service holds. */
export function heldAddresses(spec: ServiceSpec | undefined): readonly string[] {
  if (spec === undefined || spec.type === "ExternalName") return [];
  return (spec.clusterIPs ?? (spec.clusterIP === undefined ? [] : [spec.clusterIP])).filter(
    (ip) => ip !== "" && ip !== noClusterIP,
  );
}

/** Node ports that a stored service holds; a port that serves two protocols counts once. */
export function heldNodePorts(spec: ServiceSpec | undefined): readonly number[] {
  if (spec === undefined || spec.type === "ExternalName") return [];
  const ports = new Set(
    (spec.ports ?? []).flatMap((port) => (port.nodePort ? [port.nodePort] : [])),
  );
  if (spec.healthCheckNodePort) ports.add(spec.healthCheckNodePort);
  return [...ports];
}

/**
 * Settles what a write means before anything is allocated: `clusterIP` and `clusterIPs` tell the same, values that the server had given stay when
 * the client did not send them, and those that the new type has no use for go.
 */
export function carryOver(spec: ServiceSpecDraft, old: ServiceSpec | undefined): void {
  if (old === undefined) {
    if (spec.clusterIP && (spec.clusterIPs ?? []).length === 0) spec.clusterIPs = [spec.clusterIP];
    return;
  }
  const sameAddresses = equalLists(spec.clusterIPs, old.clusterIPs);
  if (old.clusterIP && !spec.clusterIP && sameAddresses) delete spec.clusterIPs;
  else if (spec.clusterIP !== old.clusterIP && sameAddresses && spec.clusterIP)
    spec.clusterIPs = [spec.clusterIP];
  dropForType(spec, old);
  if (needsClusterIP(old) && needsClusterIP(spec)) {
    if (!spec.clusterIP && old.clusterIP) spec.clusterIP = old.clusterIP;
    if ((spec.clusterIPs ?? []).length === 0 && spec.clusterIP === old.clusterIP && old.clusterIPs)
      spec.clusterIPs = [...old.clusterIPs];
    if (spec.clusterIP && (spec.clusterIPs ?? []).length === 0) spec.clusterIPs = [spec.clusterIP];
  }
  if (needsNodePorts(old) && needsNodePorts(spec)) keepNodePorts(spec, old);
  if (
    needsHealthCheckNodePort(old) &&
    needsHealthCheckNodePort(spec) &&
    !spec.healthCheckNodePort &&
    old.healthCheckNodePort
  ) {
    spec.healthCheckNodePort = old.healthCheckNodePort;
  }
}

/** A field that only the old type has a use for, and that was sent back as it was, is taken for forgotten. */
function dropForType(spec: ServiceSpecDraft, old: ServiceSpec): void {
  if (needsClusterIP(old) && !needsClusterIP(spec)) {
    if (spec.clusterIP === old.clusterIP && equalLists(spec.clusterIPs, old.clusterIPs)) {
      delete spec.clusterIP;
      delete spec.clusterIPs;
    }
    if (equalLists(spec.ipFamilies, old.ipFamilies)) delete spec.ipFamilies;
    if (spec.ipFamilyPolicy === old.ipFamilyPolicy) delete spec.ipFamilyPolicy;
  }
  if (mayHaveNodePorts(old) && !mayHaveNodePorts(spec) && sameNodePorts(spec, old)) {
    for (const port of spec.ports ?? []) delete port.nodePort;
  }
  if (
    needsHealthCheckNodePort(old) &&
    !needsHealthCheckNodePort(spec) &&
    spec.healthCheckNodePort === old.healthCheckNodePort
  ) {
    delete spec.healthCheckNodePort;
  }
  if (
    mayHaveNodePorts(old) &&
    !mayHaveNodePorts(spec) &&
    spec.externalTrafficPolicy === old.externalTrafficPolicy
  )
    delete spec.externalTrafficPolicy;
  if (old.type === "LoadBalancer" && spec.type !== "LoadBalancer") {
    if (spec.allocateLoadBalancerNodePorts === old.allocateLoadBalancerNodePorts)
      delete spec.allocateLoadBalancerNodePorts;
    if (spec.loadBalancerClass === old.loadBalancerClass) delete spec.loadBalancerClass;
  }
}

function keepNodePorts(spec: ServiceSpecDraft, old: ServiceSpec): void {
  const keyOf = (port: ServicePort): string => `${port.protocol ?? "TCP"}/${port.port ?? 0}`;
  const known = new Map(
    (old.ports ?? []).flatMap((port) =>
      port.nodePort ? [[keyOf(port), port.nodePort] as const] : [],
    ),
  );
  const asked = new Set(
    (spec.ports ?? []).flatMap((port) => (port.nodePort ? [port.nodePort] : [])),
  );
  for (const port of spec.ports ?? []) {
    const nodePort = known.get(keyOf(port));
    if (!port.nodePort && nodePort !== undefined && !asked.has(nodePort)) port.nodePort = nodePort;
  }
}

function sameNodePorts(spec: ServiceSpec, old: ServiceSpec): boolean {
  const portsOf = (one: ServiceSpec): ReadonlySet<number> =>
    new Set((one.ports ?? []).flatMap((port) => (port.nodePort ? [port.nodePort] : [])));
  const [mine, theirs] = [portsOf(spec), portsOf(old)];
  return mine.size === theirs.size && [...mine].every((port) => theirs.has(port));
}

function equalLists(
  left: readonly string[] | undefined,
  right: readonly string[] | undefined,
): boolean {
  const [one, other] = [left ?? [], right ?? []];
  return one.length === other.length && one.every((value, index) => value === other[index]);
}
