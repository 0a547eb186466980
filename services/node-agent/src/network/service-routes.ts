import type { Endpoint, EndpointSlice, Pod, Service, ServicePort } from "@wherry/machinery";
import {
  familyOf,
  type HostPortRoute,
  type RouteEndpoint,
  type ServiceRoute,
  type TransportProtocol,
} from "@wherry/net";

export const SERVICE_NAME_LABEL = "kubernetes.io/service-name";
/** Services and slices with this label are another proxy's. */
export const PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name";
/** Slices of headless services carry it; nothing is routed to them. */
export const HEADLESS_LABEL = "service.kubernetes.io/headless";
/** Seconds (sessionAffinityConfig.clientIP.timeoutSeconds has this default). */
const AFFINITY_DEFAULT_SECONDS = 10_800;

export interface RouteScope {
  readonly nodeName: string;
  /** The node's zone, for slices with zone hints. */
  readonly zone?: string;
}

/** How the ports of one service are routed on this node, IPv4 only. Follows kube-proxy's choice of endpoints. */
export function serviceRoutes(
  service: Service,
  slices: readonly EndpointSlice[],
  scope: RouteScope,
): ServiceRoute[] {
  const spec = service.spec;
  if (spec.type === "ExternalName" || service.metadata.labels?.[PROXY_NAME_LABEL] !== undefined)
    return [];
  const clusterIp = (
    spec.clusterIPs ?? (spec.clusterIP === undefined ? [] : [spec.clusterIP])
  ).find((ip) => ip !== "" && ip !== "None" && familyOf(ip) === 4);
  if (clusterIp === undefined) return [];
  const routed = slices.filter(
    (slice) =>
      slice.addressType === "IPv4" &&
      slice.metadata.labels?.[HEADLESS_LABEL] === undefined &&
      slice.metadata.labels?.[PROXY_NAME_LABEL] === undefined,
  );
  const ingress = service.status?.loadBalancer?.ingress ?? [];
  const affinity =
    spec.sessionAffinity === "ClientIP"
      ? {
          affinity:
            spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? AFFINITY_DEFAULT_SECONDS,
        }
      : {};
  return (spec.ports ?? []).map((port) => {
    const protocol = protocolOf(port.protocol);
    const candidates = endpointsOf(port, protocol, routed, scope.nodeName);
    const ready = candidates.filter((one) => one.ready);
    const hinted = narrowByHints(ready, scope);
    return {
      protocol,
      clusterIp,
      port: port.port,
      ...(port.nodePort === undefined || port.nodePort === 0 ? {} : { nodePort: port.nodePort }),
      externalIps: (spec.externalIPs ?? []).filter((ip) => familyOf(ip) === 4),
      loadBalancerIps: ingress.flatMap((entry) =>
        entry.ip !== undefined &&
        entry.ip !== "" &&
        familyOf(entry.ip) === 4 &&
        (entry.ipMode ?? "VIP") === "VIP"
          ? [entry.ip]
          : [],
      ),
      sourceRanges: spec.loadBalancerSourceRanges ?? [],
      internalLocal: spec.internalTrafficPolicy === "Local",
      externalLocal: spec.externalTrafficPolicy === "Local",
      ...affinity,
      clusterEndpoints: usable(hinted, candidates),
      localEndpoints: usable(
        ready.filter((one) => one.local),
        candidates.filter((one) => one.local),
      ),
    };
  });
}

/** The host ports of a pod on this node; none while it has no address, is finished, or shares the node's network. */
export function hostPortRoutes(pod: Pod): HostPortRoute[] {
  const podIp =
    pod.status?.podIPs?.find(({ ip }) => ip !== undefined && familyOf(ip) === 4)?.ip ??
    pod.status?.podIP;
  const phase = pod.status?.phase;
  if (
    podIp === undefined ||
    podIp === "" ||
    familyOf(podIp) !== 4 ||
    pod.spec.hostNetwork === true ||
    phase === "Succeeded" ||
    phase === "Failed"
  )
    return [];
  return [
    ...(pod.spec.initContainers ?? []).filter((container) => container.restartPolicy === "Always"),
    ...pod.spec.containers,
  ].flatMap((container) =>
    (container.ports ?? []).flatMap((port) => {
      if (
        port.hostPort === undefined ||
        port.hostPort === 0 ||
        (port.hostIP !== undefined &&
          port.hostIP !== "" &&
          port.hostIP !== "::" &&
          familyOf(port.hostIP) === 6)
      )
        return [];
      const hostIp =
        port.hostIP === undefined || port.hostIP === "" || port.hostIP === "::"
          ? {}
          : { hostIp: port.hostIP };
      return [
        {
          protocol: protocolOf(port.protocol),
          hostPort: port.hostPort,
          ...hostIp,
          podIp,
          containerPort: port.containerPort,
        },
      ];
    }),
  );
}

interface Candidate extends RouteEndpoint {
  readonly ready: boolean;
  readonly servingTerminating: boolean;
  readonly hints?: Endpoint["hints"];
}

function endpointsOf(
  port: ServicePort,
  protocol: TransportProtocol,
  slices: readonly EndpointSlice[],
  nodeName: string,
): Candidate[] {
  const candidates = new Map<string, Candidate>();
  for (const slice of slices) {
    const target = slice.ports?.find(
      (one) => (one.name ?? "") === (port.name ?? "") && protocolOf(one.protocol) === protocol,
    );
    if (target?.port === undefined) continue;
    for (const endpoint of slice.endpoints ?? []) {
      const address = endpoint.addresses[0];
      if (address === undefined || familyOf(address) !== 4) continue;
      const ready = endpoint.conditions?.ready ?? true;
      candidates.set(`${address} ${target.port}`, {
        address,
        port: target.port,
        local: endpoint.nodeName === nodeName,
        ready,
        servingTerminating:
          (endpoint.conditions?.serving ?? ready) && (endpoint.conditions?.terminating ?? false),
        hints: endpoint.hints,
      });
    }
  }
  return [...candidates.values()];
}

/** Ready endpoints, or while there are none those that shut down but still serve. */
function usable(ready: readonly Candidate[], all: readonly Candidate[]): RouteEndpoint[] {
  const chosen = ready.length > 0 ? ready : all.filter((one) => one.servingTerminating);
  return chosen.map(({ address, port, local }) => ({ address, port, local }));
}

/** Hints count only when every ready endpoint has one of the kind and at least one is meant for this node or its zone. */
function narrowByHints(ready: readonly Candidate[], scope: RouteScope): readonly Candidate[] {
  if (ready.length > 0 && ready.every((one) => (one.hints?.forNodes?.length ?? 0) > 0)) {
    const near = ready.filter(
      (one) => one.hints?.forNodes?.some((node) => node.name === scope.nodeName) === true,
    );
    if (near.length > 0) return near;
  }
  if (scope.zone !== undefined && ready.every((one) => (one.hints?.forZones?.length ?? 0) > 0)) {
    const near = ready.filter(
      (one) => one.hints?.forZones?.some((zone) => zone.name === scope.zone) === true,
    );
    if (near.length > 0) return near;
  }
  return ready;
}

function protocolOf(text: string | undefined): TransportProtocol {
  if (text === "UDP") return "udp";
  return text === "SCTP" ? "sctp" : "tcp";
}
