import { runJson, type CommandRunner } from "./command-runner.ts";

/** What `ip -j -d link` says of an interface, as far as it matters here. */
export interface Link {
  readonly name: string;
  readonly index: number;
  readonly mtu: number;
  readonly mac: string;
  readonly up: boolean;
  /** "vxlan", "bridge", "veth" …; absent for a plain interface. */
  readonly kind?: string;
  readonly vxlan?: {
    readonly vni: number;
    readonly port: number;
    readonly local?: string;
    readonly parent?: string;
  };
}

export interface LinkAddress {
  readonly link: string;
  readonly address: string;
  readonly prefix: number;
  readonly family: 4 | 6;
  /** "global", "link", "host". */
  readonly scope: string;
}

export interface Route {
  /** "default" or a block (or a bare address, as iproute2 prints host routes). */
  readonly destination: string;
  readonly link?: string;
  readonly gateway?: string;
  readonly source?: string;
  readonly metric: number;
}

export interface Neighbour {
  readonly address: string;
  readonly mac: string;
  readonly permanent: boolean;
}

export interface ForwardingEntry {
  readonly mac: string;
  readonly destination: string;
}

/** undefined when there is no such interface. */
export async function readLink(run: CommandRunner, name: string): Promise<Link | undefined> {
  return (await readLinks(run)).find((link) => link.name === name);
}

export async function readLinks(run: CommandRunner): Promise<Link[]> {
  const rows = (await runJson(run, ["ip", "-j", "-d", "link", "show"])) as readonly LinkRow[];
  return rows.map((row) => {
    const kind = row.linkinfo?.info_kind;
    const data = row.linkinfo?.info_data;
    return {
      name: row.ifname,
      index: row.ifindex,
      mtu: row.mtu,
      mac: row.address ?? "",
      up: row.flags.includes("UP"),
      ...(kind === undefined ? {} : { kind }),
      ...(kind !== "vxlan"
        ? {}
        : {
            vxlan: {
              vni: data?.id ?? 0,
              port: data?.port ?? 0,
              ...(data?.local === undefined ? {} : { local: data.local }),
              ...(data?.link === undefined ? {} : { parent: data.link }),
            },
          }),
    };
  });
}

export async function readAddresses(run: CommandRunner): Promise<LinkAddress[]> {
  const rows = (await runJson(run, ["ip", "-j", "addr", "show"])) as readonly AddressRow[];
  return rows.flatMap((row) =>
    (row.addr_info ?? []).flatMap((info) =>
      info.local === undefined || info.family === undefined
        ? []
        : [
            {
              link: row.ifname ?? "",
              address: info.local,
              prefix: info.prefixlen ?? 0,
              family: info.family === "inet" ? (4 as const) : (6 as const),
              scope: info.scope ?? "",
            },
          ],
    ),
  );
}

/** The main table's routes of one family. */
export async function readRoutes(run: CommandRunner, family: 4 | 6 = 4): Promise<Route[]> {
  const rows = (await runJson(run, [
    "ip",
    `-${family}`,
    "-j",
    "route",
    "show",
  ])) as readonly RouteRow[];
  return rows.map((row) => ({
    destination: row.dst,
    metric: row.metric ?? 0,
    ...(row.dev === undefined ? {} : { link: row.dev }),
    ...(row.gateway === undefined ? {} : { gateway: row.gateway }),
    ...(row.prefsrc === undefined ? {} : { source: row.prefsrc }),
  }));
}

export async function readNeighbours(run: CommandRunner, link: string): Promise<Neighbour[]> {
  const rows = (await runJson(run, [
    "ip",
    "-j",
    "neigh",
    "show",
    "dev",
    link,
  ])) as readonly NeighbourRow[];
  return rows.flatMap((row) =>
    row.lladdr === undefined
      ? []
      : [
          {
            address: row.dst,
            mac: row.lladdr,
            permanent: row.state?.includes("PERMANENT") === true,
          },
        ],
  );
}

export async function readForwardingEntries(
  run: CommandRunner,
  link: string,
): Promise<ForwardingEntry[]> {
  const rows = (await runJson(run, [
    "bridge",
    "-j",
    "fdb",
    "show",
    "dev",
    link,
  ])) as readonly ForwardingRow[];
  return rows.flatMap((row) =>
    row.dst === undefined ? [] : [{ mac: row.mac, destination: row.dst }],
  );
}

interface LinkRow {
  readonly ifname: string;
  readonly ifindex: number;
  readonly mtu: number;
  readonly address?: string;
  readonly flags: readonly string[];
  readonly linkinfo?: {
    readonly info_kind?: string;
    readonly info_data?: {
      readonly id?: number;
      readonly port?: number;
      readonly local?: string;
      readonly link?: string;
    };
  };
}

interface AddressRow {
  readonly ifname?: string;
  readonly addr_info?: readonly {
    readonly family?: string;
    readonly local?: string;
    readonly prefixlen?: number;
    readonly scope?: string;
  }[];
}

interface RouteRow {
  readonly dst: string;
  readonly dev?: string;
  readonly gateway?: string;
  readonly prefsrc?: string;
  readonly metric?: number;
}

interface NeighbourRow {
  readonly dst: string;
  readonly lladdr?: string;
  readonly state?: readonly string[];
}

interface ForwardingRow {
  readonly mac: string;
  readonly dst?: string;
}
