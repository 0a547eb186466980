import {
  controllerReference,
  isBeingDeleted,
  nameIsDnsSubdomain,
  type Endpoint,
  type EndpointHints,
  type EndpointSlice,
  type EndpointSlicePort,
  type Node,
  type Pod,
  type Service,
} from "@wherry/machinery";
import {
  endpointKey,
  headlessLabel,
  managedByLabel,
  portsKey,
  recycleSlices,
  sameEndpoint,
  sameMap,
  serviceNameLabel,
  type SliceChanges,
} from "./endpoint-group.ts";
import {
  belongsInEndpoints,
  findTargetPort,
  hostnameIn,
  isHeadless,
  isPodReady,
  podAddresses,
  type IpFamily,
} from "./service-pods.ts";

export const endpointSliceManager = "endpointslice-controller.k8s.io";

/** Endpoints in one slice, as upstream's default for --max-endpoints-per-slice. */
export const endpointsPerSliceMax = 100;

export interface EndpointSliceState {
  readonly service: Service;
  /** Those that the service selects. */
  readonly pods: readonly Pod[];
  readonly nodeOf: (name: string) => Node | undefined;
  /** Those that this controller manages for the service's name. */
  readonly slices: readonly EndpointSlice[];
}

export interface EndpointSlicePlan extends SliceChanges {
  /** Nodes that pods are on but the cache does not know; those pods are left out until it does. */
  readonly missingNodes: readonly string[];
}

interface Group {
  readonly ports: readonly EndpointSlicePort[];
  readonly endpoints: Map<string, Endpoint>;
}

/**
 * What to write so that the slices say where the service's pods are. Endpoints stay in the slice that they are in; freed room is filled
 * before another slice is touched; a service without endpoints keeps one empty slice per address family.
 */
export function planEndpointSlices(state: EndpointSliceState): EndpointSlicePlan {
  const { service, slices } = state;
  const families = familiesOf(service);
  const missingNodes = new Set<string>();
  const creates: EndpointSlice[] = [];
  const updates: EndpointSlice[] = [];
  const deletes: EndpointSlice[] = slices.filter(
    (slice) => !families.some((family) => family === slice.addressType),
  );
  for (const family of families) {
    const present = slices.filter((slice) => slice.addressType === family);
    const changes = planFamily(state, family, present, missingNodes);
    creates.push(...changes.creates);
    updates.push(...changes.updates);
    deletes.push(...changes.deletes);
  }
  // A service that is going takes its slices with it; new ones would race with the garbage collector.
  const wanted = isBeingDeleted(service) ? [] : creates;
  return { creates: wanted, updates, deletes, missingNodes: [...missingNodes] };
}

function planFamily(
  state: EndpointSliceState,
  family: IpFamily,
  present: readonly EndpointSlice[],
  missingNodes: Set<string>,
): SliceChanges {
  const { service } = state;
  const groups = desiredGroups(state, family, missingNodes);
  const owned = present.filter((slice) => isOwned(slice, service));
  const creates: EndpointSlice[] = [];
  const updates: EndpointSlice[] = [];
  const deletes: EndpointSlice[] = present.filter((slice) => !isOwned(slice, service));
  for (const [key, group] of groups) {
    const changes = planGroup(
      service,
      family,
      group,
      owned.filter((slice) => portsKey(slice.ports) === key),
    );
    creates.push(...changes.creates);
    updates.push(...changes.updates);
    deletes.push(...changes.deletes);
  }
  deletes.push(...owned.filter((slice) => !groups.has(portsKey(slice.ports))));

  if (deletes.length === present.length && creates.length === 0) {
    const placeholder = newSlice(service, family, [], []);
    const [only] = deletes;
    if (deletes.length === 1 && only !== undefined && isPlaceholder(only, placeholder))
      deletes.length = 0;
    else creates.push(placeholder);
  }
  return recycleSlices({ creates, updates, deletes }, (slice) => isOwned(slice, service));
}

/** The endpoints that should be, by the ports that their pods offer. */
function desiredGroups(
  state: EndpointSliceState,
  family: IpFamily,
  missingNodes: Set<string>,
): Map<string, Group> {
  const { service, pods, nodeOf } = state;
  const groups = new Map<string, Group>();
  for (const pod of [...pods].sort((a, b) =>
    (a.metadata.name ?? "") < (b.metadata.name ?? "") ? -1 : 1,
  )) {
    if (!belongsInEndpoints(pod, true)) continue;
    const ports = endpointPorts(service, pod);
    const key = portsKey(ports);
    const group = groups.get(key) ?? { ports, endpoints: new Map<string, Endpoint>() };
    groups.set(key, group);
    const nodeName = pod.spec.nodeName ?? "";
    const node = nodeOf(nodeName);
    if (node === undefined && service.spec.publishNotReadyAddresses !== true) {
      missingNodes.add(nodeName);
      continue;
    }
    const addresses = podAddresses(pod, family);
    if (addresses.length === 0) continue;
    const endpoint = endpointOf(service, pod, node, addresses);
    group.endpoints.set(endpointKey(endpoint), endpoint);
  }
  return groups;
}

function planGroup(
  service: Service,
  family: IpFamily,
  group: Group,
  present: readonly EndpointSlice[],
): SliceChanges {
  const left = new Map(group.endpoints);
  const unchanged: EndpointSlice[] = [];
  const updates: EndpointSlice[] = [];
  const deletes: EndpointSlice[] = [];
  const labels = sliceLabels(service);

  for (const slice of present) {
    const old = slice.endpoints ?? [];
    const kept: Endpoint[] = [];
    let changed = !sameMap(slice.metadata.labels, labels);
    for (const endpoint of old) {
      const key = endpointKey(endpoint);
      const wanted = left.get(key);
      if (wanted === undefined) continue;
      left.delete(key);
      kept.push(wanted);
      if (!sameEndpoint(wanted, endpoint)) changed = true;
    }
    if (kept.length === 0 && old.length > 0) deletes.push(slice);
    else if (changed || kept.length !== old.length)
      updates.push({ ...slice, metadata: { ...slice.metadata, labels }, endpoints: kept });
    else unchanged.push(slice);
  }

  const take = (count: number): Endpoint[] => {
    const taken = [...left].slice(0, Math.max(count, 0));
    for (const [key] of taken) left.delete(key);
    return taken.map(([, endpoint]) => endpoint);
  };
  const fill = (slice: EndpointSlice): EndpointSlice => {
    const old = slice.endpoints ?? [];
    return {
      ...slice,
      metadata: { ...slice.metadata, labels },
      endpoints: [...old, ...take(endpointsPerSliceMax - old.length)],
    };
  };

  const filled = updates
    .sort((a, b) => sizeOf(b) - sizeOf(a))
    .map((slice) => (left.size > 0 ? fill(slice) : slice));
  const creates: EndpointSlice[] = [];
  while (left.size > 0) {
    const roomy = left.size < endpointsPerSliceMax ? closestFit(unchanged, left.size) : undefined;
    if (roomy === undefined) {
      creates.push(newSlice(service, family, group.ports, take(endpointsPerSliceMax)));
      continue;
    }
    unchanged.splice(unchanged.indexOf(roomy), 1);
    filled.push(fill(roomy));
  }
  return { creates, updates: filled, deletes };
}

/** The slice that is fullest once `count` more are in it. */
function closestFit(slices: readonly EndpointSlice[], count: number): EndpointSlice | undefined {
  const fitting = slices.filter((slice) => sizeOf(slice) + count <= endpointsPerSliceMax);
  return fitting.sort((a, b) => sizeOf(b) - sizeOf(a))[0];
}

function sizeOf(slice: EndpointSlice): number {
  return slice.endpoints?.length ?? 0;
}

function endpointOf(
  service: Service,
  pod: Pod,
  node: Node | undefined,
  addresses: readonly string[],
): Endpoint {
  const serving = isPodReady(pod);
  const terminating = isBeingDeleted(pod);
  const ready = service.spec.publishNotReadyAddresses === true || (serving && !terminating);
  const { name = "", namespace = "", uid = "" } = pod.metadata;
  const nodeName = pod.spec.nodeName ?? "";
  const zone = node?.metadata.labels?.["topology.kubernetes.io/zone"] ?? "";
  const hostname = hostnameIn(service, pod);
  const hints = ready ? hintsFor(service, nodeName, zone) : undefined;
  return {
    addresses,
    conditions: { ready, serving, terminating },
    targetRef: { kind: "Pod", namespace, name, uid },
    ...(hostname === undefined ? {} : { hostname }),
    ...(nodeName === "" ? {} : { nodeName }),
    ...(zone === "" ? {} : { zone }),
    ...(hints === undefined ? {} : { hints }),
  };
}

/** spec.trafficDistribution; an annotation that asks for topology-aware hints goes before it, and has no effect here. */
function hintsFor(service: Service, nodeName: string, zone: string): EndpointHints | undefined {
  const { annotations = {} } = service.metadata;
  const mode =
    annotations["service.kubernetes.io/topology-aware-hints"] ??
    annotations["service.kubernetes.io/topology-mode"] ??
    "";
  const distribution = service.spec.trafficDistribution ?? "";
  if (
    mode.toLowerCase() === "auto" ||
    !["PreferClose", "PreferSameZone", "PreferSameNode"].includes(distribution)
  )
    return undefined;
  const forZones = zone === "" ? undefined : [{ name: zone }];
  const forNodes =
    nodeName === "" || distribution !== "PreferSameNode" ? undefined : [{ name: nodeName }];
  if (forZones === undefined && forNodes === undefined) return undefined;
  return {
    ...(forZones === undefined ? {} : { forZones }),
    ...(forNodes === undefined ? {} : { forNodes }),
  };
}

/** Ports that no container of the pod names are left out. */
function endpointPorts(service: Service, pod: Pod): readonly EndpointSlicePort[] {
  return (service.spec.ports ?? []).flatMap((servicePort) => {
    const port = findTargetPort(pod, servicePort);
    if (port === undefined) return [];
    const { name = "", protocol = "TCP", appProtocol } = servicePort;
    return [{ name, port, protocol, ...(appProtocol === undefined ? {} : { appProtocol }) }];
  });
}

function newSlice(
  service: Service,
  family: IpFamily,
  ports: readonly EndpointSlicePort[],
  endpoints: readonly Endpoint[],
): EndpointSlice {
  const { name = "", namespace } = service.metadata;
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      generateName: slicePrefix(name),
      ...(namespace === undefined ? {} : { namespace }),
      labels: sliceLabels(service),
      ownerReferences: [controllerReference(service, { apiVersion: "v1", kind: "Service" })],
    },
    addressType: family,
    ports,
    endpoints,
  };
}

/** The dash is left out where the name would become invalid by it. */
export function slicePrefix(name: string): string {
  return nameIsDnsSubdomain(`${name}-x`) ? `${name}-` : name;
}

/** The service's labels, with those that say what the slice is. */
function sliceLabels(service: Service): Readonly<Record<string, string>> {
  const reserved = new Set([serviceNameLabel, managedByLabel, headlessLabel]);
  const own = Object.entries(service.metadata.labels ?? {}).filter(([key]) => !reserved.has(key));
  return {
    ...Object.fromEntries(own),
    ...(isHeadless(service) ? { [headlessLabel]: "" } : {}),
    [serviceNameLabel]: service.metadata.name ?? "",
    [managedByLabel]: endpointSliceManager,
  };
}

function isOwned(slice: EndpointSlice, service: Service): boolean {
  return (slice.metadata.ownerReferences ?? []).some(
    (owner) =>
      owner.uid === service.metadata.uid && owner.kind === "Service" && owner.apiVersion === "v1",
  );
}

function isPlaceholder(slice: EndpointSlice, placeholder: EndpointSlice): boolean {
  const empty = sizeOf(slice) === 0 && (slice.ports ?? []).length === 0;
  const owner = placeholder.metadata.ownerReferences?.[0];
  return (
    empty &&
    sameMap(slice.metadata.labels, placeholder.metadata.labels) &&
    slice.metadata.ownerReferences?.some((one) => one.uid === owner?.uid) === true
  );
}

function familiesOf(service: Service): readonly IpFamily[] {
  const declared = (service.spec.ipFamilies ?? []).filter(
    (one): one is IpFamily => one === "IPv4" || one === "IPv6",
  );
  if (declared.length > 0) return [...new Set(declared)];
  const { clusterIP = "" } = service.spec;
  if (clusterIP === "" || clusterIP === "None") return ["IPv4"];
  return [clusterIP.includes(":") ? "IPv6" : "IPv4"];
}
