import { resources } from "@wherry/client";
import type { ApiClient } from "@wherry/client";
import type { ContainerRuntime, Image, RuntimeVersion } from "@wherry/cri-api";
import { formatTime, isApiError } from "@wherry/machinery";
import type { Json, Node } from "@wherry/machinery";
import type { Clock, Logger, Timer } from "@wherry/service-kit";
import type { NodeAgentConfig } from "../config.ts";
import { same } from "../pods/pod-status.ts";
import { readPressure } from "./host-facts.ts";
import type { HostFacts } from "./host-facts.ts";
import { conditionEvent, networkProblem, nodeConditions } from "./node-conditions.ts";
import { newNode, nodeStatus, ownAnnotations, ownLabels } from "./node-object.ts";

type NodeStatus = NonNullable<Node["status"]>;

/** The Node object of this machine: registered at start, its status posted when it changes and at least every `nodeReportMs`. */
export interface NodeRegistration {
  /** Registers, trying again until it works, and begins to report. */
  start(signal: AbortSignal): Promise<void>;
  stop(): void;
  /** As last seen. */
  node(): Node;
  network(): { readonly ready: boolean; readonly message: string };
  readonly ready: boolean;
  /** Looks at the node's state soon. */
  check(): void;
}

export interface NodeRegistrationDeps {
  readonly api: ApiClient;
  readonly runtime: ContainerRuntime;
  readonly clock: Clock;
  readonly log: Logger;
  readonly facts: HostFacts;
  readonly recordEvent: (
    node: Node,
    type: "Normal" | "Warning",
    reason: string,
    message: string,
  ) => void;
  /** The pod network came up: pods that wait for it may go on. */
  readonly onNetworkReady: () => void;
}

const retryMinMs = 1_000;
const retryMaxMs = 7_000;
/** How often a node that is not ready is looked at. */
const unreadyCheckMs = 1_000;

export function createNodeRegistration(
  config: NodeAgentConfig,
  deps: NodeRegistrationDeps,
): NodeRegistration {
  const { api, runtime, clock, log, facts } = deps;
  const stopped = new AbortController();
  let node: Node = newNode(config, facts, {});
  let version: RuntimeVersion | undefined;
  let runtimeState: Awaited<ReturnType<ContainerRuntime["status"]>> | undefined;
  let postedMs: number | undefined;
  let timer: Timer | undefined;
  let busy = false;
  let again = false;

  const look = async (): Promise<NodeStatus> => {
    runtimeState = await runtime.status().catch((error: unknown) => {
      log.debug({ err: error }, "the container runtime does not answer");
      return undefined;
    });
    if (runtimeState !== undefined) version ??= await runtime.version().catch(() => undefined);
    const images: readonly Image[] =
      runtimeState === undefined ? [] : await runtime.listImages().catch(() => []);
    const pressure =
      config.mounts === "none"
        ? { memory: false, disk: false, pid: false }
        : await readPressure(config.kubeletRoot);
    const conditions = nodeConditions({
      pressure,
      runtime: runtimeState,
      previous: node.status?.conditions ?? [],
      now: formatTime(clock.now()),
    });
    return nodeStatus({ config, facts, version, images, conditions });
  };

  const register = async (signal: AbortSignal): Promise<void> => {
    for (let delayMs = retryMinMs; ; delayMs = Math.min(delayMs * 2, retryMaxMs)) {
      try {
        await registerOnce(signal);
        return;
      } catch (error) {
        if (signal.aborted) throw error;
        log.warn({ err: error, retryMs: delayMs }, "registering the node failed, trying again");
        await clock.sleep(delayMs, signal);
      }
    }
  };

  const registerOnce = async (signal: AbortSignal): Promise<void> => {
    const wanted = newNode(config, facts, await look());
    try {
      node = await api.create<Node>(resources.nodes, wanted, { signal });
      postedMs = clock.monotonic();
    } catch (error) {
      if (!isApiError(error, "AlreadyExists")) throw error;
      await reconcile(
        await api.get<Node>(resources.nodes, config.nodeName, undefined, { signal }),
        signal,
      );
    }
  };

  /** A node that was here before keeps what others put on it; what is the agent's own is set right. */
  const reconcile = async (present: Node, signal: AbortSignal): Promise<void> => {
    const labels = { ...present.metadata.labels, ...ownLabels(config, facts) };
    const annotations = { ...present.metadata.annotations, ...ownAnnotations(config) };
    const providerID =
      present.spec?.providerID ?? (config.providerId === "" ? undefined : config.providerId);
    const right =
      same(labels, present.metadata.labels) &&
      same(annotations, present.metadata.annotations) &&
      providerID === present.spec?.providerID;
    node = right
      ? present
      : await api.update<Node>(
          resources.nodes,
          {
            ...present,
            metadata: { ...present.metadata, labels, annotations },
            spec: { ...present.spec, ...(providerID === undefined ? {} : { providerID }) },
          },
          { signal },
        );
    const before = node.status?.nodeInfo?.bootID;
    if (before !== undefined && before !== "" && before !== facts.bootId)
      deps.recordEvent(
        node,
        "Warning",
        "Rebooted",
        `Node ${config.nodeName} has been rebooted, boot id: ${facts.bootId}`,
      );
  };

  const post = async (): Promise<void> => {
    const before = node.status ?? {};
    const wasReady = isReady(before);
    const hadNetwork = runtimeState?.networkReady === true;
    const after = await look();
    if (stopped.signal.aborted) return;
    const due = postedMs === undefined || clock.monotonic() - postedMs >= config.nodeReportMs;
    if (due || !sameStatus(before, after)) {
      const patch: Json = {
        status: {
          ...(after as unknown as Record<string, Json>),
          addresses: [{ $patch: "replace" }, ...((after.addresses ?? []) as unknown as Json[])],
        },
      };
      try {
        node = await api.patch<Node>(
          resources.nodes,
          config.nodeName,
          undefined,
          "strategic",
          patch,
          { subresource: "status", signal: stopped.signal },
        );
      } catch (error) {
        if (!isApiError(error, "NotFound")) throw error;
        // Someone deleted the node under the agent.
        node = newNode(config, facts, after);
        await registerOnce(stopped.signal);
      }
      postedMs = clock.monotonic();
      announce(before, after);
    }
    if (!wasReady && isReady(after)) log.info({ node: config.nodeName }, "node is ready");
    if (!hadNetwork && runtimeState?.networkReady === true) deps.onNetworkReady();
  };

  const announce = (before: NodeStatus, after: NodeStatus): void => {
    for (const condition of after.conditions ?? []) {
      if (
        before.conditions?.find((one) => one.type === condition.type)?.status === condition.status
      )
        continue;
      const reason = conditionEvent(condition);
      if (reason !== undefined)
        deps.recordEvent(
          node,
          "Normal",
          reason,
          `Node ${config.nodeName} status is now: ${reason}`,
        );
    }
  };

  const check = (): void => {
    if (stopped.signal.aborted) return;
    again = true;
    if (busy) return;
    busy = true;
    timer?.cancel();
    void (async () => {
      let failed = false;
      while (again && !stopped.signal.aborted) {
        again = false;
        try {
          await post();
          failed = false;
        } catch (error) {
          failed = true;
          if (!stopped.signal.aborted)
            log.warn({ err: error }, "posting the node's status failed, trying again");
        }
      }
      busy = false;
      if (stopped.signal.aborted) return;
      timer = clock.setTimer(
        isReady(node.status ?? {}) && !failed
          ? Math.min(config.nodeCheckMs, config.nodeReportMs)
          : unreadyCheckMs,
        check,
      );
    })();
  };

  return {
    async start(signal) {
      await register(signal);
      deps.recordEvent(node, "Normal", "Starting", "Starting kubelet.");
      announce({}, node.status ?? {});
      check();
    },
    stop() {
      stopped.abort(new Error("the node agent stops"));
      timer?.cancel();
    },
    node: () => node,
    network: () => ({
      ready: runtimeState?.networkReady === true,
      message: networkProblem(runtimeState?.message ?? "the container runtime does not answer"),
    }),
    get ready() {
      return isReady(node.status ?? {});
    },
    check,
  };
}

function isReady(status: NodeStatus): boolean {
  return status.conditions?.find((one) => one.type === "Ready")?.status === "True";
}

/** Heartbeat times alone are no change. */
function sameStatus(before: NodeStatus, after: NodeStatus): boolean {
  const strip = (status: NodeStatus): Json =>
    ({
      ...status,
      conditions: (status.conditions ?? [])
        .filter((one) => ownConditions.has(one.type))
        .map((one) => ({ ...one, lastHeartbeatTime: null })),
    }) as unknown as Json;
  const left = strip(before) as Record<string, Json | undefined>;
  const right = strip(after) as Record<string, Json | undefined>;
  return Object.keys(right).every((key) => same(left[key], right[key]));
}

const ownConditions: ReadonlySet<string> = new Set([
  "MemoryPressure",
  "DiskPressure",
  "PIDPressure",
  "Ready",
]);
