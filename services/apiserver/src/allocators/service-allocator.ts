import { isIP } from "node:net";
import { fieldInvalid, newInternal, newInvalid, type StatusCause } from "@wherry/machinery";
import {
  cidrContains,
  cidrSize,
  formatAddress,
  nthAddress,
  parseCidr,
  tryParseAddress,
  type Cidr,
} from "@wherry/net";
import type { Clock } from "@wherry/service-kit";
import type { AdmissionPlugin, AdmissionRequest } from "../chain.ts";
import { resourceIds } from "../auth/resource-ids.ts";
import type { ObjectChange, ObjectStore } from "../object-store.ts";
import { createNumberPool, staticBand, type NumberPool } from "./number-pool.ts";
import { familyOf, settleFamilies, type AddressFamily } from "./service-families.ts";
import {
  carryOver,
  heldAddresses,
  heldNodePorts,
  mayHaveNodePorts,
  needsClusterIP,
  needsHealthCheckNodePort,
  needsNodePorts,
  noClusterIP,
  type ServiceSpec,
  type ServiceSpecDraft,
  type StoredService,
} from "./service-spec.ts";

export interface ServiceAllocatorOptions {
  /** One range per address family, the default family first ("10.43.0.0/16"). */
  readonly serviceCidrs: readonly string[];
  readonly nodePortFirst: number;
  readonly nodePortLast: number;
  readonly store: Pick<ObjectStore, "subscribe">;
  readonly clock: Clock;
  readonly random: () => number;
}

/** Gives services their addresses and ports, as the last step of mutating admission. */
export interface ServiceAllocator extends AdmissionPlugin {
  /** Begins to follow the stored services; call it once the cache is filled and before the first write. */
  start(): void;
  close(): void;
}

interface AddressPool {
  readonly family: AddressFamily;
  readonly cidr: Cidr;
  readonly pool: NumberPool;
}

/** Addresses beyond this in a range are not given out (an IPv6 /112 and everything wider). */
const addressesMax = 65_536n;

/**
 * What is taken follows from the stored services alone, so that a restart or another server's write needs no repair. Two servers that choose the same
 * number in the same moment are not kept apart here.
 */
export function createServiceAllocator(options: ServiceAllocatorOptions): ServiceAllocator {
  const addresses = options.serviceCidrs.map((text) => createAddressPool(parseCidr(text), options));
  const families = addresses.map(({ family }) => family);
  const ports = createNumberPool({
    first: options.nodePortFirst,
    last: options.nodePortLast,
    staticCount: staticBand(options.nodePortLast - options.nodePortFirst + 1, 32, 128),
    clock: options.clock,
    random: options.random,
  });
  const portRange = `${options.nodePortFirst}-${options.nodePortLast}`;
  let end: (() => void) | undefined;

  const hold = (spec: ServiceSpec | undefined): void => {
    for (const ip of heldAddresses(spec))
      withOffset(addresses, ip, (pool, offset) => pool.hold(offset));
    for (const port of heldNodePorts(spec)) ports.hold(port);
  };
  const release = (spec: ServiceSpec | undefined): void => {
    for (const ip of heldAddresses(spec))
      withOffset(addresses, ip, (pool, offset) => pool.release(offset));
    for (const port of heldNodePorts(spec)) ports.release(port);
  };
  const follow = (change: ObjectChange<StoredService>): void => {
    if (change.type !== "deleted") hold(change.object.spec);
    if (change.type === "deleted") release(change.object.spec);
    if (change.type === "modified") release(change.previous.spec);
  };

  const allocate = (
    request: AdmissionRequest,
    spec: ServiceSpecDraft,
    old: ServiceSpec | undefined,
  ): void => {
    carryOver(spec, old);
    if (!isWellFormed(spec)) return;
    const name =
      request.name ||
      String((request.draft?.metadata as { readonly name?: unknown } | undefined)?.name ?? "");
    const owner = `${request.namespace}/${name}`;
    const keep = !request.dryRun;
    const refuse = (causes: readonly StatusCause[]): void => {
      if (causes.length > 0) throw newInvalid({ group: "", kind: "Service" }, name, causes);
    };
    if (needsClusterIP(spec)) {
      refuse(settleFamilies(spec, old, families));
      refuse(allocateAddresses(spec, old, addresses, owner, keep));
    }
    if (needsNodePorts(spec)) refuse(allocateNodePorts(spec, old, ports, portRange, owner, keep));
    else if (mayHaveNodePorts(spec))
      refuse(checkNodePorts(spec, old, ports, portRange, owner, keep));
    if (needsHealthCheckNodePort(spec))
      refuse(allocateHealthCheckPort(spec, old, ports, portRange, owner, keep));
  };

  return {
    name: "ServiceAllocator",
    start() {
      end ??= options.store.subscribe<StoredService>(resourceIds.services, follow);
    },
    close() {
      end?.();
      end = undefined;
    },
    mutate(request) {
      const { definition, draft, operation, subresource } = request;
      if (
        definition.group !== "" ||
        definition.resource !== "services" ||
        subresource !== "" ||
        draft === undefined
      )
        return;
      if (operation !== "CREATE" && operation !== "UPDATE") return;
      draft["spec"] ??= {};
      const before: StoredService | undefined = request.old;
      allocate(request, draft["spec"] as ServiceSpecDraft, before?.spec);
    },
  };
}

/** What validation will refuse is left to it: it says what is wrong with an address or a port in upstream's words. */
function isWellFormed(spec: ServiceSpecDraft): boolean {
  const ips = spec.clusterIPs ?? [];
  if ((spec.clusterIP || noClusterIP) !== (ips[0] || noClusterIP)) return false;
  if (ips.some((ip) => ip !== "" && ip !== noClusterIP && isIP(ip) === 0)) return false;
  return (
    (spec.ports ?? []).length > 0 || spec.clusterIP === noClusterIP || spec.type === "ExternalName"
  );
}

function createAddressPool(cidr: Cidr, options: ServiceAllocatorOptions): AddressPool {
  const all = cidrSize(cidr);
  const size = Number(all < addressesMax ? all : addressesMax);
  // The first address of a range is the network, the last one of an IPv4 range its broadcast address; neither is given out.
  const last = cidr.family === 4 ? size - 2 : size - 1;
  const pool = createNumberPool({
    first: 1,
    last,
    staticCount: staticBand(size - 2, 16, 256),
    clock: options.clock,
    random: options.random,
  });
  return { family: cidr.family === 4 ? "IPv4" : "IPv6", cidr, pool };
}

function withOffset<T>(
  pools: readonly AddressPool[],
  ip: string,
  use: (pool: NumberPool, offset: number) => T,
): T | undefined {
  const address = tryParseAddress(ip);
  const found =
    address === undefined ? undefined : pools.find(({ cidr }) => cidrContains(cidr, address));
  if (found === undefined || address === undefined) return undefined;
  const offset = address.value - found.cidr.base;
  return use(found.pool, offset > addressesMax ? -1 : Number(offset));
}

function allocateAddresses(
  spec: ServiceSpecDraft,
  old: ServiceSpec | undefined,
  pools: readonly AddressPool[],
  owner: string,
  keep: boolean,
): readonly StatusCause[] {
  if (spec.clusterIPs?.[0] === noClusterIP) return [];
  const mine = new Set(heldAddresses(old));
  const ips = [...(spec.clusterIPs ?? [])];
  for (const [index, family] of (spec.ipFamilies ?? []).entries()) {
    const wanted = ips[index] ?? "";
    if (wanted !== "") {
      if (mine.has(wanted) || familyOf(wanted) !== family) continue;
      const refusal =
        withOffset(pools, wanted, (pool, offset) => pool.take(offset, owner, keep) ?? "ok") ??
        "mismatch";
      if (refusal !== "ok")
        return [
          fieldInvalid(
            "spec.clusterIPs",
            ips,
            `failed to allocate IP ${wanted}: ${addressRefusal[refusal]}`,
          ),
        ];
      continue;
    }
    const source = pools.find((pool) => pool.family === family);
    const offset = source?.pool.takeNext(owner, keep) ?? "full";
    if (source === undefined || offset === "full")
      throw newInternal("failed to allocate a serviceIP: range is full");
    ips[index] = formatAddress(nthAddress(source.cidr, offset));
  }
  spec.clusterIPs = ips;
  if (ips[0] !== undefined) spec.clusterIP = ips[0];
  return [];
}

const addressRefusal = {
  allocated: "provided IP is already allocated",
  mismatch: "the provided network does not match the current range",
  outOfRange: "the provided network does not match the current range",
  full: "range is full",
} as const;

function allocateNodePorts(
  spec: ServiceSpecDraft,
  old: ServiceSpec | undefined,
  pool: NumberPool,
  range: string,
  owner: string,
  keep: boolean,
): readonly StatusCause[] {
  const causes = checkNodePorts(spec, old, pool, range, owner, keep);
  if (causes.length > 0) return causes;
  // One service may serve TCP and UDP on one node port: the second protocol of a port takes the number that the first one has.
  const byPort = new Map<number, Map<string, number>>();
  for (const port of spec.ports ?? []) {
    if (port.nodePort) recordPort(byPort, port.port ?? 0, port.protocol ?? "TCP", port.nodePort);
  }
  for (const port of spec.ports ?? []) {
    if (port.nodePort) continue;
    const siblings = byPort.get(port.port ?? 0);
    const protocol = port.protocol ?? "TCP";
    const shared =
      siblings === undefined || siblings.has(protocol) ? undefined : siblings.values().next().value;
    const number = shared ?? pool.takeNext(owner, keep);
    if (number === "full") throw newInternal("failed to allocate a nodePort: range is full");
    port.nodePort = number;
    recordPort(byPort, port.port ?? 0, protocol, number);
  }
  return [];
}

function recordPort(
  byPort: Map<number, Map<string, number>>,
  port: number,
  protocol: string,
  nodePort: number,
): void {
  const protocols = byPort.get(port) ?? new Map<string, number>();
  protocols.set(protocol, nodePort);
  byPort.set(port, protocols);
}

/** Takes the node ports that the client asked for. */
function checkNodePorts(
  spec: ServiceSpecDraft,
  old: ServiceSpec | undefined,
  pool: NumberPool,
  range: string,
  owner: string,
  keep: boolean,
): readonly StatusCause[] {
  const taken = new Set(heldNodePorts(old));
  for (const [index, { nodePort }] of (spec.ports ?? []).entries()) {
    if (!nodePort || taken.has(nodePort)) continue;
    const refusal = pool.take(nodePort, owner, keep);
    if (refusal !== undefined)
      return [fieldInvalid(`spec.ports[${index}].nodePort`, nodePort, portRefusal(refusal, range))];
    taken.add(nodePort);
  }
  return [];
}

function allocateHealthCheckPort(
  spec: ServiceSpecDraft,
  old: ServiceSpec | undefined,
  pool: NumberPool,
  range: string,
  owner: string,
  keep: boolean,
): readonly StatusCause[] {
  const wanted = spec.healthCheckNodePort;
  if (wanted) {
    if (heldNodePorts(old).includes(wanted)) return [];
    const refusal = pool.take(wanted, owner, keep);
    const detail = refusal === undefined ? undefined : portRefusal(refusal, range);
    if (detail === undefined) return [];
    throw newInternal(`failed to allocate requested HealthCheck NodePort ${wanted}: ${detail}`);
  }
  const number = pool.takeNext(owner, keep);
  if (number === "full")
    throw newInternal("failed to allocate a HealthCheck NodePort : range is full");
  spec.healthCheckNodePort = number;
  return [];
}

function portRefusal(refusal: "allocated" | "outOfRange" | "full", range: string): string {
  if (refusal === "outOfRange")
    return `provided port is not in the valid range. The range of valid ports is ${range}`;
  return refusal === "full" ? "range is full" : "provided port is already allocated";
}
