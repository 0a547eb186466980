import { readFile } from "node:fs/promises";
import { createApiClient, createKubeconfigTransport } from "@wherry/client";
import { loadKubeconfig, parseToken, type KeyPair } from "@wherry/pki";
import {
  createMetrics,
  parseConfig,
  runServices,
  systemClock,
  UsageError,
  type FlagDefinition,
  type FlagValues,
  type Logger,
} from "@wherry/service-kit";
import { tunnelProxyConfig } from "./config.ts";
import { createReverseProxy } from "./reverse-proxy.ts";
import { createTunnelProxy } from "./tunnel-proxy.ts";

/** Flags of the tunnel proxy on its own, in front of an API server in another process. */
export const tunnelProxyFlags: readonly FlagDefinition[] = [
  { name: "bind-address", kind: "string", defaultText: "0.0.0.0", help: "Address to listen on." },
  { name: "https-listen-port", kind: "integer", defaultText: "6443", help: "Port to listen on." },
  {
    name: "apiserver",
    kind: "string",
    help: "URL of the API server, https://HOST:PORT. Required.",
  },
  {
    name: "kubeconfig",
    kind: "string",
    help: "Credentials for node-password Secrets, bootstrap tokens and Endpoints. Required.",
  },
  {
    name: "tls-dir",
    kind: "string",
    help: "K3s' server/tls folder with server-ca, client-ca, serving-kube-apiserver, client-kube-apiserver and client-auth-proxy. Required.",
  },
  { name: "token-file", kind: "string", help: "File with the servers' token. Required." },
  {
    name: "agent-token-file",
    kind: "string",
    help: "File with the agents' token; default: the servers' token.",
  },
  { name: "advertise-address", kind: "string", help: "Address that agents are told. Required." },
  {
    name: "advertise-port",
    kind: "integer",
    defaultText: "the listening port",
    help: "Port that agents are told.",
  },
  { name: "cluster-cidr", kind: "string", defaultText: "10.42.0.0/16", help: "Addresses of pods." },
  {
    name: "service-cidr",
    kind: "string",
    defaultText: "10.43.0.0/16",
    help: "Addresses of services.",
  },
  {
    name: "cluster-dns",
    kind: "string",
    defaultText: "10.43.0.10",
    help: "Address of the cluster's DNS.",
  },
  {
    name: "cluster-domain",
    kind: "string",
    defaultText: "cluster.local",
    help: "Domain of the cluster.",
  },
  {
    name: "flannel-backend",
    kind: "string",
    defaultText: "vxlan",
    help: "vxlan, host-gw or none.",
  },
];

export interface RunTunnelProxyOptions {
  readonly signal: AbortSignal;
  readonly log: Logger;
  readonly onReady?: () => void;
}

const STOP_TIMEOUT_MS = 10_000;

/** Runs until the signal aborts. Throws UsageError naming the flag that is missing or wrong. */
export async function runTunnelProxy(
  values: FlagValues,
  options: RunTunnelProxyOptions,
): Promise<void> {
  const { signal, log, onReady } = options;
  const url = required(values, "apiserver");
  const tlsDir = required(values, "tls-dir");
  const port = typeof values["https-listen-port"] === "number" ? values["https-listen-port"] : 6443;
  const pair = async (name: string): Promise<KeyPair> => ({
    certPem: await readNamed(`${tlsDir}/${name}.crt`, "tls-dir"),
    keyPem: await readNamed(`${tlsDir}/${name}.key`, "tls-dir"),
  });
  const serverPassword = passwordOf(await readNamed(required(values, "token-file"), "token-file"));
  const agentTokenFile = values["agent-token-file"];
  const [serverCa, clientCa, serving, kubeletClient, authProxy] = await Promise.all([
    pair("server-ca"),
    pair("client-ca"),
    pair("serving-kube-apiserver"),
    pair("client-kube-apiserver"),
    pair("client-auth-proxy"),
  ]);
  const config = parseConfig(tunnelProxyConfig, {
    ...given({
      clusterCidr: values["cluster-cidr"],
      serviceCidr: values["service-cidr"],
      clusterDns: values["cluster-dns"],
      clusterDomain: values["cluster-domain"],
      flannelBackend: values["flannel-backend"],
    }),
    listen: { host: values["bind-address"] ?? "0.0.0.0", port },
    serving,
    serverCa,
    clientCa,
    kubeletClient,
    serverPassword,
    agentPassword:
      typeof agentTokenFile === "string"
        ? passwordOf(await readNamed(agentTokenFile, "agent-token-file"))
        : serverPassword,
    advertiseAddress: required(values, "advertise-address"),
    advertisePort: values["advertise-port"] ?? port,
  });
  const transport = createKubeconfigTransport(
    await loadKubeconfig(required(values, "kubeconfig")),
    { userAgent: "wherry-tunnel-proxy" },
  );
  const api = createApiClient(transport);
  const upstream = createReverseProxy({
    url,
    caPem: serverCa.certPem,
    ...authProxy,
    clientCaPem: clientCa.certPem,
    now: () => systemClock.now(),
    log,
  });
  const proxy = createTunnelProxy(config, {
    api,
    upstream,
    apiReady: async () =>
      await api.raw("GET", "/version").then(
        () => true,
        () => false,
      ),
    clock: systemClock,
    log,
    metrics: await createMetrics(),
  });
  try {
    await runServices([{ service: proxy }], {
      signal,
      stopTimeoutMs: STOP_TIMEOUT_MS,
      log,
      onReady: () => onReady?.(),
    });
  } finally {
    upstream.close();
    transport.close();
  }
}

function required(values: FlagValues, name: string): string {
  const value = values[name];
  if (typeof value !== "string" || value === "")
    throw new UsageError(`--${name} is required; see --help`);
  return value;
}

function given(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

async function readNamed(file: string, flag: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new UsageError(
      `--${flag}: ${file} cannot be read (${(error as NodeJS.ErrnoException).code})`,
      { cause: error },
    );
  }
}

function passwordOf(text: string): string {
  const token = parseToken(text);
  return token.kind === "password" ? token.password : `${token.id}.${token.secret}`;
}
