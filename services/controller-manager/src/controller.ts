import {
  createWorkQueue,
  type ApiClient,
  type EventRecorder,
  type InformerFactory,
  type WorkQueue,
  type WorkResult,
} from "@wherry/client";
import type { Clock, Logger, MetricsRegistry } from "@wherry/service-kit";

/**
 * One control loop. It is built (its informers asked for, its handlers subscribed) before the shared informers start, and works from when
 * all of them are synced. Objects of the stores are never written to.
 */
export interface Controller {
  /** Upstream's name of the controller, as `--controllers` takes it ("replicaset-controller"). */
  readonly name: string;
  /** Works until the signal aborts and what is in work has ended. Called once. Rejects only for what must end the process. */
  run(signal: AbortSignal): Promise<void>;
  /** True when nothing waits, is delayed or is in work. */
  readonly idle: boolean;
}

/** What all controllers of a process share. */
export interface ControllerContext {
  readonly api: ApiClient;
  /** Not started yet while controllers are built. One informer per resource and selection, whoever asks. */
  readonly informers: InformerFactory;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: MetricsRegistry;
  readonly random: () => number;
  /** Keys of one controller that are worked on at the same time, unless it says otherwise. */
  readonly concurrency: number;
  /** The recorder of a component ("replicaset-controller"); the same one for the same name, stopped by the manager. */
  recorder(component: string): EventRecorder;
}

/** How every controller file exports its loop: `createXController(config)` or the factory itself. */
export type ControllerFactory = (context: ControllerContext) => Controller;

export interface ControllerParts {
  readonly name: string;
  /** Keys in work at the same time; the context's by default. 1 for loops over a single key. */
  readonly concurrency?: number;
  /** First pause after a failure; 5 ms by default. */
  readonly backoffMinMs?: number;
  /** Longest pause after repeated failures; 1,000 s by default. */
  readonly backoffMaxMs?: number;
  /** Subscribes to informers and turns what happens into keys. Called once, at once. */
  wire(queue: WorkQueue): void;
  /** Brings one key to what is wished. A throw brings the key back with back-off; `{ requeueAfterMs }` after that time. */
  reconcile(key: string, signal: AbortSignal): Promise<WorkResult | void>;
  /** Work beside the queue (a sweep on a timer); ends when the signal aborts. */
  beside?(signal: AbortSignal): Promise<void>;
}

/** A controller around a work queue: wiring → keys → reconcile. */
export function createController(context: ControllerContext, parts: ControllerParts): Controller {
  const { name, reconcile, beside } = parts;
  const log = context.log.child({ controller: name });
  const queue = createWorkQueue({
    clock: context.clock,
    log,
    ...(parts.backoffMinMs === undefined ? {} : { backoffMinMs: parts.backoffMinMs }),
    ...(parts.backoffMaxMs === undefined ? {} : { backoffMaxMs: parts.backoffMaxMs }),
  });
  const results = context.metrics.counter({
    name: "controller_reconcile_total",
    help: "Reconciliations, by controller and result.",
    labelNames: ["controller", "result"],
  });
  parts.wire(queue);
  return {
    name,
    async run(signal) {
      const work = queue.run(
        async (key, workSignal) => {
          try {
            const result = await reconcile(key, workSignal);
            results.increment({ controller: name, result: "success" });
            return result;
          } catch (error) {
            results.increment({ controller: name, result: "error" });
            throw error;
          }
        },
        parts.concurrency ?? context.concurrency,
        signal,
      );
      await Promise.all([work, beside?.(signal)]);
    },
    get idle() {
      return queue.idle;
    },
  };
}
