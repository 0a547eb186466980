import { createWorkQueue, type ApiClient, type EventRecorder, type InformerFactory } from "@wherry/client";
import type { KubeObject } from "@wherry/machinery";
import type { Clock, Logger } from "@wherry/service-kit";

/** What all controllers of a process share. */
export interface ControllerContext {
  readonly api: ApiClient;
  readonly informers: InformerFactory;
  readonly events: EventRecorder;
  readonly clock: Clock;
  readonly log: Logger;
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
  readonly reconcile: (key: string, signal: AbortSignal) => Promise<{ readonly requeueAfterMs: number } | void>;
  readonly concurrency?: number;
}

export interface Reconciler extends Controller {
  enqueue(key: string): void;
}

const CONCURRENCY = 4;

/** A controller around one work queue of keys. */
export function createReconciler(options: ReconcilerOptions): Reconciler {
  const { clock, log } = options.context;
  const queue = createWorkQueue({ clock, log: log.child({ controller: options.name }) });
  return {
    name: options.name,
    enqueue: (key) => queue.add(key),
    run: (signal) => queue.run(options.reconcile, options.concurrency ?? CONCURRENCY, signal),
  };
}

/** The three events of an informer treated alike. */
export function onAnyChange<T>(react: (object: T) => void): { onAdd(object: T): void; onUpdate(object: T): void; onDelete(object: T): void } {
  return { onAdd: react, onUpdate: react, onDelete: react };
}

/** What an event about `object` needs even when the list that it came from left kind and version out. */
export function withType<T extends KubeObject>(object: T, apiVersion: string, kind: string): T {
  return { ...object, apiVersion, kind };
}

/** The result of a reconcile that wants to come again after the shortest of these times, if there is any. */
export function soonest(...delaysMs: readonly (number | undefined)[]): { readonly requeueAfterMs: number } | undefined {
  const wanted = delaysMs.filter((delay) => delay !== undefined);
  return wanted.length === 0 ? undefined : { requeueAfterMs: Math.min(...wanted) };
}
