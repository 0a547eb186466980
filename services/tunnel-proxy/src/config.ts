import { z } from "zod";

const listen = z.strictObject({
  host: z.string().min(1),
  port: z.number().int().min(0).max(65_535),
});

/** What a tunnel proxy must know before it starts. Secrets are passed in memory by the launcher, or read from files by `main.ts`. */
export const tunnelProxyConfig = z.strictObject({
  /** Absent: the proxy opens no listener of its own, and only its `handler` is used. */
  listen: listen.optional(),
  /** Certificate of port 6443. */
  serving: z.strictObject({ certPem: z.string(), keyPem: z.string() }),
  serverCa: z.strictObject({ certPem: z.string(), keyPem: z.string() }),
  clientCa: z.strictObject({ certPem: z.string(), keyPem: z.string() }),
  /** The API server's client certificate, towards kubelets. */
  kubeletClient: z.strictObject({ certPem: z.string(), keyPem: z.string() }),
  serverPassword: z.string().min(1),
  agentPassword: z.string().min(1),
  clusterCidr: z.string().default("10.42.0.0/16"),
  serviceCidr: z.string().default("10.43.0.0/16"),
  clusterDns: z.string().default("10.43.0.10"),
  clusterDomain: z.string().default("cluster.local"),
  flannelBackend: z.enum(["vxlan", "host-gw", "none"]).default("vxlan"),
  disableKubeProxy: z.boolean().default(false),
  disableDns: z.boolean().default(false),
  /** `host:port` list given to agents as API servers when the API cannot say. */
  advertiseAddress: z.string().min(1),
  advertisePort: z.number().int().min(0).max(65_535),
  /** Name of the Node of this server; "" = none. */
  serverNodeName: z.string().default(""),
  /** Reads and writes of agents under way at once; more get 429 (K3s' figures). */
  readsMax: z.number().int().positive().default(20),
  writesMax: z.number().int().positive().default(10),
  leafValidDays: z.number().int().positive().default(365),
});

export type TunnelProxyConfig = z.output<typeof tunnelProxyConfig>;
