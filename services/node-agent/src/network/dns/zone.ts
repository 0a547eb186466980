import { blockList, canonicalAddress, isAddress, isIpv6 } from "./address-text.ts";
import {
  recordType,
  responseCode,
  type DnsAnswer,
  type DnsQuestion,
  type DnsRecord,
} from "./dns-message.ts";
import { addressOfReverseName, foldName } from "./dns-name.ts";
import type { ZoneHost, ZonePort, ZoneService, ZoneSettings } from "./zone-entry.ts";

/** Seconds that resolvers may keep cluster records, and that a name does not exist. */
export const ZONE_TTL = 5;
/** Seconds for node names. */
const HOST_TTL = 60;

export type ZoneResult =
  | { readonly kind: "answer"; readonly answer: DnsAnswer }
  /** An alias to `target`, whose records belong behind it. */
  | { readonly kind: "alias"; readonly alias: DnsRecord; readonly target: string }
  /** Not the cluster's name. */
  | { readonly kind: "foreign" };

/** The names of the cluster. */
export interface Zone {
  put(service: ZoneService): void;
  /** Takes the service ("namespace/name") out. */
  remove(key: string): void;
  setNamespaces(put: readonly string[], removed: readonly string[]): void;
  putHost(host: ZoneHost): void;
  removeHost(name: string): void;
  resolve(question: DnsQuestion): ZoneResult;
  readonly services: number;
}

export function createZone(settings: ZoneSettings): Zone {
  const domain = foldName(settings.domain);
  const suffix = `.${domain}`;
  const clusterBlocks = blockList(settings.clusterCidrs);
  /** By "name.namespace". */
  const services = new Map<string, ZoneService>();
  const namespaces = new Set<string>();
  const hosts = new Map<string, ZoneHost>();
  /** Full names by address, for PTR. */
  const reverse = new Map<string, Set<string>>();
  const soa: DnsRecord = {
    type: "SOA",
    name: domain,
    ttl: ZONE_TTL,
    primary: `ns.dns.${domain}`,
    mailbox: `hostmaster.${domain}`,
    serial: 1,
    refresh: 7_200,
    retry: 1_800,
    expire: 86_400,
    minimum: ZONE_TTL,
  };
  let rotation = 0;

  const nodata: ZoneResult = {
    kind: "answer",
    answer: {
      code: responseCode.noError,
      authoritative: true,
      answers: [],
      authorities: [soa],
      additionals: [],
    },
  };
  const nameError: ZoneResult = {
    kind: "answer",
    answer: {
      code: responseCode.nameError,
      authoritative: true,
      answers: [],
      authorities: [soa],
      additionals: [],
    },
  };
  const found = (
    answers: readonly DnsRecord[],
    additionals: readonly DnsRecord[] = [],
  ): ZoneResult =>
    answers.length === 0
      ? nodata
      : {
          kind: "answer",
          answer: {
            code: responseCode.noError,
            authoritative: true,
            answers,
            authorities: [],
            additionals,
          },
        };

  const keyName = (key: string): string => {
    const slash = key.indexOf("/");
    return `${key.slice(slash + 1)}.${key.slice(0, slash)}`;
  };
  const reverseNames = (service: ZoneService): (readonly [string, string])[] => {
    const name = `${keyName(service.key)}.svc.${domain}`;
    if (service.kind === "cluster")
      return service.addresses.map((address) => [canonicalAddress(address), name]);
    if (service.kind === "headless")
      return service.groups.flatMap((group) =>
        group.endpoints.map(
          (endpoint) => [canonicalAddress(endpoint.address), `${endpoint.host}.${name}`] as const,
        ),
      );
    return [];
  };
  const addReverse = (address: string, name: string): void => {
    const names = reverse.get(address) ?? new Set<string>();
    names.add(name);
    reverse.set(address, names);
  };
  const removeReverse = (address: string, name: string): void => {
    const names = reverse.get(address);
    names?.delete(name);
    if (names?.size === 0) reverse.delete(address);
  };
  const remove = (key: string): void => {
    const service = services.get(keyName(key));
    if (service === undefined) return;
    services.delete(keyName(key));
    for (const [address, name] of reverseNames(service)) removeReverse(address, name);
  };
  const removeHost = (name: string): void => {
    const host = hosts.get(name);
    hosts.delete(name);
    for (const address of host?.addresses ?? []) removeReverse(canonicalAddress(address), name);
  };

  /** Spreads clients that take the first record over all of them. */
  const rotated = <T>(records: readonly T[]): readonly T[] => {
    if (records.length < 2) return records;
    rotation = (rotation + 1) % 0x10000;
    const start = rotation % records.length;
    return [...records.slice(start), ...records.slice(0, start)];
  };
  const addressRecords = (
    name: string,
    addresses: readonly string[],
    type: number,
    ttl = ZONE_TTL,
  ): DnsRecord[] => {
    if (type !== recordType.A && type !== recordType.AAAA) return [];
    const wanted = type === recordType.AAAA;
    return addresses
      .filter((address) => isIpv6(address) === wanted)
      .map((address): DnsRecord => ({ type: wanted ? "AAAA" : "A", name, ttl, address }));
  };
  const anyAddressRecords = (name: string, addresses: readonly string[]): DnsRecord[] => [
    ...addressRecords(name, addresses, recordType.A),
    ...addressRecords(name, addresses, recordType.AAAA),
  ];
  const distinct = (addresses: readonly string[]): readonly string[] => [...new Set(addresses)];

  const resolveService = (
    name: string,
    service: ZoneService,
    question: DnsQuestion,
  ): ZoneResult => {
    switch (service.kind) {
      case "external": {
        if (isAddress(service.target))
          return found(addressRecords(name, [service.target], question.type));
        const alias: DnsRecord = { type: "CNAME", name, ttl: ZONE_TTL, target: service.target };
        return question.type === recordType.CNAME
          ? found([alias])
          : { kind: "alias", alias, target: service.target };
      }
      case "cluster":
        if (question.type === recordType.SRV) return serviceRecords(name, service, () => true);
        return found(rotated(addressRecords(name, service.addresses, question.type)));
      case "headless": {
        if (service.groups.length === 0) return nameError;
        if (question.type === recordType.SRV) return serviceRecords(name, service, () => true);
        return found(
          rotated(
            addressRecords(
              name,
              distinct(
                service.groups.flatMap((group) =>
                  group.endpoints.map((endpoint) => endpoint.address),
                ),
              ),
              question.type,
            ),
          ),
        );
      }
    }
  };

  /** SRV records of the ports that match, with the addresses of their targets. */
  const serviceRecords = (
    owner: string,
    service: Exclude<ZoneService, { kind: "external" }>,
    matches: (port: ZonePort) => boolean,
  ): ZoneResult => {
    const base = `${keyName(service.key)}.svc.${domain}`;
    const targets: {
      readonly port: number;
      readonly target: string;
      readonly addresses: readonly string[];
    }[] = [];
    if (service.kind === "cluster") {
      for (const port of service.ports)
        if (matches(port))
          targets.push({ port: port.port, target: base, addresses: service.addresses });
    } else {
      for (const group of service.groups) {
        for (const port of group.ports) {
          if (matches(port))
            for (const endpoint of group.endpoints)
              targets.push({
                port: port.port,
                target: `${endpoint.host}.${base}`,
                addresses: [endpoint.address],
              });
        }
      }
    }
    const weight = Math.max(1, Math.floor(100 / Math.max(1, targets.length)));
    const answers = new Map(
      targets.map(({ port, target }) => [
        `${target} ${port}`,
        { type: "SRV", name: owner, ttl: ZONE_TTL, priority: 0, weight, port, target } as const,
      ]),
    );
    const additionals = new Map(
      targets.flatMap(({ target, addresses }) =>
        anyAddressRecords(target, addresses).map(
          (record) => [JSON.stringify(record), record] as const,
        ),
      ),
    );
    return found(rotated([...answers.values()]), [...additionals.values()]);
  };

  /** Names below svc.DOMAIN; `labels` are those in front of it. */
  const resolveBelowServices = (
    name: string,
    labels: readonly string[],
    question: DnsQuestion,
  ): ZoneResult => {
    if (labels.length === 0) return nodata;
    const namespace = labels.at(-1) ?? "";
    if (labels.length === 1) return namespaces.has(namespace) ? nodata : nameError;
    const service = services.get(`${labels.at(-2)}.${namespace}`);
    if (service === undefined) return nameError;
    if (labels.length === 2) return resolveService(name, service, question);
    if (service.kind === "external") return nameError;
    const ports =
      service.kind === "cluster" ? service.ports : service.groups.flatMap((group) => group.ports);
    const protocol = labels.at(-3) ?? "";
    if (labels.length === 4 && protocol.startsWith("_")) {
      const portName = labels[0] ?? "";
      const matches = (port: ZonePort): boolean =>
        port.name !== "" &&
        `_${foldName(port.name)}` === portName &&
        `_${port.protocol}` === protocol;
      if (!ports.some(matches)) return nameError;
      return question.type === recordType.SRV ? serviceRecords(name, service, matches) : nodata;
    }
    if (labels.length !== 3) return nameError;
    if (protocol.startsWith("_"))
      return ports.some((port) => port.name !== "" && `_${port.protocol}` === protocol)
        ? nodata
        : nameError;
    if (service.kind !== "headless") return nameError;
    const groups = service.groups.flatMap((group) => {
      const endpoints = group.endpoints.filter((endpoint) => endpoint.host === protocol);
      return endpoints.length === 0 ? [] : [{ ports: group.ports, endpoints }];
    });
    if (groups.length === 0) return nameError;
    if (question.type === recordType.SRV)
      return serviceRecords(name, { ...service, groups }, () => true);
    return found(
      rotated(
        addressRecords(
          name,
          distinct(groups.flatMap((group) => group.endpoints.map((endpoint) => endpoint.address))),
          question.type,
        ),
      ),
    );
  };

  /** a-b-c-d.NAMESPACE.pod.DOMAIN is the address a.b.c.d, whether or not a pod has it. */
  const resolvePod = (
    name: string,
    labels: readonly string[],
    question: DnsQuestion,
  ): ZoneResult => {
    if (labels.length === 0) return nodata;
    if (!namespaces.has(labels.at(-1) ?? "")) return nameError;
    if (labels.length === 1) return nodata;
    if (labels.length > 2) return nameError;
    const text = labels[0] ?? "";
    const address = /^\d+(-\d+){3}$/.test(text)
      ? text.replaceAll("-", ".")
      : text.replaceAll("-", ":");
    return isAddress(address)
      ? found(addressRecords(name, [canonicalAddress(address)], question.type))
      : nameError;
  };

  const resolveOwn = (name: string, rest: string, question: DnsQuestion): ZoneResult => {
    const asked = question.name;
    if (rest === "") {
      if (question.type === recordType.SOA) return found([soa]);
      if (question.type === recordType.NS)
        return found(
          [{ type: "NS", name: asked, ttl: ZONE_TTL, target: `ns.dns.${domain}` }],
          anyAddressRecords(`ns.dns.${domain}`, [settings.address]),
        );
      return nodata;
    }
    if (rest.includes("\\")) return nameError;
    if (rest === "dns-version")
      return question.type === recordType.TXT
        ? found([{ type: "TXT", name: asked, ttl: ZONE_TTL, text: "1.1.0" }])
        : nodata;
    if (rest === "ns.dns") return found(addressRecords(asked, [settings.address], question.type));
    if (rest === "dns") return nodata;
    const labels = rest.split(".");
    const tree = labels.pop();
    if (tree === "svc") return resolveBelowServices(name, labels, question);
    if (tree === "pod") return resolvePod(name, labels, question);
    return nameError;
  };

  const resolveReverse = (name: string, address: string, question: DnsQuestion): ZoneResult => {
    const key = canonicalAddress(address);
    const names = reverse.get(key);
    if (names !== undefined) {
      if (question.type !== recordType.PTR) return nodata;
      return found(
        [...names]
          .sort()
          .map((target): DnsRecord => ({ type: "PTR", name, ttl: ZONE_TTL, target })),
      );
    }
    return clusterBlocks.has(key) ? nameError : { kind: "foreign" };
  };

  return {
    put(service) {
      remove(service.key);
      services.set(keyName(service.key), service);
      for (const [address, name] of reverseNames(service)) addReverse(address, name);
    },
    remove,
    setNamespaces(put, removed) {
      for (const name of removed) namespaces.delete(name);
      for (const name of put) namespaces.add(name);
    },
    putHost(host) {
      removeHost(host.name);
      hosts.set(host.name, host);
      for (const address of host.addresses) addReverse(canonicalAddress(address), host.name);
    },
    removeHost,
    resolve(question) {
      const name = foldName(question.name);
      if (name === domain) return resolveOwn(question.name, "", question);
      if (name.endsWith(suffix))
        return resolveOwn(question.name, name.slice(0, -suffix.length), question);
      const host = hosts.get(name);
      if (host !== undefined)
        return found(
          rotated(addressRecords(question.name, host.addresses, question.type, HOST_TTL)),
        );
      const address = addressOfReverseName(name);
      return address === undefined
        ? { kind: "foreign" }
        : resolveReverse(question.name, address, question);
    },
    get services() {
      return services.size;
    },
  };
}
