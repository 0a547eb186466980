import { chmod } from "node:fs/promises";
import { join } from "node:path";
import { datastoreConfig, type DatastoreConfig } from "@wherry/datastore";
import { createCommandRunner } from "@wherry/net";
import { detectNodeIp } from "@wherry/node-agent";
import { buildKubeconfig, writeFileAtomic } from "@wherry/pki";
import {
  createLogger,
  createMetrics,
  parseConfig,
  runServices,
  systemClock,
  UsageError,
  type Logger,
  type ParsedFlags,
  type ProcessContext,
} from "@wherry/service-kit";
import { ensureClusterFiles, type ClusterFiles } from "../cluster-files.ts";
import { clusterSettingsOf, type ServerClusterSettings } from "../cluster-settings.ts";
import type { Command } from "../command.ts";
import { createControlPlane, type ControlPlane } from "../control-plane.ts";
import { isSet, listOf, oneOf, textOf } from "../flag-values.ts";
import { identities } from "../identities.ts";
import { tokenOf } from "../join-tokens.ts";
import {
  addressOf,
  assertPortFree,
  listenAddressOf,
  portOf,
  type ListenAddress,
} from "../listen-address.ts";
import { createNodeServices } from "../node-services.ts";
import { nodeSettingsOf, type NodeSettings } from "../node-settings.ts";
import { claimMachine } from "../running-record.ts";
import { serverFlags } from "../server-flags.ts";
import { createServerNodeLabels } from "../server-node-labels.ts";
import { VERSION } from "../version.ts";

const STOP_TIMEOUT_MS = 20_000;

export const serverCommand: Command = {
  usage: "wherry server [flags]",
  flags: serverFlags,
  readsConfigFile: true,
  run: runServer,
};

async function runServer(context: ProcessContext, { values }: ParsedFlags): Promise<void> {
  const log = await createLogger({
    level: isSet(values, "debug") ? "debug" : "info",
    format: oneOf(values, "log-format", ["text", "json"], "text"),
  });
  const cluster = clusterSettingsOf(values);
  const node = await nodeSettingsOf(values, context);
  const withNode = !isSet(values, "disable-agent");
  const listen = listenAddressOf(values);
  const datastore = datastoreOf(values, node.dataDir);
  const kubeconfig = kubeconfigTarget(values, context, node.dataDir);
  const [token, agentToken] = [
    await tokenOf(values, "token"),
    await tokenOf(values, "agent-token"),
  ];
  const advertised = {
    address: addressOf(values, "advertise-address"),
    port: portOf(values, "advertise-port"),
  };
  if (withNode && !context.isRoot)
    throw new Error(
      "running containers needs root: start wherry as root, or run the control plane alone with --disable-agent",
    );
  const release = await claimMachine({ dataDir: node.dataDir, withNode, pid: context.pid });
  try {
    await assertPortFree(listen);
    log.info(`Starting wherry ${VERSION}`);
    const nodeIp = await nodeIpOf(node, withNode);
    const advertise = {
      address: advertised.address ?? node.nodeExternalIps[0] ?? nodeIp,
      port: advertised.port ?? listen.port,
    };
    const files = await ensureClusterFiles({
      dataDir: node.dataDir,
      clusterDomain: cluster.clusterDomain,
      serverNames: [node.nodeName, ...listOf(values, "tls-san").filter((name) => !isAddress(name))],
      serverIps: [
        ...new Set([
          nodeIp,
          advertise.address,
          ...node.nodeExternalIps,
          ...listOf(values, "tls-san").filter(isAddress),
        ]),
      ],
      apiserverServiceIp: cluster.apiserverServiceIp,
      token,
      agentToken,
      nowMs: systemClock.now(),
    });
    await compose({
      context,
      values,
      log,
      cluster,
      node,
      withNode,
      listen,
      datastore,
      kubeconfig,
      nodeIp,
      advertise,
      files,
    });
  } finally {
    await release();
  }
}

interface Composition {
  readonly context: ProcessContext;
  readonly values: ParsedFlags["values"];
  readonly log: Logger;
  readonly cluster: ServerClusterSettings;
  readonly node: NodeSettings;
  readonly withNode: boolean;
  readonly listen: ListenAddress;
  readonly datastore: DatastoreConfig;
  readonly kubeconfig: KubeconfigTarget;
  readonly nodeIp: string;
  readonly advertise: { readonly address: string; readonly port: number };
  readonly files: ClusterFiles;
}

/** Builds everything, says where it can be reached, and runs it until it is asked to stop. */
async function compose({
  context,
  values,
  log,
  cluster,
  node,
  withNode,
  listen,
  datastore,
  kubeconfig,
  nodeIp,
  advertise,
  files,
}: Composition): Promise<void> {
  context.signal.addEventListener(
    "abort",
    () => log.info("Stopping wherry; its pods keep running"),
    { once: true },
  );
  const metrics = await createMetrics();
  const common = { clock: systemClock, log, metrics };
  const plane = createControlPlane({
    ...common,
    files,
    settings: cluster,
    datastore,
    listen,
    advertise,
    nodeName: withNode ? node.nodeName : "",
    withScheduler: !isSet(values, "disable-scheduler"),
    withControllers: !isSet(values, "disable-controller-manager"),
  });
  await writeFileAtomic(
    kubeconfig.file,
    buildKubeconfig({
      server: `https://${loopbackOf(listen.host)}:${listen.port}`,
      caPem: files.serverCa.certPem,
      ...files.admin,
    }),
    kubeconfig.mode,
  );
  await chmod(kubeconfig.file, kubeconfig.mode);
  void announce(plane, context, log, {
    dataDir: node.dataDir,
    url: `https://${advertise.address}:${advertise.port}`,
    kubeconfigFile: kubeconfig.file,
  });

  const nodes = [...plane.nodes];
  if (withNode) {
    const services = createNodeServices({
      ...common,
      node,
      nodeIp,
      cluster,
      nodeCommand: context.selfCommand.slice(0, -1),
      searchPath: context.env["PATH"] ?? "",
      api: plane.client(identities.node(node.nodeName)),
      onNodeReady: () =>
        log.info(`Node ${node.nodeName} is Ready, ${seconds(context)} s after the start`),
    });
    plane.tunnelProxy.addLocalNode(node.nodeName, (stream) => services.agent.accept(stream));
    nodes.push({
      service: createServerNodeLabels({
        nodeName: node.nodeName,
        api: plane.client(identities.supervisor),
        log,
      }),
      after: [plane.apiserver],
    });
    nodes.push(
      ...services.nodes.map((one) => ({ ...one, after: [...(one.after ?? []), plane.apiserver] })),
    );
  }
  await runServices(nodes, {
    signal: context.signal,
    stopTimeoutMs: STOP_TIMEOUT_MS,
    log,
    onReady: () => log.info("wherry is up and running"),
  });
}

/** K3s' lines, which people and tools wait for. */
async function announce(
  plane: ControlPlane,
  context: ProcessContext,
  log: Logger,
  where: { readonly dataDir: string; readonly url: string; readonly kubeconfigFile: string },
): Promise<void> {
  await plane.listening;
  log.info(`Kube API server is now running, ${seconds(context)} s after the start`);
  const tokenFile = join(where.dataDir, "server", "node-token");
  log.info(`Node token is available at ${tokenFile}`);
  log.info(`To join node to cluster: wherry agent -s ${where.url} -t \${NODE_TOKEN}`);
  log.info(`Wrote kubeconfig ${where.kubeconfigFile}`);
  log.info("Run: wherry kubectl");
}

function seconds(context: ProcessContext): string {
  return (context.uptimeMs() / 1000).toFixed(2);
}

async function nodeIpOf(node: NodeSettings, withNode: boolean): Promise<string> {
  if (node.nodeIps[0] !== undefined) return node.nodeIps[0];
  try {
    return (await detectNodeIp(createCommandRunner())).address;
  } catch (error) {
    // A control plane alone can do without an address of its own.
    if (!withNode) return "127.0.0.1";
    throw new Error(
      `this machine's address could not be found (${(error as Error).message}); give it with --node-ip`,
      { cause: error },
    );
  }
}

function isAddress(text: string): boolean {
  return /^[\d.]+$/.test(text) || text.includes(":");
}

function loopbackOf(host: string): string {
  return host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "[::1]" : host;
}

interface KubeconfigTarget {
  readonly file: string;
  readonly mode: number;
}

function kubeconfigTarget(
  values: ParsedFlags["values"],
  context: ProcessContext,
  dataDir: string,
): KubeconfigTarget {
  const file =
    textOf(values, "write-kubeconfig") ??
    (context.isRoot ? "/etc/wherry/wherry.yaml" : join(dataDir, "wherry.yaml"));
  const mode = textOf(values, "write-kubeconfig-mode") ?? "600";
  if (!/^0?[0-7]{3}$/.test(mode))
    throw new UsageError(
      `--write-kubeconfig-mode must be an octal mode such as 600, not "${mode}"`,
    );
  return { file, mode: Number.parseInt(mode, 8) };
}

function datastoreOf(values: ParsedFlags["values"], dataDir: string): DatastoreConfig {
  try {
    return parseConfig(datastoreConfig, {
      endpoint:
        textOf(values, "datastore-endpoint") ?? `sqlite://${join(dataDir, "server/db/state.db")}`,
    });
  } catch (error) {
    // The field is called "endpoint" there.
    throw new UsageError(`--datastore-${(error as Error).message}`, { cause: error });
  }
}
