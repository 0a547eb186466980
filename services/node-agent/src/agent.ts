import { createServer } from "node:http";
import type { Server } from "node:http";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { createEventRecorder, createInformerFactory, resources } from "@wherry/client";
import type { ApiClient, EventRecorder, Informer, InformerFactory } from "@wherry/client";
import type { ContainerRuntime } from "@wherry/cri-api";
import type { KubeObject, Node, Pod, Service as KubeService } from "@wherry/machinery";
import { createService } from "@wherry/service-kit";
import type {
  Clock,
  HttpHandler,
  Logger,
  MetricsRegistry,
  Service,
  Timer,
} from "@wherry/service-kit";
import { createCgroupManager, createNoCgroupManager } from "./cgroups/cgroup-manager.ts";
import type { NodeAgentConfig } from "./config.ts";
import { createImageCollector } from "./images/image-collection.ts";
import { createImagePuller } from "./images/image-puller.ts";
import { importPauseImage, preloadImages } from "./images/image-preload.ts";
import { createKubeletApi } from "./kubelet-api/kubelet-api.ts";
import { readHostFacts } from "./node/host-facts.ts";
import { nodeAddresses, nodeCapacity } from "./node/node-object.ts";
import { runNodeLease } from "./node/node-lease.ts";
import { createNodeRegistration } from "./node/node-registration.ts";
import type { NodeRegistration } from "./node/node-registration.ts";
import { createContainerLogs } from "./pods/container-logs.ts";
import { parseResolvConf } from "./pods/dns-config.ts";
import type { DnsSettings } from "./pods/dns-config.ts";
import type { PodDeps, PodEvents } from "./pods/pod-deps.ts";
import { createPodDirectory } from "./pods/pod-directory.ts";
import { createPodManager, registerRuntimeId } from "./pods/pod-manager.ts";
import type { PodManager } from "./pods/pod-manager.ts";
import { containerFieldPath, podSpec } from "./pods/pod-types.ts";
import { createSemaphore } from "./pods/semaphore.ts";
import { createStatusWriter } from "./pods/status-writer.ts";
import type { StatusWriter } from "./pods/status-writer.ts";
import { createProbeManager } from "./probes/probe-manager.ts";
import type { ProbeManager } from "./probes/probe-manager.ts";
import { createNoMounter, createSystemMounter } from "./volumes/mounter.ts";
import { createReferenceCache } from "./volumes/references.ts";
import { createServiceAccountTokens } from "./volumes/service-account-tokens.ts";
import { createVolumeManager } from "./volumes/volume-manager.ts";
import type { VolumeManager } from "./volumes/volume-manager.ts";

/** The live collaborators of a node agent. */
export interface NodeAgentDeps {
  /** Bound to the identity `system:node:<name>`. */
  readonly api: ApiClient;
  readonly runtime: ContainerRuntime;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: MetricsRegistry;
  /** Shared with other parts of the process (the pod network); who made them starts and stops them. Absent: the agent has its own. */
  readonly informers?: InformerFactory;
}

export interface NodeAgent extends Service {
  /** The kubelet's HTTP API. */
  readonly handler: HttpHandler;
  /** Serves the kubelet's HTTP API on a stream that came through the tunnel. The caller has settled who is at its other end. */
  accept(stream: Duplex): void;
}

interface Parts {
  readonly registration: NodeRegistration;
  readonly pods: PodManager;
  readonly informers: InformerFactory;
  readonly recorder: EventRecorder;
  readonly status: StatusWriter;
  readonly probes: ProbeManager;
  readonly volumes: VolumeManager;
  readonly services: Informer<KubeService>;
}

const userAgent = "kube-probe/1.36";
const imageMinAgeMs = 120_000;

/**
 * The node agent: registers the node, runs its pods through the container runtime, and answers the kubelet's API. Stopping it leaves pods
 * running; the next one on the same runtime and kubelet root adopts them.
 */
export function createNodeAgent(config: NodeAgentConfig, deps: NodeAgentDeps): NodeAgent {
  const { api, runtime, clock, metrics } = deps;
  const log = deps.log.child({ component: "node-agent", node: config.nodeName });
  const stopping = new AbortController();
  const timers = new Set<Timer>();
  let parts: Parts | undefined;

  const build = async (): Promise<Parts> => {
    for (const folder of [
      join(config.kubeletRoot, "pods"),
      join(config.kubeletRoot, "plugins"),
      config.podLogsRoot,
      config.containerLogsRoot,
    ])
      await mkdir(folder, { recursive: true });
    const facts = await readHostFacts(config.kubeletRoot);
    const { allocatable, capacity } = nodeCapacity(config, facts);
    const recorder = createEventRecorder({
      client: api,
      clock,
      component: "kubelet",
      node: config.nodeName,
      log,
    });
    const events = podEvents(recorder);
    const informers = deps.informers ?? createInformerFactory({ client: api, clock, log, metrics });
    const podInformer = informers.informer<Pod>(resources.pods, {
      fieldSelector: `spec.nodeName=${config.nodeName}`,
    });
    const serviceInformer = informers.informer<KubeService>(resources.services);
    const registration = createNodeRegistration(config, {
      api,
      runtime,
      clock,
      log,
      facts,
      recordEvent: (node, type, reason, message) =>
        recorder.event(nodeReference(node), type, reason, message),
      onNetworkReady: () => parts?.pods.wakeAll(),
    });
    const status = createStatusWriter({ api, clock, log });
    const references = createReferenceCache({
      api,
      clock,
      log,
      onChange: (uids) => uids.forEach((uid) => parts?.pods.worker(uid)?.referencesChanged()),
    });
    const mounter = config.mounts === "system" ? createSystemMounter() : createNoMounter();
    const volumes = createVolumeManager({
      kubeletRoot: config.kubeletRoot,
      mounter,
      references,
      tokens: createServiceAccountTokens(api, clock),
      clock,
      log,
      onRefreshDue: (uid) => parts?.pods.worker(uid)?.referencesChanged(),
    });
    const probes = createProbeManager({
      runtime,
      clock,
      metrics,
      userAgent,
      onChange: (uid) => parts?.pods.worker(uid)?.wake(),
      recordEvent: (pod, container, type, reason, message) =>
        events.record(pod, container, type, reason, message),
    });
    const collector = createImageCollector(
      {
        highPercent: config.imageGcHighPercent,
        lowPercent: config.imageGcLowPercent,
        minAgeMs: imageMinAgeMs,
      },
      {
        runtime,
        clock,
        log,
        onFailure: (message) =>
          recorder.event(
            nodeReference(registration.node()),
            "Warning",
            "FreeDiskSpaceFailed",
            message,
          ),
      },
    );
    const cgroupOptions = { root: config.cgroupRoot, mount: config.cgroupMount, allocatable };
    const cgroups =
      config.cgroups === "system"
        ? createCgroupManager(cgroupOptions, { clock, log })
        : createNoCgroupManager();
    await cgroups.start();
    const ids = new Map<string, string>();
    const podDeps: PodDeps = {
      config,
      runtime,
      clock,
      log,
      images: createImagePuller(
        { runtime, clock, onUsed: (ref) => collector.markUsed(ref) },
        config.pullsMax,
      ),
      volumes,
      mounter,
      references,
      probes,
      cgroups,
      logs: createContainerLogs(config.podLogsRoot, config.containerLogsRoot),
      status,
      events,
      node: {
        hostIps: () =>
          nodeAddresses(config, facts).flatMap((one) =>
            one.type === "InternalIP" ? [one.address] : [],
          ),
        allocatable: {
          cpu: allocatable.cpuMilli,
          memory: allocatable.memoryBytes,
          "ephemeral-storage": allocatable.storageBytes,
        },
        memoryCapacityBytes: capacity.memoryBytes,
        network: () => registration.network(),
      },
      starts: createSemaphore(config.startsMax),
      services: () => serviceInformer.store.list(),
      hostDns: () => readHostDns(config.resolvConf),
      runtimeHandler: (pod) => runtimeHandler(pod, api),
      userAgent,
      register: (id, uid) => registerRuntimeId(ids, id, uid),
    };
    const pods = createPodManager(
      podDeps,
      {
        informer: podInformer,
        node: () => registration.node(),
        appArmorEnabled: facts.appArmorEnabled,
        onRuntimeLost: () => registration.check(),
      },
      ids,
    );
    repeat(config.imageGcMs, "collecting images", () => collector.collect());
    return {
      registration,
      pods,
      informers,
      recorder,
      status,
      probes,
      volumes,
      services: serviceInformer,
    };
  };

  const repeat = (periodMs: number, what: string, work: () => Promise<void>): void => {
    const timer = clock.setTimer(periodMs, () => {
      timers.delete(timer);
      work()
        .catch((error: unknown) => log.warn({ err: error }, `${what} failed`))
        .finally(() => {
          if (!stopping.signal.aborted) repeat(periodMs, what, work);
        });
    });
    timers.add(timer);
  };

  const service = createService({
    name: `node-agent ${config.nodeName}`,
    async start(signal) {
      if (config.importPauseImage)
        await importPauseImage(join(config.kubeletRoot, "images"), runtime);
      const preloaded =
        config.imagesDir === ""
          ? Promise.resolve()
          : preloadImages(config.imagesDir, runtime, log).then(() => {});
      preloaded.catch(() => {}); // Awaited below; a failed registration must not leave it unhandled.
      parts = await build();
      if (deps.informers === undefined) parts.informers.start();
      await parts.registration.start(signal);
      const lease = {
        nodeName: config.nodeName,
        renewMs: config.leaseRenewMs,
        durationSeconds: config.leaseSeconds,
      };
      void runNodeLease(
        lease,
        { api, clock, log, nodeUid: () => parts?.registration.node().metadata.uid },
        stopping.signal,
      );
      // Service variables are part of the first container's environment, so services come first.
      await parts.services.whenSynced(signal);
      await preloaded;
      await parts.pods.start(signal);
    },
    async stop(deadline) {
      stopping.abort(new Error("the node agent stops"));
      for (const timer of timers) timer.cancel();
      parts?.registration.stop();
      parts?.probes.stop();
      parts?.volumes.stop();
      await parts?.pods.stop(deadline);
      parts?.status.stop();
      parts?.recorder.stop();
      if (deps.informers === undefined) await parts?.informers.stop();
      handler.close();
      server?.closeAllConnections();
    },
  });

  const directory = createPodDirectory(() => parts?.pods.workers() ?? []);
  const handler = createKubeletApi({
    nodeName: config.nodeName,
    runtime,
    pods: directory,
    log,
    clock,
    metrics,
    health: () => {
      const health = service.health();
      return health.status === "ok" ? undefined : health.reason;
    },
  });
  let server: Server | undefined;
  const streamServer = (): Server => {
    server ??= createServer((request, response) => handler.handle(request, response)).on(
      "upgrade",
      (request, socket, head) => handler.upgrade(request, socket, head),
    );
    return server;
  };

  return Object.assign(service, {
    handler,
    accept(stream: Duplex) {
      streamServer().emit("connection", stream);
    },
  });
}

function podEvents(recorder: EventRecorder): PodEvents {
  return {
    record(pod, container, type, reason, message) {
      const object: KubeObject = { apiVersion: "v1", kind: "Pod", metadata: pod.metadata };
      recorder.event(
        object,
        type,
        reason,
        message,
        container === undefined ? {} : { fieldPath: containerFieldPath(container) },
      );
    },
  };
}

/** Events about a node name it by its name in place of the uid, as upstream's do, so that they are found before it is registered. */
function nodeReference(node: Node): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: node.metadata.name ?? "", uid: node.metadata.name ?? "" },
  };
}

async function readHostDns(path: string): Promise<DnsSettings> {
  if (path === "") return { servers: ["127.0.0.1"], searches: ["."], options: [] };
  return parseResolvConf(await readFile(path, "utf8").catch(() => ""));
}

interface RuntimeClass extends KubeObject {
  readonly handler: string;
}

async function runtimeHandler(pod: Pod, api: ApiClient): Promise<string | undefined> {
  const name = podSpec(pod).runtimeClassName ?? "";
  if (name === "") return undefined;
  const { handler } = await api.get<RuntimeClass>(resources.runtimeClasses, name);
  return handler;
}
