/** A node: containerd, pod network, service routing, cluster DNS and the node agent, over one API client and one set of informers. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInformerFactory, resources, type ApiClient } from "@wherry/client";
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
import { createService, parseConfig, type Clock, type Logger, type MetricsRegistry, type ServiceNode } from "@wherry/service-kit";
import type { ClusterSettings } from "@wherry/tunnel-proxy";
import type { NodeSettings } from "./node-settings.ts";
import { VERSION } from "./version.ts";

export interface NodeServicesOptions {
  readonly node: NodeSettings;
  /** The node's own address, settled. */
  readonly nodeIp: string;
  readonly cluster: Omit<ClusterSettings, "flannelBackend"> & { readonly flannelBackend: string };
  /** What starts Node without the script: for the DNS process. */
  readonly nodeCommand: readonly string[];
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

const CNI_BIN_DIRS = ["/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"];

export function createNodeServices(options: NodeServicesOptions): NodeServices {
  const { node, cluster, api, clock, log, metrics } = options;
  const run = createCommandRunner();
  const paths = networkPaths(node.dataDir);
  const cniConfDir = paths.cniConfDir;
  const cniBinDir = CNI_BIN_DIRS.find((folder) => existsSync(folder));
  if (cniBinDir === undefined && cluster.flannelBackend !== "none") {
    throw new Error("no CNI plugins were found; install them (Debian: apt-get install containernetworking-plugins)");
  }
  const informers = createInformerFactory({ client: api, clock, log, metrics });
  const shared = { api, informers, run, clock, log };
  const containerd = createContainerdService({ dataDir: node.dataDir, cniConfDir }, { log, clock });
  const socket = node.runtimeEndpoint ?? containerd.socket;
  const runtime = createContainerdRuntime({ socket, log });

  const watcher = createService({
    name: "informers",
    async start() {
      const stop = informers.informer<Node>(resources.nodes).subscribe({ onAdd: (one) => seen(one), onUpdate: (one) => seen(one) });
      const seen = (one: Node): void => {
        if (one.metadata.name !== node.nodeName || findCondition(one.status?.conditions, "Ready")?.status !== "True") return;
        stop();
        options.onNodeReady();
      };
      informers.start();
    },
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
    parseConfig(serviceRouterConfig, { nodeName: node.nodeName, clusterCidr: cluster.clusterCidr, dnsAddresses: [cluster.clusterDns], routeServices: !cluster.disableKubeProxy }),
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
  const nodes: ServiceNode[] = [{ service: watcher }, { service: network, after: [watcher] }, { service: router, after: [watcher] }];
  if (node.runtimeEndpoint === undefined) nodes.push({ service: containerd });
  nodes.push({ service: agent, after: [watcher, ...(node.runtimeEndpoint === undefined ? [containerd] : [])] });
  if (!cluster.disableDns) {
    const dns = createClusterDns(
      parseConfig(clusterDnsConfig, {
        nodeName: node.nodeName,
        address: cluster.clusterDns,
        domain: cluster.clusterDomain,
        clusterCidrs: [cluster.clusterCidr, cluster.serviceCidr],
        resolvConf: node.resolvConf,
        runDir: paths.dnsRunDir,
        dnsCommand: [...options.nodeCommand, dnsProgramFile()],
      }),
      shared,
    );
    nodes.push({ service: dns, after: [watcher] });
  }
  return { nodes, agent };
}
