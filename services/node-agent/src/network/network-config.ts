import { join } from "node:path";
import { z } from "zod";

const address = z.union([z.ipv4(), z.ipv6()]);

/** What the pod network must know before it starts. */
export const podNetworkConfig = z.strictObject({
  nodeName: z.string().min(1),
  /** The whole cluster's pod addresses; the node's own block comes from its Node object. */
  clusterCidr: z.cidrv4().default("10.42.0.0/16"),
  serviceCidr: z.cidrv4().default("10.43.0.0/16"),
  /** `none`: somebody else's CNI plugin; nothing is touched but forwarding. */
  backend: z.enum(["vxlan", "host-gw", "none"]).default("vxlan"),
  /** The interface that carries traffic between nodes; absent = the one with the node's address. */
  interface: z.string().min(1).optional(),
  /** The node's address; absent = that of the default route's interface. */
  nodeIp: z.ipv4().optional(),
  /** The address at which other nodes reach this one when it is not the node's own (NAT); becomes flannel's `public-ip-overwrite`. */
  externalIp: z.ipv4().optional(),
  /** Holds `10-flannel.conflist`. */
  cniConfDir: z.string().min(1),
  /** Where the CNI plugins are; the bandwidth plugin is used when it is there. */
  cniBinDir: z.string().min(1),
  /** host-local's leases. */
  cniLeaseDir: z.string().min(1).default("/var/lib/cni/networks"),
  /** Hide pods' addresses from the world outside the cluster. */
  masquerade: z.boolean().default(true),
});
export type PodNetworkConfig = Readonly<z.output<typeof podNetworkConfig>>;

/** What service routing must know before it starts. */
export const serviceRouterConfig = z.strictObject({
  nodeName: z.string().min(1),
  clusterCidr: z.cidrv4().default("10.42.0.0/16"),
  /** Addresses whose traffic is never rejected for want of endpoints: the cluster DNS answers there without any. */
  dnsAddresses: z.array(address).default(["10.43.0.10"]),
  /** false: only containers' host ports are routed (`--disable-kube-proxy`). */
  routeServices: z.boolean().default(true),
  /** Node ports answer on local addresses in these blocks only; empty = on all but loopback. */
  nodePortAddresses: z.array(z.cidrv4()).default([]),
  /** Changes are gathered for this long before they are loaded … */
  gatherMs: z.number().int().min(0).default(20),
  /** … but never longer than this while more keep coming. */
  gatherMaxMs: z.number().int().min(0).default(250),
});
export type ServiceRouterConfig = Readonly<z.output<typeof serviceRouterConfig>>;

/** What the cluster DNS must know before it starts. */
export const clusterDnsConfig = z.strictObject({
  nodeName: z.string().min(1),
  /** Put on the loopback interface; the DNS process listens there. */
  address: z.ipv4().default("10.43.0.10"),
  port: z.number().int().min(1).max(65_535).default(53),
  domain: z.string().min(1).default("cluster.local"),
  /** The cluster's addresses: reverse names in them are never asked of anybody else. */
  clusterCidrs: z.array(z.string()).default(["10.42.0.0/16", "10.43.0.0/16"]),
  /** The host's resolver file; its name servers get what is not the cluster's. Empty = none. */
  resolvConf: z.string().default("/etc/resolv.conf"),
  /** Holds the process' socket, state file, log and compile cache. */
  runDir: z.string().min(1),
  /** What starts the DNS process: executable, its arguments, and the entry file. */
  dnsCommand: z.array(z.string().min(1)).min(1),
  /** Changes are gathered for this long before they are sent. */
  gatherMs: z.number().int().min(0).default(20),
});
export type ClusterDnsConfig = Readonly<z.output<typeof clusterDnsConfig>>;

/** The places below the data dir, in K3s' layout. */
export function networkPaths(dataDir: string): {
  readonly cniConfDir: string;
  readonly dnsRunDir: string;
} {
  return {
    cniConfDir: join(dataDir, "agent", "etc", "cni", "net.d"),
    dnsRunDir: join(dataDir, "agent", "dns"),
  };
}
