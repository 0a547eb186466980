import type { Node } from "@wherry/machinery";
import { NetworkError, parseCidr, tryParseAddress, type VxlanPeer } from "@wherry/net";

/** Node annotations by which flannel's peers find each other; the names and formats are flannel's. */
export const flannelAnnotation = {
  backendData: "flannel.alpha.coreos.com/backend-data",
  backendType: "flannel.alpha.coreos.com/backend-type",
  publicIp: "flannel.alpha.coreos.com/public-ip",
  publicIpOverwrite: "flannel.alpha.coreos.com/public-ip-overwrite",
  kubeSubnetManager: "flannel.alpha.coreos.com/kube-subnet-manager",
} as const;

export type OverlayBackend = "vxlan" | "host-gw";

export interface Announcement {
  readonly backend: OverlayBackend;
  readonly publicIp: string;
  readonly vni: number;
  readonly mac: string;
}

/** The annotations of this node. */
export function announce(announcement: Announcement): Record<string, string> {
  const data =
    announcement.backend === "vxlan"
      ? JSON.stringify({ VNI: announcement.vni, VtepMAC: announcement.mac })
      : "null";
  return {
    [flannelAnnotation.backendData]: data,
    [flannelAnnotation.backendType]: announcement.backend,
    [flannelAnnotation.kubeSubnetManager]: "true",
    [flannelAnnotation.publicIp]: announcement.publicIp,
  };
}

/** The MAC that a node announced before, if any. */
export function announcedMac(node: Node | undefined): string | undefined {
  const data = node?.metadata.annotations?.[flannelAnnotation.backendData];
  if (data === undefined) return undefined;
  try {
    const mac = (JSON.parse(data) as { VtepMAC?: unknown } | null)?.VtepMAC;
    return typeof mac === "string" && /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(mac)
      ? mac.toLowerCase()
      : undefined;
  } catch {
    // Somebody else's text; a new announcement replaces it.
    return undefined;
  }
}

/** What a node announces to its peers; undefined until it does so, or while it runs another backend. */
export function peerOf(node: Node, backend: OverlayBackend): VxlanPeer | undefined {
  const annotations = node.metadata.annotations ?? {};
  const publicAddress = annotations[flannelAnnotation.publicIp];
  const podCidr = ipv4Block(node);
  const name = node.metadata.name;
  if (
    name === undefined ||
    podCidr === undefined ||
    publicAddress === undefined ||
    tryParseAddress(publicAddress)?.family !== 4
  )
    return undefined;
  if (annotations[flannelAnnotation.backendType] !== backend) return undefined;
  const mac = announcedMac(node);
  if (backend === "host-gw") return { name, podCidr, publicAddress, mac: "" };
  return mac === undefined ? undefined : { name, podCidr, publicAddress, mac };
}

/** The node's IPv4 block of pod addresses. */
export function ipv4Block(node: Node | undefined): string | undefined {
  const blocks =
    node?.spec.podCIDRs ?? (node?.spec.podCIDR === undefined ? [] : [node.spec.podCIDR]);
  return blocks.find((block) => {
    try {
      return parseCidr(block).family === 4;
    } catch (error) {
      if (error instanceof NetworkError) return false;
      throw error;
    }
  });
}
