import { connect } from "node:net";
import { join } from "node:path";
import { createApiClient, createHttpTransport } from "@wherry/client";
import { cidrContains, createCommandRunner, parseCidr, tryParseAddress } from "@wherry/net";
import { detectNodeIp } from "@wherry/node-agent";
import { readPair } from "@wherry/pki";
import {
  createLogger,
  createMetrics,
  runServices,
  systemClock,
  UsageError,
  type FlagValues,
  type Logger,
  type ParsedFlags,
  type ProcessContext,
} from "@wherry/service-kit";
import { createKubeletGate, createTunnelClient, joinCluster } from "@wherry/tunnel-proxy";
import type { Command } from "../command.ts";
import { isSet, oneOf, textOf } from "../flag-values.ts";
import { tokenOf } from "../join-tokens.ts";
import { createNodeServices } from "../node-services.ts";
import { nodeSettingsOf, type NodeSettings } from "../node-settings.ts";
import { claimMachine } from "../running-record.ts";
import { agentFlags } from "../server-flags.ts";
import { VERSION } from "../version.ts";

const STOP_TIMEOUT_MS = 20_000;
const PASSWORD_FILE = "/etc/wherry/node/password";

export const agentCommand: Command = {
  usage: "wherry agent --server https://HOST:6443 --token TOKEN [flags]",
  flags: agentFlags,
  readsConfigFile: true,
  run: runAgent,
};

async function runAgent(context: ProcessContext, { values }: ParsedFlags): Promise<void> {
  const log = await createLogger({
    level: isSet(values, "debug") ? "debug" : "info",
    format: oneOf(values, "log-format", ["text", "json"], "text"),
  });
  const serverUrl = serverUrlOf(values);
  const node = await nodeSettingsOf(values, context);
  const token = await tokenOf(values, "token");
  if (token === undefined)
    throw new UsageError(
      "--token is required: it stands in <data-dir>/server/node-token on the server",
    );
  if (!context.isRoot) throw new Error("running containers needs root: start wherry agent as root");
  const release = await claimMachine({ dataDir: node.dataDir, withNode: true, pid: context.pid });
  try {
    await joinAndRun(context, { log, serverUrl, token, node });
  } finally {
    await release();
  }
}

function serverUrlOf(values: FlagValues): string {
  const text = textOf(values, "server");
  if (text === undefined)
    throw new UsageError("--server is required: https://HOST:6443 of the cluster to join");
  if (!URL.canParse(text) || new URL(text).protocol !== "https:")
    throw new UsageError(`--server must be a URL such as https://HOST:6443, not "${text}"`);
  return text;
}

interface AgentRun {
  readonly log: Logger;
  readonly serverUrl: string;
  readonly token: string;
  readonly node: NodeSettings;
}

async function joinAndRun(
  context: ProcessContext,
  { log, serverUrl, token, node }: AgentRun,
): Promise<void> {
  log.info(`Starting wherry agent ${VERSION}`);

  const nodeIp = node.nodeIps[0] ?? (await detectNodeIp(createCommandRunner())).address;
  const agentDir = join(node.dataDir, "agent");
  const joined = await joinCluster({
    serverUrl,
    token,
    nodeName: node.nodeName,
    nodeIps: [nodeIp],
    agentDir,
    passwordFile: PASSWORD_FILE,
    clock: systemClock,
    log,
    signal: context.signal,
  });
  const metrics = await createMetrics();
  const common = { clock: systemClock, log, metrics };
  const transport = createHttpTransport({
    url: joined.serverUrl,
    userAgent: `wherry-agent/${VERSION}`,
    ca: { file: join(agentDir, "server-ca.crt") },
    cert: { file: join(agentDir, "client-kubelet.crt") },
    key: { file: join(agentDir, "client-kubelet.key") },
    connectionsMax: 300,
  });
  const services = createNodeServices({
    ...common,
    node,
    nodeIp,
    cluster: joined.settings,
    nodeCommand: context.selfCommand.slice(0, -1),
    searchPath: context.env["PATH"] ?? "",
    api: createApiClient(transport),
    onNodeReady: () =>
      log.info(
        `Node ${node.nodeName} is Ready, ${(context.uptimeMs() / 1000).toFixed(2)} s after the start`,
      ),
  });
  const pods = parseCidr(joined.settings.clusterCidr);
  const tunnel = createTunnelClient({
    serverUrl: joined.serverUrl,
    credentials: async () => ({
      caPem: joined.serverCaPem,
      ...((await readPair(join(agentDir, "client-kubelet"))) ?? joined.clientKubelet),
    }),
    connect: createKubeletGate({
      serving: joined.servingKubelet,
      clientCaPem: joined.clientCaPem,
      accept: (stream) => services.agent.accept(stream),
      dial: async (host, port) => connect({ host, port }),
      isLocalPod: (ip) => {
        const address = tryParseAddress(ip);
        return address !== undefined && cidrContains(pods, address);
      },
      log,
    }),
    clock: systemClock,
    log,
  });
  try {
    await runServices([...services.nodes, { service: tunnel }], {
      signal: context.signal,
      stopTimeoutMs: STOP_TIMEOUT_MS,
      log,
      onReady: () => log.info("wherry agent is up and running"),
    });
  } finally {
    transport.close();
  }
}
