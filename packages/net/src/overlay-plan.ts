import type { ForwardingEntry, Link, Neighbour, Route } from "./links.ts";
import { parseCidr, formatCidr } from "./cidr.ts";
import { formatAddress } from "./address.ts";

/** This node's end of the VXLAN overlay, in flannel's layout. */
export interface VxlanSelf {
  /** "flannel.1" */
  readonly device: string;
  readonly vni: number;
  readonly port: number;
  /** The interface that carries the packets, and this node's address on it. */
  readonly parent: string;
  readonly localAddress: string;
  readonly mac: string;
  readonly mtu: number;
  /** This node's block; the device has its first address. */
  readonly podCidr: string;
}

export interface VxlanPeer {
  readonly name: string;
  readonly podCidr: string;
  readonly publicAddress: string;
  readonly mac: string;
}

export interface HostGatewayPeer {
  readonly name: string;
  readonly podCidr: string;
  readonly publicAddress: string;
}

export interface OverlayPlan {
  /** Absent for host-gw, which has no device of its own. */
  readonly device?: {
    readonly name: string;
    readonly vni: number;
    readonly port: number;
    readonly parent: string;
    readonly localAddress: string;
    readonly mac: string;
    readonly mtu: number;
    readonly address: string;
  };
  readonly neighbours: readonly { readonly address: string; readonly mac: string }[];
  readonly forwarding: readonly ForwardingEntry[];
  readonly routes: readonly {
    readonly destination: string;
    readonly gateway: string;
    readonly link: string;
    readonly onlink: boolean;
  }[];
}

/** What the machine has now, narrowed to the device (VXLAN) or to the pod network (host-gw). */
export interface OverlayObserved {
  readonly device?: Link;
  /** Addresses of the device, as "10.42.1.0/32". */
  readonly deviceAddresses: readonly string[];
  readonly neighbours: readonly Neighbour[];
  readonly forwarding: readonly ForwardingEntry[];
  readonly routes: readonly Route[];
}

export interface OverlayChanges {
  /** Whole commands, to run one by one and first. */
  readonly commands: readonly (readonly string[])[];
  /** Lines for `ip -batch -`. */
  readonly ipLines: readonly string[];
  /** Lines for `bridge -batch -`. */
  readonly bridgeLines: readonly string[];
}

/** Every peer is one neighbour (its device's address), one forwarding entry (its MAC to its machine) and one route (its block). */
export function planVxlan(self: VxlanSelf, peers: readonly VxlanPeer[]): OverlayPlan {
  const usable = distinctPeers(self.podCidr, peers);
  const routes = usable.map((peer) => ({
    destination: formatCidr(parseCidr(peer.podCidr)),
    gateway: firstAddress(peer.podCidr),
    link: self.device,
    onlink: true,
  }));
  return {
    device: {
      name: self.device,
      vni: self.vni,
      port: self.port,
      parent: self.parent,
      localAddress: self.localAddress,
      mac: self.mac.toLowerCase(),
      mtu: self.mtu,
      address: firstAddress(self.podCidr),
    },
    neighbours: usable.map((peer) => ({
      address: firstAddress(peer.podCidr),
      mac: peer.mac.toLowerCase(),
    })),
    forwarding: usable.map((peer) => ({
      mac: peer.mac.toLowerCase(),
      destination: peer.publicAddress,
    })),
    routes,
  };
}

/** Plain routes over a shared segment. */
export function planHostGateway(
  self: { readonly parent: string; readonly podCidr: string },
  peers: readonly HostGatewayPeer[],
): OverlayPlan {
  const routes = distinctPeers(self.podCidr, peers).map((peer) => ({
    destination: formatCidr(parseCidr(peer.podCidr)),
    gateway: peer.publicAddress,
    link: self.parent,
    onlink: false,
  }));
  return { neighbours: [], forwarding: [], routes };
}

/** True when the kernel's device can be kept as it is; address, MTU and MAC can be changed on it, the rest cannot. */
export function deviceFits(plan: NonNullable<OverlayPlan["device"]>, device: Link): boolean {
  const vxlan = device.vxlan;
  return (
    vxlan !== undefined &&
    vxlan.vni === plan.vni &&
    vxlan.port === plan.port &&
    vxlan.local === plan.localAddress &&
    vxlan.parent === plan.parent
  );
}

/** The commands that turn what is into what should be; nothing that is right already is touched. */
export function diffOverlay(plan: OverlayPlan, observed: OverlayObserved): OverlayChanges {
  const commands: (readonly string[])[] = [];
  const ipLines: string[] = [];
  const bridgeLines: string[] = [];
  let neighbours = observed.neighbours;
  let forwarding = observed.forwarding;
  let routes = observed.routes;
  const device = plan.device;
  if (device !== undefined) {
    const fits = observed.device !== undefined && deviceFits(device, observed.device);
    if (!fits) {
      if (observed.device !== undefined) commands.push(["ip", "link", "delete", device.name]);
      commands.push(
        [
          "ip",
          "link",
          "add",
          device.name,
          "address",
          device.mac,
          "mtu",
          String(device.mtu),
          "type",
          "vxlan",
        ].concat([
          "id",
          String(device.vni),
          "dev",
          device.parent,
          "local",
          device.localAddress,
          "dstport",
          String(device.port),
          "nolearning",
        ]),
        ["ip", "addr", "add", `${device.address}/32`, "dev", device.name],
        ["ip", "link", "set", device.name, "up"],
      );
      neighbours = [];
      forwarding = [];
      routes = routes.filter((route) => route.link !== device.name);
    } else if (observed.device !== undefined) {
      if (observed.device.mac !== device.mac)
        commands.push(["ip", "link", "set", device.name, "address", device.mac]);
      if (observed.device.mtu !== device.mtu)
        commands.push(["ip", "link", "set", device.name, "mtu", String(device.mtu)]);
      const wanted = `${device.address}/32`;
      for (const address of observed.deviceAddresses)
        if (address !== wanted) commands.push(["ip", "addr", "del", address, "dev", device.name]);
      if (!observed.deviceAddresses.includes(wanted))
        commands.push(["ip", "addr", "add", wanted, "dev", device.name]);
      if (!observed.device.up) {
        commands.push(["ip", "link", "set", device.name, "up"]);
        routes = routes.filter((route) => route.link !== device.name);
      }
    }
    const wantedNeighbours = new Map(plan.neighbours.map((entry) => [entry.address, entry.mac]));
    for (const entry of neighbours) {
      if (entry.permanent && !wantedNeighbours.has(entry.address))
        ipLines.push(`neigh del ${entry.address} dev ${device.name}`);
    }
    const presentNeighbours = new Map(
      neighbours.filter((entry) => entry.permanent).map((entry) => [entry.address, entry.mac]),
    );
    for (const [address, mac] of wantedNeighbours) {
      if (presentNeighbours.get(address) !== mac)
        ipLines.push(`neigh replace ${address} lladdr ${mac} dev ${device.name} nud permanent`);
    }
    const wantedForwarding = new Map(
      plan.forwarding.map((entry) => [entry.mac, entry.destination]),
    );
    const presentForwarding = new Map(forwarding.map((entry) => [entry.mac, entry.destination]));
    for (const entry of forwarding) {
      if (!wantedForwarding.has(entry.mac))
        bridgeLines.push(`fdb del ${entry.mac} dev ${device.name} dst ${entry.destination} self`);
    }
    for (const [mac, destination] of wantedForwarding) {
      if (presentForwarding.get(mac) !== destination)
        bridgeLines.push(`fdb replace ${mac} dev ${device.name} dst ${destination} self permanent`);
    }
  }
  const wantedRoutes = new Map(plan.routes.map((route) => [route.destination, route]));
  const presentRoutes = new Map(routes.map((route) => [route.destination, route]));
  for (const route of routes) {
    if (!wantedRoutes.has(route.destination))
      ipLines.push(
        `route del ${route.destination}${route.link === undefined ? "" : ` dev ${route.link}`}`,
      );
  }
  for (const [destination, route] of wantedRoutes) {
    const present = presentRoutes.get(destination);
    if (present?.gateway === route.gateway && present.link === route.link) continue;
    ipLines.push(
      `route replace ${destination} via ${route.gateway} dev ${route.link}${route.onlink ? " onlink" : ""}`,
    );
  }
  return { commands, ipLines, bridgeLines };
}

/** Drops peers that claim this node's block or one that an earlier peer (by name) has: two machines cannot answer for one block. */
function distinctPeers<T extends { readonly name: string; readonly podCidr: string }>(
  own: string,
  peers: readonly T[],
): T[] {
  const taken = new Set([formatCidr(parseCidr(own))]);
  return [...peers]
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
    .filter((peer) => {
      const block = formatCidr(parseCidr(peer.podCidr));
      if (taken.has(block)) return false;
      taken.add(block);
      return true;
    });
}

function firstAddress(cidr: string): string {
  const block = parseCidr(cidr);
  return formatAddress({ family: block.family, value: block.base });
}
