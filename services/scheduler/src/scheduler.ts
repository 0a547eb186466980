import {
  createEventRecorder,
  createInformerFactory,
  resources,
  type ApiClient,
} from "@wherry/client";
import {
  formatTime,
  isApiError,
  objectKey,
  type Binding,
  type Node,
  type Pod,
  type PodCondition,
} from "@wherry/machinery";
import {
  createService,
  type Clock,
  type Logger,
  type MetricsRegistry,
  type Service,
} from "@wherry/service-kit";
import { createClusterSnapshot, hasEnded } from "./cluster-snapshot.ts";
import type { SchedulerConfig } from "./config.ts";
import { placePod, type Profile } from "./place-pod.ts";
import { defaultFilters } from "./plugins/filters.ts";
import { defaultScores } from "./plugins/scores.ts";
import { createPodQueue } from "./pod-queue.ts";

export interface SchedulerDeps {
  readonly api: ApiClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: MetricsRegistry;
  /** Breaks ties between equally good nodes. */
  readonly random?: () => number;
}

/** Time on the loop before others get their turn. */
const SLICE_MS = 5;

/**
 * Assigns pods to nodes. One pod is placed at a time against a snapshot that counts assumed pods; bindings run beside it. Driven by watches and by the timers of
 * the queue, idle otherwise.
 */
export function createScheduler(config: SchedulerConfig, deps: SchedulerDeps): Service {
  const { api, clock } = deps;
  const log = deps.log.child({ component: "scheduler" });
  const random = deps.random ?? Math.random;
  const profile: Profile = { filters: defaultFilters, scores: defaultScores };
  const informers = createInformerFactory({ client: api, clock, log, metrics: deps.metrics });
  const events = createEventRecorder({ client: api, clock, component: config.schedulerName, log });
  const snapshot = createClusterSnapshot();
  const waiting = new Map<string, Pod>();
  const assumed = new Map<string, Pod>();
  const attempts = deps.metrics.counter({
    name: "scheduler_schedule_attempts_total",
    help: "Attempts to schedule pods, by result.",
    labelNames: ["result", "profile"],
  });
  const bound = new Set<Promise<void>>();
  let running = false;
  let scheduled = false;
  let stopped = false;

  const queue = createPodQueue({ ...config, clock, onReady: () => kick() });

  const kick = (): void => {
    if (scheduled || !running || stopped) return;
    scheduled = true;
    setImmediate(() => {
      scheduled = false;
      runSlice();
    });
  };

  const runSlice = (): void => {
    const beganMs = clock.monotonic();
    while (!stopped && bound.size < config.bindingsMax) {
      const key = queue.take();
      if (key === undefined) return;
      const pod = waiting.get(key);
      if (pod !== undefined) scheduleOne(key, pod);
      if (clock.monotonic() - beganMs > SLICE_MS) {
        kick();
        return;
      }
    }
  };

  const scheduleOne = (key: string, pod: Pod): void => {
    const gates = pod.spec.schedulingGates ?? [];
    if (gates.length > 0) {
      queue.park(key);
      return;
    }
    const placement = placePod(pod, snapshot.nodes(), profile, random);
    if (placement.kind === "unfit") {
      attempts.increment({ result: "unschedulable", profile: config.schedulerName });
      queue.park(key);
      events.event(pod, "Warning", "FailedScheduling", placement.message);
      track(reportUnschedulable(pod, placement.message));
      return;
    }
    attempts.increment({ result: "scheduled", profile: config.schedulerName });
    const placed: Pod = { ...pod, spec: { ...pod.spec, nodeName: placement.node } };
    assumed.set(key, placed);
    snapshot.setPod(placed);
    track(bind(key, pod, placement.node));
  };

  const track = (work: Promise<void>): void => {
    bound.add(work);
    void work.finally(() => {
      bound.delete(work);
      kick();
    });
  };

  const bind = async (key: string, pod: Pod, node: string): Promise<void> => {
    const { name = "", namespace = "", uid } = pod.metadata;
    const binding: Binding = {
      apiVersion: "v1",
      kind: "Binding",
      metadata: { name, namespace, ...(uid === undefined ? {} : { uid }) },
      target: { kind: "Node", name: node },
    };
    try {
      await api.createSubresource(resources.pods, name, namespace, "binding", binding);
      queue.remove(key);
      waiting.delete(key);
      events.event(
        pod,
        "Normal",
        "Scheduled",
        `Successfully assigned ${namespace}/${name} to ${node}`,
      );
    } catch (error) {
      if (assumed.get(key)?.metadata.uid === uid) forget(key);
      if (isApiError(error, "NotFound")) {
        drop(key);
        return;
      }
      log.warn({ namespace, name, node, err: error }, "binding failed, trying again");
      queue.retry(key);
    }
  };

  const forget = (key: string): void => {
    const pod = assumed.get(key);
    if (pod === undefined) return;
    assumed.delete(key);
    snapshot.removePod(pod);
  };

  const drop = (key: string): void => {
    queue.remove(key);
    waiting.delete(key);
  };

  const reportUnschedulable = async (pod: Pod, message: string): Promise<void> => {
    const condition: PodCondition = {
      type: "PodScheduled",
      status: "False",
      reason: "Unschedulable",
      message,
    };
    const old = pod.status?.conditions?.find((one) => one.type === condition.type);
    if (
      old?.status === condition.status &&
      old.reason === condition.reason &&
      old.message === condition.message
    )
      return;
    const lastTransitionTime =
      old?.status === condition.status ? old.lastTransitionTime : formatTime(clock.now());
    const { name = "", namespace } = pod.metadata;
    try {
      await api.patch(
        resources.pods,
        name,
        namespace,
        "strategic",
        { status: { conditions: [{ ...condition, lastTransitionTime }] } },
        { subresource: "status" },
      );
    } catch (error) {
      if (!isApiError(error, "NotFound"))
        log.warn({ namespace, name, err: error }, "pod condition could not be written");
    }
  };

  const onPod = (pod: Pod): void => {
    const key = objectKey(pod);
    if ((pod.spec.nodeName ?? "") !== "") {
      assumed.delete(key);
      drop(key);
      snapshot.setPod(pod);
      if (hasEnded(pod)) queue.wake();
      return;
    }
    if (pod.spec.schedulerName !== undefined && pod.spec.schedulerName !== config.schedulerName)
      return;
    if (hasEnded(pod) || pod.metadata.deletionTimestamp !== undefined || assumed.has(key)) return;
    const gatesWent =
      (waiting.get(key)?.spec.schedulingGates?.length ?? 0) >
      (pod.spec.schedulingGates?.length ?? 0);
    waiting.set(key, pod);
    queue.add(key, pod.spec.priority ?? 0);
    if (gatesWent) queue.wake();
  };

  return createService({
    name: "scheduler",
    async start(signal) {
      informers.informer<Node>(resources.nodes).subscribe({
        onAdd: (node) => {
          snapshot.setNode(node);
          queue.wake();
        },
        onUpdate: (node, previous) => {
          snapshot.setNode(node);
          if (mayHelp(previous, node)) queue.wake();
        },
        onDelete: (node) => snapshot.removeNode(node.metadata.name ?? ""),
      });
      informers.informer<Pod>(resources.pods).subscribe({
        onAdd: onPod,
        onUpdate: onPod,
        onDelete: (pod) => {
          const key = objectKey(pod);
          forget(key);
          drop(key);
          snapshot.removePod(pod);
          queue.wake();
        },
      });
      informers.start();
      await informers.whenSynced(signal);
      running = true;
      kick();
    },
    async stop() {
      stopped = true;
      queue.stop();
      await Promise.allSettled(bound);
      events.stop();
      await informers.stop();
    },
  });
}

/** Heartbeats change nothing that a filter looks at. */
function mayHelp(previous: Node, node: Node): boolean {
  const view = (one: Node): string =>
    JSON.stringify([
      one.metadata.labels,
      one.spec.taints,
      one.spec.unschedulable,
      one.status?.allocatable,
    ]);
  return view(previous) !== view(node);
}
