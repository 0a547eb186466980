/** The control plane in one process: what stands behind each interface here is an object, and nothing is spoken over the network inside. */
import { createApiserver, apiserverConfig, type Apiserver } from "@wherry/apiserver";
import { createApiClient, type ApiClient } from "@wherry/client";
import { controllerManagerConfig, createControllerManager } from "@wherry/controller-manager";
import { createDatastore, type DatastoreConfig } from "@wherry/datastore";
import type { UserInfo } from "@wherry/machinery";
import { createScheduler, schedulerConfig } from "@wherry/scheduler";
import {
  createDeferred,
  createService,
  parseConfig,
  type Clock,
  type Logger,
  type MetricsRegistry,
  type Service,
  type ServiceNode,
} from "@wherry/service-kit";
import { createTunnelProxy, tunnelProxyConfig, type TunnelProxy } from "@wherry/tunnel-proxy";
import type { ClusterFiles } from "./cluster-files.ts";
import type { ServerClusterSettings } from "./cluster-settings.ts";
import { identities } from "./identities.ts";
import { VERSION } from "./version.ts";

export interface ControlPlaneOptions {
  readonly files: ClusterFiles;
  readonly settings: ServerClusterSettings;
  readonly datastore: DatastoreConfig;
  readonly listen: { readonly host: string; readonly port: number };
  readonly advertise: { readonly address: string; readonly port: number };
  /** "" = no node in this process. */
  readonly nodeName: string;
  readonly withScheduler: boolean;
  readonly withControllers: boolean;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: MetricsRegistry;
}

export interface ControlPlane {
  readonly nodes: readonly ServiceNode[];
  readonly apiserver: Apiserver;
  readonly tunnelProxy: TunnelProxy;
  /** Resolves when the port is open and the API answers on it; never, when that fails. */
  readonly listening: Promise<void>;
  /** A client in this process with its own identity. */
  client(user: UserInfo): ApiClient;
}

export function createControlPlane(options: ControlPlaneOptions): ControlPlane {
  const { files, settings, clock, log, metrics } = options;
  const common = { clock, log, metrics };
  const datastore = createDatastore(options.datastore, common);
  const apiserver = createApiserver(
    parseConfig(apiserverConfig, {
      clientCaPem: files.clientCa.certPem,
      requestHeader: { caPem: files.requestHeaderCa.certPem, allowedNames: ["system:auth-proxy"] },
      serviceAccount: {
        issuers: [`https://kubernetes.default.svc.${settings.clusterDomain}`],
        signingKeyPem: files.serviceKeyPem,
      },
      serviceCidrs: [settings.serviceCidr],
      nodePorts: settings.nodePorts,
      advertiseAddress: options.advertise.address,
      advertisePort: options.advertise.port,
      kubernetesVersion: VERSION,
    }),
    {
      ...common,
      store: datastore.store,
      storeRevision: () => datastore.store.revision,
      dialer: {
        dialKubelet: (node, signal) => tunnelProxy.dialer.dialKubelet(node, signal),
        dialFromNode: (node, host, port, signal) =>
          tunnelProxy.dialer.dialFromNode(node, host, port, signal),
      },
    },
  );
  const client = (user: UserInfo): ApiClient => createApiClient(apiserver.transport(user));
  const tunnelProxy: TunnelProxy = createTunnelProxy(
    parseConfig(tunnelProxyConfig, {
      listen: options.listen,
      serving: files.serving,
      serverCa: files.serverCa,
      clientCa: files.clientCa,
      kubeletClient: files.kubeApiserver,
      serverPassword: files.serverPassword,
      agentPassword: files.agentPassword,
      clusterCidr: settings.clusterCidr,
      serviceCidr: settings.serviceCidr,
      clusterDns: settings.clusterDns,
      clusterDomain: settings.clusterDomain,
      flannelBackend: settings.flannelBackend,
      disableKubeProxy: settings.disableKubeProxy,
      disableDns: settings.disableDns,
      advertiseAddress: options.advertise.address,
      advertisePort: options.advertise.port,
      serverNodeName: options.nodeName,
    }),
    {
      ...common,
      api: client(identities.supervisor),
      upstream: apiserver.handler,
      apiReady: () => apiserver.health().status === "ok",
    },
  );
  const listening = createDeferred();
  const open = createService({
    name: "listening",
    start: async () => listening.resolve(),
    stop: async () => {},
  });
  const nodes: ServiceNode[] = [
    { service: datastore },
    { service: apiserver, after: [datastore] },
    { service: tunnelProxy, after: [apiserver] },
    { service: open, after: [tunnelProxy] },
  ];
  const add = (service: Service): void => void nodes.push({ service, after: [apiserver] });
  if (options.withControllers) {
    add(
      createControllerManager(
        parseConfig(controllerManagerConfig, {
          clusterCidr: settings.clusterCidr,
          serviceCidr: settings.serviceCidr,
          rootCaPem: files.serverCa.certPem,
        }),
        {
          ...common,
          api: client(identities.controllerManager),
        },
      ),
    );
  }
  if (options.withScheduler)
    add(
      createScheduler(parseConfig(schedulerConfig, {}), {
        ...common,
        api: client(identities.scheduler),
      }),
    );
  return { nodes, apiserver, tunnelProxy, client, listening: listening.promise };
}
