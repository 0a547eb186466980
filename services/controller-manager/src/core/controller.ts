import {
  createWorkQueue,
  type ApiClient,
  type EventRecorder,
  type InformerFactory,
} from "@wherry/client";
import { isConflict, type KubeObject } from "@wherry/machinery";
import type { Clock, Logger } from "@wherry/service-kit";

/** What all controllers of a process share. */
export interface ControllerContext {
  readonly api: ApiClient;
  readonly informers: InformerFactory;
  readonly events: EventRecorder;
  readonly clock: Clock;
  readonly log: Logger;
  /** Keys that a controller works on at the same time unless it says otherwise; 4 by default. */
  readonly concurrency?: number;
}

export interface Controller {
  /** Upstream's name ("deployment-controller" without the suffix). */
  readonly name: string;
  /** Works until the signal aborts; called once, after the informers have synced. */
  run(signal: AbortSignal): Promise<void>;
}

export interface ReconcilerOptions {
  readonly name: string;
  readonly context: ControllerContext;
  /** Brings the object named by the key ("namespace/name") nearer to what it should be. Throwing means back-off. */
  readonly reconcile: (
    key: string,
    signal: AbortSignal,
  ) => Promise<{ readonly requeueAfterMs: number } | void>;
  readonly concurrency?: number;
}

export interface Reconciler extends Controller {
  enqueue(key: string): void;
}

const CONCURRENCY = 4;
/** Conflicts of one key in a row that are taken for a cache that is behind, which is no news; then they count as failures. */
const CONFLICTS_MAX = 6;
const CONFLICT_RETRY_MS = 10;

/** A controller around one work queue of keys. */
export function createReconciler(options: ReconcilerOptions): Reconciler {
  const { clock } = options.context;
  const log = options.context.log.child({ controller: options.name });
  const queue = createWorkQueue({ clock, log });
  const conflicts = new Map<string, number>();
  return {
    name: options.name,
    enqueue: (key) => queue.add(key),
    run: (signal) =>
      queue.run(
        async (key, working) => {
          try {
            const result = await options.reconcile(key, working);
            conflicts.delete(key);
            return result;
          } catch (error) {
            const count = conflicts.get(key) ?? 0;
            if (!isConflict(error) || count >= CONFLICTS_MAX) {
              conflicts.delete(key);
              throw error;
            }
            conflicts.set(key, count + 1);
            log.debug({ key, err: error }, "the cache was behind, trying again");
            return { requeueAfterMs: CONFLICT_RETRY_MS * 2 ** count };
          }
        },
        options.concurrency ?? options.context.concurrency ?? CONCURRENCY,
        signal,
      ),
  };
}

/** The three events of an informer treated alike. */
export function onAnyChange<T>(react: (object: T) => void): {
  onAdd(object: T): void;
  onUpdate(object: T): void;
  onDelete(object: T): void;
} {
  return { onAdd: react, onUpdate: react, onDelete: react };
}

/** What an event about `object` needs even when the list that it came from left kind and version out. */
export function withType<T extends KubeObject>(object: T, apiVersion: string, kind: string): T {
  return { ...object, apiVersion, kind };
}

/** The result of a reconcile that wants to come again after the shortest of these times, if there is any. */
export function soonest(
  ...delaysMs: readonly (number | undefined)[]
): { readonly requeueAfterMs: number } | undefined {
  const wanted = delaysMs.filter((delay) => delay !== undefined);
  return wanted.length === 0 ? undefined : { requeueAfterMs: Math.min(...wanted) };
}
