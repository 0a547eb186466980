import {
  NetworkError,
  readAddresses,
  readLinks,
  readRoutes,
  type CommandRunner,
  type LinkAddress,
} from "@wherry/net";

export interface NodeAddressOptions {
  /** The address to use; it must be on an interface unless `interface` is given. */
  readonly nodeIp?: string;
  readonly interface?: string;
}

export interface DetectedNodeIp {
  readonly address: string;
  readonly interface: string;
  readonly mtu: number;
  /** Without one, this machine cannot reach addresses that no interface covers, service addresses among them. */
  readonly hasDefaultRoute: boolean;
}

/**
 * The node's IPv4 address and the interface that carries it: what was asked for, else the default route's (lowest metric). Rejects with
 * `unsupported-machine` when nothing can be chosen.
 */
export async function detectNodeIp(
  run: CommandRunner,
  options: NodeAddressOptions = {},
): Promise<DetectedNodeIp> {
  const [links, allAddresses, routes] = await Promise.all([
    readLinks(run),
    readAddresses(run),
    readRoutes(run),
  ]);
  const addresses = allAddresses.filter(
    (address) => address.family === 4 && address.scope === "global",
  );
  const defaults = routes
    .filter((route) => route.destination === "default" && route.link !== undefined)
    .sort((a, b) => a.metric - b.metric);
  const chosen = chooseAddress(options, addresses, defaults[0]);
  const link = links.find((candidate) => candidate.name === chosen.interface);
  if (link === undefined)
    throw new NetworkError(
      "unsupported-machine",
      `there is no interface ${chosen.interface}; name an existing one with --flannel-iface`,
    );
  return { ...chosen, mtu: link.mtu, hasDefaultRoute: defaults.length > 0 };
}

function chooseAddress(
  options: NodeAddressOptions,
  addresses: readonly LinkAddress[],
  route: { readonly link?: string; readonly source?: string } | undefined,
): { readonly address: string; readonly interface: string } {
  const { nodeIp, interface: wanted } = options;
  if (nodeIp !== undefined) {
    const holder =
      wanted ?? addresses.find((address) => address.address === nodeIp)?.link ?? route?.link;
    if (holder === undefined) {
      throw new NetworkError(
        "unsupported-machine",
        `no interface has the address ${nodeIp} (--node-ip) and there is no default route; name the interface with --flannel-iface`,
      );
    }
    return { address: nodeIp, interface: holder };
  }
  if (wanted !== undefined) {
    const first = addresses.find((address) => address.link === wanted);
    if (first === undefined)
      throw new NetworkError(
        "unsupported-machine",
        `the interface ${wanted} (--flannel-iface) has no IPv4 address; name one with --node-ip`,
      );
    return { address: first.address, interface: wanted };
  }
  if (route?.link === undefined) {
    throw new NetworkError(
      "unsupported-machine",
      "this machine has no default route, so the node's address cannot be chosen; name one with --node-ip",
    );
  }
  const address =
    route.source ?? addresses.find((candidate) => candidate.link === route.link)?.address;
  if (address === undefined)
    throw new NetworkError(
      "unsupported-machine",
      `the default route's interface ${route.link} has no IPv4 address; name one with --node-ip`,
    );
  return { address, interface: route.link };
}
