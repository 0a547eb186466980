import { isIP, isIPv6 } from "node:net";
import {
  controllerReference,
  isBeingDeleted,
  type Endpoint,
  type EndpointAddress,
  type EndpointSlice,
  type EndpointSlicePort,
  type Endpoints,
} from "@wherry/machinery";
import {
  endpointKey,
  managedByLabel,
  portsKey,
  recycleSlices,
  rewrite,
  sameEndpoint,
  sameMap,
  serviceNameLabel,
  type SliceChanges,
} from "./endpoint-group.ts";
import { slicePrefix } from "./endpoint-slice-plan.ts";
import type { IpFamily } from "./service-pods.ts";
import { triggerTimeAnnotation } from "./trigger-time.ts";

export const endpointMirrorManager = "endpointslicemirroring-controller.k8s.io";

/** Addresses of one subset that are mirrored; a subset becomes one slice per family. */
export const mirroredPerSubsetMax = 1_000;

export interface EndpointMirrorPlan extends SliceChanges {
  readonly invalidAddresses: number;
  readonly skippedAddresses: number;
}

interface Group {
  readonly family: IpFamily;
  readonly ports: readonly EndpointSlicePort[];
  readonly endpoints: Map<string, Endpoint>;
}

/** Slices that say what an Endpoints object says, for services whose endpoints somebody else keeps. */
export function planEndpointMirror(
  endpoints: Endpoints,
  present: readonly EndpointSlice[],
): EndpointMirrorPlan {
  const groups = new Map<string, Group>();
  let invalidAddresses = 0;
  let skippedAddresses = 0;
  for (const subset of endpoints.subsets ?? []) {
    const ports = (subset.ports ?? []).map(
      ({ name = "", port, protocol = "TCP", appProtocol }) => ({
        name,
        port,
        protocol,
        ...(appProtocol === undefined ? {} : { appProtocol }),
      }),
    );
    let added = 0;
    const add = (address: EndpointAddress, ready: boolean): void => {
      if (added >= mirroredPerSubsetMax) skippedAddresses += 1;
      else if (isIP(address.ip) === 0) invalidAddresses += 1;
      else {
        added += 1;
        const family = isIPv6(address.ip) ? "IPv6" : "IPv4";
        const key = groupKey(family, ports);
        const group = groups.get(key) ?? { family, ports, endpoints: new Map<string, Endpoint>() };
        groups.set(key, group);
        const endpoint = endpointOf(address, ready);
        group.endpoints.set(endpointKey(endpoint), endpoint);
      }
    };
    for (const address of subset.addresses ?? []) add(address, true);
    for (const address of subset.notReadyAddresses ?? []) add(address, false);
  }

  const creates: EndpointSlice[] = [];
  const updates: EndpointSlice[] = [];
  const deletes = present.filter((slice) => !groups.has(groupKey(slice.addressType, slice.ports)));
  for (const [key, group] of groups) {
    const [first, ...others] = present.filter(
      (slice) => groupKey(slice.addressType, slice.ports) === key,
    );
    deletes.push(...others);
    const wanted = sliceOf(endpoints, group);
    if (first === undefined) creates.push(wanted);
    else if (!saysTheSame(first, wanted)) updates.push(rewrite(first, wanted));
  }
  const changes = { creates: isBeingDeleted(endpoints) ? [] : creates, updates, deletes };
  return { ...recycleSlices(changes, () => true), invalidAddresses, skippedAddresses };
}

function groupKey(family: string, ports: readonly EndpointSlicePort[] | undefined): string {
  return `${family} ${portsKey(ports)}`;
}

function endpointOf(
  { ip, hostname = "", nodeName, targetRef }: EndpointAddress,
  ready: boolean,
): Endpoint {
  return {
    addresses: [ip],
    conditions: { ready },
    ...(hostname === "" ? {} : { hostname }),
    ...(nodeName === undefined ? {} : { nodeName }),
    ...(targetRef === undefined ? {} : { targetRef }),
  };
}

function sliceOf(endpoints: Endpoints, { family, ports, endpoints: places }: Group): EndpointSlice {
  const { name = "", namespace, labels, annotations = {} } = endpoints.metadata;
  const notMirrored = new Set([
    triggerTimeAnnotation,
    "kubectl.kubernetes.io/last-applied-configuration",
  ]);
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      generateName: slicePrefix(name),
      ...(namespace === undefined ? {} : { namespace }),
      labels: { ...labels, [serviceNameLabel]: name, [managedByLabel]: endpointMirrorManager },
      annotations: Object.fromEntries(
        Object.entries(annotations).filter(([key]) => !notMirrored.has(key)),
      ),
      ownerReferences: [controllerReference(endpoints, { apiVersion: "v1", kind: "Endpoints" })],
    },
    addressType: family,
    ports,
    endpoints: [...places.values()],
  };
}

function saysTheSame(slice: EndpointSlice, wanted: EndpointSlice): boolean {
  const old = new Map((slice.endpoints ?? []).map((endpoint) => [endpointKey(endpoint), endpoint]));
  const next = wanted.endpoints ?? [];
  return (
    old.size === next.length &&
    sameMap(slice.metadata.labels, wanted.metadata.labels) &&
    sameMap(slice.metadata.annotations, wanted.metadata.annotations) &&
    next.every((endpoint) => {
      const before = old.get(endpointKey(endpoint));
      return before !== undefined && sameEndpoint(before, endpoint);
    })
  );
}
