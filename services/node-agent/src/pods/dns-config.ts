import type { Pod } from "@wherry/machinery";
import { isHostNetwork, podSpec } from "./pod-types.ts";

export interface DnsSettings {
  readonly servers: readonly string[];
  readonly searches: readonly string[];
  readonly options: readonly string[];
}

const serversMax = 3;
const searchesMax = 32;
const searchCharactersMax = 2_048;

export interface DnsInputs {
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
  /** What the host uses itself. */
  readonly host: DnsSettings;
}

/** The resolver settings of a pod, by its policy and extra configuration, within the resolver's limits. */
export function podDns(pod: Pod, inputs: DnsInputs): DnsSettings {
  const spec = podSpec(pod);
  const merged = merge(basis(pod, inputs), spec.dnsConfig);
  const searches: string[] = [];
  let characters = 0;
  for (const search of merged.searches.slice(0, searchesMax)) {
    characters += search.length + (searches.length === 0 ? 0 : 1);
    if (characters > searchCharactersMax) break;
    searches.push(search);
  }
  return { servers: merged.servers.slice(0, serversMax), searches, options: merged.options };
}

function basis(pod: Pod, { clusterDns, clusterDomain, host }: DnsInputs): DnsSettings {
  const spec = podSpec(pod);
  const policy = spec.dnsPolicy ?? "ClusterFirst";
  const cluster =
    policy === "ClusterFirstWithHostNet" || (policy === "ClusterFirst" && !isHostNetwork(pod));
  if (policy === "None") return { servers: [], searches: [], options: [] };
  if (!cluster || clusterDns.length === 0) return host;
  const own =
    clusterDomain === ""
      ? []
      : [`${pod.metadata.namespace}.svc.${clusterDomain}`, `svc.${clusterDomain}`, clusterDomain];
  return {
    servers: clusterDns,
    searches: unique([...own, ...host.searches]),
    options: ["ndots:5"],
  };
}

type DnsConfig = NonNullable<ReturnType<typeof podSpec>["dnsConfig"]>;

function merge(base: DnsSettings, extra: DnsConfig | undefined): DnsSettings {
  if (extra === undefined) return base;
  const options = new Map(base.options.map((one) => [one.split(":", 1)[0] ?? one, one]));
  for (const option of extra.options ?? []) {
    if (option.name !== undefined && option.name !== "")
      options.set(
        option.name,
        option.value === undefined ? option.name : `${option.name}:${option.value}`,
      );
  }
  return {
    servers: unique([...base.servers, ...(extra.nameservers ?? [])]),
    searches: unique([...base.searches, ...(extra.searches ?? [])]),
    options: [...options.values()],
  };
}

function unique(list: readonly string[]): readonly string[] {
  return [...new Set(list)];
}

/**
 * Reads a resolv.conf. Name servers on the loopback or link-local range cannot be reached from a pod; when the host has no others, public
 * ones take their place (as K3s does).
 */
export function parseResolvConf(text: string): DnsSettings {
  const servers: string[] = [];
  let searches: readonly string[] = [];
  let options: readonly string[] = [];
  for (const line of text.split("\n")) {
    const [word = "", ...rest] = line.trim().split(/\s+/u);
    if (word === "nameserver" && rest[0] !== undefined) servers.push(rest[0]);
    if (word === "search") searches = rest.filter((one) => one !== ".");
    if (word === "options") options = rest;
  }
  const usable = servers.filter(isReachableFromPods);
  return {
    servers: usable.length > 0 ? usable : ["8.8.8.8", "2001:4860:4860::8888"],
    searches,
    options,
  };
}

function isReachableFromPods(address: string): boolean {
  return !/^(?:127\.|169\.254\.|::1$|fe[89ab])/iu.test(address);
}
