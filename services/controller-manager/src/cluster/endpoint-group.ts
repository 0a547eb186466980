import {
  canonicalJson,
  type Endpoint,
  type EndpointSlice,
  type EndpointSlicePort,
  type Json,
} from "@wherry/machinery";

/** How endpoint slices are compared and grouped: by address family and set of ports. */

export function portsKey(ports: readonly EndpointSlicePort[] | undefined): string {
  const normal = (ports ?? []).map((port) =>
    JSON.stringify([
      port.name ?? "",
      port.port ?? 0,
      port.protocol ?? "TCP",
      port.appProtocol ?? "",
    ]),
  );
  return normal.sort().join(" ");
}

/** Two endpoints with the same key are the same place; what else differs is an update of it. */
export function endpointKey(endpoint: Endpoint): string {
  const { addresses, hostname = "", targetRef } = endpoint;
  return JSON.stringify([
    [...addresses].sort(),
    hostname,
    targetRef?.namespace ?? "",
    targetRef?.name ?? "",
  ]);
}

/** Equal but for the resourceVersion of the target. */
export function sameEndpoint(a: Endpoint, b: Endpoint): boolean {
  return endpointView(a) === endpointView(b);
}

export function sameMap(
  a: Readonly<Record<string, string>> | undefined,
  b: Readonly<Record<string, string>> | undefined,
): boolean {
  return canonicalJson(a ?? {}) === canonicalJson(b ?? {});
}

function endpointView({ targetRef, ...rest }: Endpoint): string {
  const { resourceVersion: _resourceVersion, ...target } = targetRef ?? {};
  return canonicalJson({ ...rest, target } as unknown as Json);
}

export const serviceNameLabel = "kubernetes.io/service-name";
export const managedByLabel = "endpointslice.kubernetes.io/managed-by";
export const headlessLabel = "service.kubernetes.io/headless";

/** What one sync writes. Creates carry generateName; updates and deletes name the slice and its resourceVersion. */
export interface SliceChanges {
  readonly creates: readonly EndpointSlice[];
  readonly updates: readonly EndpointSlice[];
  readonly deletes: readonly EndpointSlice[];
}

/** A slice that would be deleted is written over instead of creating another one: fewer names come and go. */
export function recycleSlices(
  changes: SliceChanges,
  mayReuse: (slice: EndpointSlice) => boolean,
): SliceChanges {
  const creates = [...changes.creates];
  const updates = [...changes.updates];
  const deletes: EndpointSlice[] = [];
  for (const slice of changes.deletes) {
    const at = mayReuse(slice)
      ? creates.findLastIndex((one) => one.addressType === slice.addressType)
      : -1;
    const create = creates[at];
    if (create === undefined) {
      deletes.push(slice);
      continue;
    }
    creates.splice(at, 1);
    updates.push(rewrite(slice, create));
  }
  return { creates, updates, deletes };
}

/** The content of `next` under the identity of `slice`. */
export function rewrite(slice: EndpointSlice, next: EndpointSlice): EndpointSlice {
  const { name, uid, resourceVersion } = slice.metadata;
  return {
    ...next,
    metadata: {
      ...next.metadata,
      ...(name === undefined ? {} : { name }),
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
    },
  };
}
