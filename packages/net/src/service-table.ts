import type { Element } from "./element-ledger.ts";
import { NetworkError } from "./network-error.ts";
import { elementCommands, tableText, type NftTable } from "./nft-script.ts";

/**
 * The nftables table that routes services. There is no chain per service: a frontend (address.protocol.port, or protocol.port for a
 * node port) is an element whose verdict is a chain that many services share, and its endpoints are elements of one map. A chain stands
 * for (keyed by address or by port) x (protocol) x (policy) x (number of endpoints) x (affinity time).
 *
 *   packet -> @services | @node-ports | @host-ports -> chain ip-tcp-cluster-2 -> dnat to @endpoints-tcp[frontend . random slot]
 *
 * 1. Slots 0 … n-1 of a frontend are its endpoints; slots from SHORT_SLOT_BASE on are those for sources inside the cluster, where an
 *    externalTrafficPolicy of Local would leave them without.
 * 2. Filter chains run after DNAT in every hook, so what still carries a service address there had no endpoint.
 * 3. The masquerade bit is in the packet's mark; chains with affinity use that mark for the endpoint's number and keep the bit in the connection's mark.
 */

export type TransportProtocol = "tcp" | "udp" | "sctp";
export const transportProtocols: readonly TransportProtocol[] = ["tcp", "udp", "sctp"];

export const MASQUERADE_MARK = "0x4000";
/** Slots for in-cluster sources start here, so a frontend has at most as many endpoints. */
export const SHORT_SLOT_BASE = 0x8000;
/** Endpoint numbers of chains with affinity are below this bit; it tells the numbers of in-cluster sources apart. */
export const SHORT_NUMBER_BIT = 0x2000;
/** Clients remembered for session affinity, over all services; when full, a new client is balanced without being remembered. */
export const AFFINITY_CLIENTS_MAX = 65_535;

export interface ServiceTableConfig {
  readonly table: NftTable;
  /** Sources inside are pods and are not masqueraded towards cluster IPs. */
  readonly podCidr: string;
  /** Node ports answer on local addresses inside these blocks only; absent = on all but loopback. */
  readonly nodePortCidrs?: readonly string[];
}

export type ChainPolicy =
  /** A cluster IP: masquerade what does not come from a pod. */
  | "cluster"
  /** From outside, any endpoint: always masquerade. */
  | "external"
  /** From outside, local endpoints only: the source stays visible; sources inside the cluster take the short way. */
  | "local"
  /** The short way itself; masquerading was decided before. */
  | "short";

export interface ChainSpec {
  readonly keyedBy: "ip" | "port";
  readonly protocol: TransportProtocol;
  readonly policy: ChainPolicy;
  readonly endpoints: number;
  /** Seconds; absent = no affinity. */
  readonly affinity?: number;
}

export function chainName(spec: ChainSpec): string {
  return `${spec.keyedBy}-${spec.protocol}-${spec.policy}-${spec.endpoints}${spec.affinity === undefined ? "" : `-keep${spec.affinity}`}`;
}

/** The chain that a verdict ("goto ip-tcp-cluster-2") leads to, if it is one that depends on the services. */
export function chainOfVerdict(verdict: string | undefined): ChainSpec | undefined {
  const match =
    /^goto (ip|port)-(tcp|udp|sctp)-(cluster|external|local|short)-(\d+)(?:-keep(\d+))?$/.exec(
      verdict ?? "",
    );
  if (match === null) return undefined;
  const spec = {
    keyedBy: match[1] as ChainSpec["keyedBy"],
    protocol: match[2] as TransportProtocol,
    policy: match[3] as ChainPolicy,
    endpoints: Number(match[4]),
  };
  return match[5] === undefined ? spec : { ...spec, affinity: Number(match[5]) };
}

/** Creates the chain and (again) fills it. */
export function chainCommands(config: ServiceTableConfig, spec: ChainSpec): string {
  const table = tableText(config.table);
  const name = chainName(spec);
  const rules = chainRules(config, spec).map((rule) => `add rule ${table} ${name} ${rule}\n`);
  return `add chain ${table} ${name}\nflush chain ${table} ${name}\n${rules.join("")}`;
}

/**
 * The whole table as one transaction. With `keepAffinity` an existing table is refilled in place, which keeps what clients are bound to;
 * this fails when a table of another layout has the same name. Without it the table is made anew.
 */
export function* fullSyncCommands(
  config: ServiceTableConfig,
  elements: () => Iterable<Element>,
  options: { readonly keepAffinity: boolean },
): Generator<string> {
  const table = tableText(config.table);
  yield `add table ${table}\n`;
  if (!options.keepAffinity) yield `delete table ${table}\nadd table ${table}\n`;
  yield* declareSets(config);
  for (const [chain, hook] of baseChains)
    yield `add chain ${table} ${chain}${hook === "" ? "" : ` { ${hook} }`}\nflush chain ${table} ${chain}\n`;
  const chains = new Map<string, ChainSpec>();
  for (const element of elements()) {
    const spec = chainOfVerdict(element.value);
    if (spec !== undefined) chains.set(chainName(spec), spec);
  }
  for (const [chain, rule] of baseRules(config)) yield `add rule ${table} ${chain} ${rule}\n`;
  for (const spec of chains.values()) yield chainCommands(config, spec);
  yield* elementCommands(config.table, "add", elements());
}

interface FamilyWords {
  readonly ip: "ip" | "ip6";
  readonly type: "ipv4_addr" | "ipv6_addr";
  readonly loopback: string;
  readonly multicast: string;
}

function wordsOf(table: NftTable): FamilyWords {
  return table.family === "ip"
    ? { ip: "ip", type: "ipv4_addr", loopback: "127.0.0.0/8", multicast: "224.0.0.0/4" }
    : { ip: "ip6", type: "ipv6_addr", loopback: "::1", multicast: "ff00::/8" };
}

type Declaration = readonly ["map" | "set", string, string];

function* declareSets(config: ServiceTableConfig): Generator<string> {
  const table = tableText(config.table);
  const { ip, type } = wordsOf(config.table);
  const byAddress = `type ${type} . inet_proto . inet_service`;
  const byPort = "type inet_proto . inet_service";
  // A random number can only be part of a key that is declared by expression; the modulus does not matter to the type.
  const slotByAddress = `typeof ${ip} daddr . meta l4proto . th dport . numgen random mod 2`;
  const slotByPort = "typeof meta l4proto . th dport . numgen random mod 2";
  // A port as data must be declared as a certain protocol's ("th dport" is refused once the map is read back), which a rule that uses the map then demands.
  const endpoints = transportProtocols.flatMap((protocol): Declaration[] => [
    ["map", `endpoints-${protocol}`, `${slotByAddress} : ${ip} daddr . ${protocol} dport ;`],
    ["map", `port-endpoints-${protocol}`, `${slotByPort} : ${ip} daddr . ${protocol} dport ;`],
  ]);
  const declarations: readonly Declaration[] = [
    ...endpoints,
    ["map", "services", `${byAddress} : verdict ;`],
    ["map", "services-short", `${byAddress} : verdict ;`],
    ["map", "numbers", `${slotByAddress} : meta mark ;`],
    ["map", "numbered", `${byAddress} . mark : ${type} . inet_service ;`],
    ["map", "no-endpoints", `${byAddress} : verdict ;`],
    ["map", "node-ports", `${byPort} : verdict ;`],
    ["map", "node-ports-short", `${byPort} : verdict ;`],
    ["map", "port-numbers", `${slotByPort} : meta mark ;`],
    ["map", "port-numbered", `${byPort} . mark : ${type} . inet_service ;`],
    ["map", "no-port-endpoints", `${byPort} : verdict ;`],
    ["map", "host-ports", `${byPort} : verdict ;`],
    ["map", "host-port-any", `${byPort} : ${type} . inet_service ;`],
    ["map", "host-port-address", `${byAddress} : ${type} . inet_service ;`],
    ["set", "cluster-ips", `type ${type} ;`],
    ["set", "hairpin", `type ${type} . ${type} ;`],
    ["set", "restricted", `${byAddress} ;`],
    ["set", "allowed-sources", `${byAddress} . ${type} ; flags interval ;`],
  ];
  for (const [kind, name, body] of declarations)
    yield `add ${kind} ${table} ${name} { ${body} }\nflush ${kind} ${table} ${name}\n`;
  yield `add map ${table} affinity { type ${type} . ${type} . inet_proto . inet_service : mark ; size ${AFFINITY_CLIENTS_MAX} ; flags dynamic,timeout ; timeout 3h ; }\n`;
}

const baseChains: readonly (readonly [string, string])[] = [
  ["reject-it", ""],
  ["drop-it", ""],
  ["host-port", ""],
  ["dispatch", ""],
  ["no-endpoint", ""],
  ["before-prerouting", "type filter hook prerouting priority -110 ;"],
  ["before-output", "type filter hook output priority -110 ;"],
  ["nat-prerouting", "type nat hook prerouting priority -100 ;"],
  ["nat-output", "type nat hook output priority -100 ;"],
  ["filter-input", "type filter hook input priority -90 ;"],
  ["filter-forward", "type filter hook forward priority -90 ;"],
  ["filter-output", "type filter hook output priority -90 ;"],
  ["nat-postrouting", "type nat hook postrouting priority 100 ;"],
];

function baseRules(config: ServiceTableConfig): readonly (readonly [string, string])[] {
  const { ip, loopback } = wordsOf(config.table);
  const frontend = `${ip} daddr . meta l4proto . th dport`;
  const port = "meta l4proto . th dport";
  const nodeAddress =
    config.nodePortCidrs === undefined ? "" : `${ip} daddr { ${config.nodePortCidrs.join(", ")} } `;
  const nodePort = `${nodeAddress}fib daddr type local ${ip} daddr != ${loopback}`;
  const restricted = `ct state new ${frontend} @restricted ${frontend} . ${ip} saddr != @allowed-sources drop`;
  return [
    ["reject-it", "meta l4proto tcp reject with tcp reset"],
    ["reject-it", "reject"],
    ["drop-it", "drop"],
    ["before-prerouting", restricted],
    ["before-output", restricted],
    ["dispatch", `${frontend} vmap @services`],
    ["dispatch", `${nodePort} ${port} vmap @node-ports`],
    ["dispatch", `fib daddr type local ${port} vmap @host-ports`],
    ["host-port", `${ip} saddr ${loopback} meta mark set meta mark or ${MASQUERADE_MARK}`],
    ["host-port", `dnat ${ip} to ${frontend} map @host-port-address`],
    ["host-port", `dnat ${ip} to ${port} map @host-port-any`],
    ["nat-prerouting", "jump dispatch"],
    ["nat-output", "jump dispatch"],
    ["no-endpoint", `${frontend} vmap @no-endpoints`],
    ["no-endpoint", `${nodePort} ${port} vmap @no-port-endpoints`],
    ["no-endpoint", `meta l4proto { tcp, udp, sctp } ${ip} daddr @cluster-ips goto reject-it`],
    // Host ports reached by the loopback address need route_localnet on the bridge; without this, pods could then reach the node's loopback.
    ["filter-input", `iifname != "lo" ${ip} daddr ${loopback} ct state new drop`],
    ["filter-input", "ct state new jump no-endpoint"],
    ["filter-forward", "ct state new jump no-endpoint"],
    ["filter-output", "ct state new jump no-endpoint"],
    [
      "nat-postrouting",
      `${ip} saddr . ${ip} daddr @hairpin ct status dnat masquerade fully-random`,
    ],
    [
      "nat-postrouting",
      `meta mark and ${MASQUERADE_MARK} == ${MASQUERADE_MARK} meta mark set meta mark xor ${MASQUERADE_MARK} masquerade fully-random`,
    ],
    [
      "nat-postrouting",
      `ct mark and ${MASQUERADE_MARK} == ${MASQUERADE_MARK} ct status dnat masquerade fully-random`,
    ],
  ];
}

function chainRules(config: ServiceTableConfig, spec: ChainSpec): string[] {
  const { ip } = wordsOf(config.table);
  const byIp = spec.keyedBy === "ip";
  const frontend = byIp ? `${ip} daddr . meta l4proto . th dport` : "meta l4proto . th dport";
  const mark = spec.affinity === undefined ? "meta mark" : "ct mark";
  const masquerade = `${mark} set ${mark} or ${MASQUERADE_MARK}`;
  const shortWay = `${frontend} vmap @${byIp ? "services-short" : "node-ports-short"}`;
  const rules: string[] = [];
  if (spec.policy === "cluster") rules.push(`${ip} saddr != ${config.podCidr} ${masquerade}`);
  if (spec.policy === "external") rules.push(masquerade);
  if (spec.policy === "local")
    rules.push(
      `${ip} saddr ${config.podCidr} ${shortWay}`,
      `fib saddr type local ${masquerade} ${shortWay}`,
    );
  if (spec.endpoints === 0) return [...rules, "drop"];
  const offset = spec.policy === "short" ? ` offset ${SHORT_SLOT_BASE}` : "";
  const slot = `numgen random mod ${spec.endpoints}${offset}`;
  if (spec.affinity === undefined)
    return [
      ...rules,
      `dnat ${ip} to ${frontend} . ${slot} map @${byIp ? "endpoints" : "port-endpoints"}-${spec.protocol}`,
    ];
  if (ip === "ip6")
    throw new NetworkError(
      "unsupported-machine",
      "session affinity is not available for IPv6: nft 1.0.6 aborts on a rule with two IPv6 addresses and a mark",
    );
  const client = `${ip} saddr . ${ip} daddr . meta l4proto . th dport`;
  const choose = `meta mark set ${frontend} . ${slot} map @${byIp ? "numbers" : "port-numbers"}`;
  const remember = `update @affinity { ${client} timeout ${spec.affinity}s : meta mark }`;
  const translate = `dnat ${ip} to ${frontend} . meta mark map @${byIp ? "numbered" : "port-numbered"}`;
  // The second half runs when the remembered endpoint is gone: forget it and choose again.
  return [
    ...rules,
    choose,
    `meta mark set ${client} map @affinity`,
    remember,
    translate,
    `delete @affinity { ${client} : meta mark }`,
    choose,
    remember,
    translate,
  ];
}
