import {
  canonicalJson,
  type EndpointAddress,
  type EndpointPort,
  type Endpoints,
  type EndpointSubset,
  type Json,
  type Pod,
  type Service,
} from "@wherry/machinery";
import { headlessLabel, sameMap } from "./endpoint-group.ts";
import {
  belongsInEndpoints,
  findTargetPort,
  hostnameIn,
  isHeadless,
  isPodReady,
  podAddresses,
  type IpFamily,
} from "./service-pods.ts";
import { triggerTimeAnnotation } from "./trigger-time.ts";

export const endpointsManagedByLabel = "endpoints.kubernetes.io/managed-by";
export const endpointsManager = "endpoint-controller";
export const overCapacityAnnotation = "endpoints.kubernetes.io/over-capacity";

/** Addresses in one Endpoints object; ready ones go first when there are more. */
export const addressesMax = 1_000;

export interface EndpointsState {
  readonly service: Service;
  readonly pods: readonly Pod[];
  readonly current: Endpoints | undefined;
  readonly triggerTime: string | undefined;
}

/** The Endpoints object to create or update, or undefined when the current one says the same. */
export function planEndpoints({
  service,
  pods,
  current,
  triggerTime,
}: EndpointsState): Endpoints | undefined {
  const full = packSubsets(service, pods);
  const { subsets, truncated } = truncateSubsets(full);
  const labels = {
    ...withoutKey(service.metadata.labels, headlessLabel),
    ...(isHeadless(service) ? { [headlessLabel]: "" } : {}),
    [endpointsManagedByLabel]: endpointsManager,
  };
  const isMarked = current?.metadata.annotations?.[overCapacityAnnotation] === "truncated";
  if (
    current !== undefined &&
    sameMap(current.metadata.labels, labels) &&
    isMarked === truncated &&
    sameSubsets(current.subsets ?? [], subsets)
  ) {
    return undefined;
  }
  const kept = withoutKey(
    withoutKey(current?.metadata.annotations, triggerTimeAnnotation),
    overCapacityAnnotation,
  );
  const annotations = {
    ...kept,
    ...(triggerTime === undefined ? {} : { [triggerTimeAnnotation]: triggerTime }),
    ...(truncated ? { [overCapacityAnnotation]: "truncated" } : {}),
  };
  const { name, namespace } = service.metadata;
  return {
    apiVersion: "v1",
    kind: "Endpoints",
    metadata: {
      ...current?.metadata,
      ...(name === undefined ? {} : { name }),
      ...(namespace === undefined ? {} : { namespace }),
      labels,
      annotations,
    },
    subsets,
  };
}

interface Place {
  readonly address: EndpointAddress;
  readonly ready: boolean;
}

/** Addresses that offer the same ports stand together, each port once. */
function packSubsets(service: Service, pods: readonly Pod[]): readonly EndpointSubset[] {
  const byPort = new Map<
    string,
    { readonly port: EndpointPort | undefined; readonly places: Map<string, Place> }
  >();
  for (const pod of pods) {
    if (!belongsInEndpoints(pod, service.spec.publishNotReadyAddresses === true)) continue;
    const address = addressOf(service, pod);
    if (address === undefined) continue;
    const ready = service.spec.publishNotReadyAddresses === true || isPodReady(pod);
    for (const port of portsOf(service, pod)) {
      const key = canonicalJson((port ?? null) as unknown as Json);
      const entry = byPort.get(key) ?? { port, places: new Map<string, Place>() };
      byPort.set(key, entry);
      entry.places.set(`${address.ip} ${pod.metadata.uid ?? ""}`, { address, ready });
    }
  }
  const subsets = new Map<
    string,
    { readonly ports: EndpointPort[]; readonly places: readonly Place[] }
  >();
  for (const key of [...byPort.keys()].sort()) {
    const { port, places } = byPort.get(key) ?? {
      port: undefined,
      places: new Map<string, Place>(),
    };
    const ordered = [...places].sort(([a], [b]) => (a < b ? -1 : 1));
    const id = JSON.stringify(ordered);
    const subset = subsets.get(id) ?? { ports: [], places: ordered.map(([, place]) => place) };
    subsets.set(id, subset);
    if (port !== undefined) subset.ports.push(port);
  }
  return [...subsets.values()].map(({ ports, places }) =>
    subsetOf(
      places.filter((one) => one.ready).map((one) => one.address),
      places.filter((one) => !one.ready).map((one) => one.address),
      ports,
    ),
  );
}

/** A headless service may have no ports: its pods still count, under the one entry `undefined`. */
function portsOf(service: Service, pod: Pod): readonly (EndpointPort | undefined)[] {
  const ports = service.spec.ports ?? [];
  if (ports.length === 0) return service.spec.clusterIP === "None" ? [undefined] : [];
  return ports.flatMap((servicePort) => {
    const port = findTargetPort(pod, servicePort);
    if (port === undefined) return [];
    const { name = "", protocol = "TCP", appProtocol } = servicePort;
    return [
      {
        ...(name === "" ? {} : { name }),
        port,
        protocol,
        ...(appProtocol === undefined ? {} : { appProtocol }),
      },
    ];
  });
}

function addressOf(service: Service, pod: Pod): EndpointAddress | undefined {
  const [ip] = podAddresses(pod, familyOf(service, pod));
  if (ip === undefined) return undefined;
  const { name = "", namespace = "", uid = "" } = pod.metadata;
  const hostname = hostnameIn(service, pod);
  return {
    ip,
    ...(hostname === undefined ? {} : { hostname }),
    ...(pod.spec.nodeName === undefined ? {} : { nodeName: pod.spec.nodeName }),
    targetRef: { kind: "Pod", namespace, name, uid },
  };
}

function familyOf(service: Service, pod: Pod): IpFamily {
  const declared = service.spec.ipFamilies?.[0];
  if (declared === "IPv4" || declared === "IPv6") return declared;
  const sample = isHeadless(service)
    ? (podAddresses(pod)[0] ?? "")
    : (service.spec.clusterIP ?? "");
  return sample.includes(":") ? "IPv6" : "IPv4";
}

function subsetOf(
  ready: readonly EndpointAddress[],
  notReady: readonly EndpointAddress[],
  ports: readonly EndpointPort[] | undefined,
): EndpointSubset {
  return {
    ...(ready.length === 0 ? {} : { addresses: ready }),
    ...(notReady.length === 0 ? {} : { notReadyAddresses: notReady }),
    ...(ports === undefined || ports.length === 0 ? {} : { ports }),
  };
}

/** Ready addresses first; what has to go is shared out over the subsets by their size. */
function truncateSubsets(subsets: readonly EndpointSubset[]): {
  readonly subsets: readonly EndpointSubset[];
  readonly truncated: boolean;
} {
  const ready = sum(subsets, (one) => one.addresses);
  const notReady = sum(subsets, (one) => one.notReadyAddresses);
  if (ready + notReady <= addressesMax) return { subsets, truncated: false };
  const cutsReady = ready > addressesMax;
  const room = cutsReady ? addressesMax : addressesMax - ready;
  const total = cutsReady ? ready : notReady;
  let left = room;
  const cut = subsets.map((subset) => {
    const list = (cutsReady ? subset.addresses : subset.notReadyAddresses) ?? [];
    const kept = list.slice(0, Math.min(Math.ceil((list.length / total) * room), left));
    left -= kept.length;
    return cutsReady
      ? subsetOf(kept, [], subset.ports)
      : subsetOf(subset.addresses ?? [], kept, subset.ports);
  });
  return { subsets: cut, truncated: true };
}

function sum(
  subsets: readonly EndpointSubset[],
  list: (subset: EndpointSubset) => readonly unknown[] | undefined,
): number {
  return subsets.reduce((total, subset) => total + (list(subset)?.length ?? 0), 0);
}

/** The order of subsets, addresses and ports means nothing, nor does the version that a target had. */
function sameSubsets(a: readonly EndpointSubset[], b: readonly EndpointSubset[]): boolean {
  return subsetsView(a) === subsetsView(b);
}

function subsetsView(subsets: readonly EndpointSubset[]): string {
  const sorted = (items: readonly unknown[] | undefined): string[] =>
    (items ?? []).map((item) => canonicalJson(item as Json)).sort();
  const plain = (address: EndpointAddress): unknown => {
    const { resourceVersion: _resourceVersion, ...targetRef } = address.targetRef ?? {};
    return { ...address, targetRef };
  };
  const views = subsets.map((subset) =>
    JSON.stringify([
      sorted((subset.addresses ?? []).map(plain)),
      sorted((subset.notReadyAddresses ?? []).map(plain)),
      sorted((subset.ports ?? []).map((port) => ({ ...port, protocol: port.protocol ?? "TCP" }))),
    ]),
  );
  return JSON.stringify(views.sort());
}

function withoutKey(
  map: Readonly<Record<string, string>> | undefined,
  key: string,
): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(map ?? {}).filter(([one]) => one !== key));
}
