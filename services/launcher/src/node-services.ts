/** A node: containerd, pod network, service routing, cluster DNS and the node agent, over one API client and one set of informers. */
import { join } from "node:path";
import {
  createInformerFactory,
  resources,
  type ApiClient,
  type InformerFactory,
} from "@wherry/client";
import { createContainerdRuntime } from "@wherry/cri-api";
import { findCondition, type Node } from "@wherry/machinery";
import { createCommandRunner } from "@wherry/net";
import {
  clusterDnsConfig,
  createClusterDns,
  createContainerdService,
  createNodeAgent,
  createPodNetwork,
  createServiceRouter,
  dnsProgramFile,
  networkPaths,
  nodeAgentConfig,
  podNetworkConfig,
  serviceRouterConfig,
  type NodeAgent,
} from "@wherry/node-agent";
import {
  createService,
  parseConfig,
  type Clock,
  type Logger,
  type MetricsRegistry,
  type Service,
  type ServiceNode,
} from "@wherry/service-kit";
import type { ClusterSettings } from "@wherry/tunnel-proxy";
import { writeNodeFootprint } from "./node-footprint.ts";
import type { NodeSettings } from "./node-settings.ts";
import { findNodeTools } from "./node-tools.ts";
import { VERSION } from "./version.ts";

export interface NodeServicesOptions {
  readonly node: NodeSettings;
  /** The node's own address, settled. */
  readonly nodeIp: string;
  readonly cluster: Omit<ClusterSettings, "flannelBackend"> & { readonly flannelBackend: string };
  /** What starts Node without the script: for the DNS process. */
  readonly nodeCommand: readonly string[];
  /** PATH. */
  readonly searchPath: string;
  readonly api: ApiClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: MetricsRegistry;
  /** Called once, when the Node object says Ready. */
  readonly onNodeReady: () => void;
}

export interface NodeServices {
  readonly nodes: readonly ServiceNode[];
  readonly agent: NodeAgent;
}

export function createNodeServices(options: NodeServicesOptions): NodeServices {
  const { node, cluster, api, clock, log, metrics } = options;
  const run = createCommandRunner();
  const paths = networkPaths(node.dataDir);
  const cniConfDir = paths.cniConfDir;
  const { cniBinDir } = findNodeTools({
    dataDir: node.dataDir,
    path: options.searchPath,
    managesContainerd: node.runtimeEndpoint === undefined,
    managesNetwork: cluster.flannelBackend !== "none",
  });
  const informers = createInformerFactory({ client: api, clock, log, metrics });
  const shared = { api, informers, run, clock, log };
  const containerd = createContainerdService(
    {
      dataDir: node.dataDir,
      cniConfDir,
      ...(cniBinDir === undefined ? {} : { cniBinDirs: [cniBinDir] }),
    },
    { log, clock },
  );
  const socket = node.runtimeEndpoint ?? containerd.socket;
  const runtime = createContainerdRuntime({ socket, log });

  const watcher = createService({
    name: "informers",
    start: async () => informers.start(),
    stop: () => informers.stop(),
  });
  const network = createPodNetwork(
    parseConfig(podNetworkConfig, {
      nodeName: node.nodeName,
      clusterCidr: cluster.clusterCidr,
      serviceCidr: cluster.serviceCidr,
      backend: cluster.flannelBackend,
      nodeIp: options.nodeIp,
      cniConfDir,
      cniBinDir: cniBinDir ?? "/opt/cni/bin",
      ...(node.flannelInterface === undefined ? {} : { interface: node.flannelInterface }),
    }),
    shared,
  );
  const router = createServiceRouter(
    parseConfig(serviceRouterConfig, {
      nodeName: node.nodeName,
      clusterCidr: cluster.clusterCidr,
      dnsAddresses: [cluster.clusterDns],
      routeServices: !cluster.disableKubeProxy,
    }),
    shared,
  );
  const agent = createNodeAgent(
    parseConfig(nodeAgentConfig, {
      nodeName: node.nodeName,
      nodeIps: [options.nodeIp],
      nodeExternalIps: node.nodeExternalIps,
      nodeLabels: node.nodeLabels,
      nodeTaints: node.nodeTaints,
      providerId: `k3s://${node.nodeName}`,
      version: VERSION,
      kubeletRoot: node.kubeletRoot,
      cgroupRoot: node.cgroupRoot,
      podsMax: node.podsMax,
      importPauseImage: node.runtimeEndpoint === undefined,
      imagesDir: join(node.dataDir, "agent/images"),
      clusterDns: [cluster.clusterDns],
      clusterDomain: cluster.clusterDomain,
      resolvConf: node.resolvConf,
    }),
    { api, runtime, clock, log, metrics, informers },
  );
  const footprint = createService({
    name: "node-footprint",
    start: () =>
      writeNodeFootprint({
        kubeletRoot: node.kubeletRoot,
        cgroupRoot: node.cgroupRoot,
        clusterDns: cluster.clusterDns,
        clusterCidr: cluster.clusterCidr,
        serviceCidr: cluster.serviceCidr,
      }),
    stop: async () => {},
  });
  const nodes: ServiceNode[] = [
    { service: footprint },
    { service: watcher, after: [footprint] },
    { service: network, after: [watcher] },
    { service: router, after: [watcher] },
  ];
  if (node.runtimeEndpoint === undefined) nodes.push({ service: containerd });
  nodes.push({
    service: agent,
    after: [watcher, ...(node.runtimeEndpoint === undefined ? [containerd] : [])],
  });
  nodes.push({ service: createReadyNotice(options, informers), after: [agent, network] });
  if (!cluster.disableDns) {
    const dns = createClusterDns(
      parseConfig(clusterDnsConfig, {
        nodeName: node.nodeName,
        address: cluster.clusterDns,
        domain: cluster.clusterDomain,
        clusterCidrs: [cluster.clusterCidr, cluster.serviceCidr],
        resolvConf: node.resolvConf,
        runDir: paths.dnsRunDir,
        dnsCommand: [
          ...options.nodeCommand.slice(0, 1),
          "--no-opt",
          "--no-maglev",
          "--no-sparkplug",
          "--max-semi-space-size=1",
          dnsProgramFile(),
        ],
      }),
      shared,
    );
    nodes.push({ service: dns, after: [watcher] });
  }
  return { nodes, agent };
}

/** Reports once that this node is Ready, by its own agent's word: an object that still says so from before does not count. */
function createReadyNotice(options: NodeServicesOptions, informers: InformerFactory): Service {
  let stop: (() => void) | undefined;
  return createService({
    name: "node-ready-notice",
    async start() {
      let reported = false;
      const seen = (node: Node): void => {
        if (
          reported ||
          node.metadata.name !== options.node.nodeName ||
          findCondition(node.status?.conditions, "Ready")?.status !== "True"
        )
          return;
        reported = true;
        options.onNodeReady();
      };
      stop = informers.informer<Node>(resources.nodes).subscribe({ onAdd: seen, onUpdate: seen });
    },
    stop: async () => stop?.(),
  });
}
