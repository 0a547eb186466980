import type { KubeObject } from "@wherry/machinery";
import { createDeferred, type Clock, type Logger, type MetricsRegistry } from "@wherry/service-kit";
import type { ApiClient, ResourceRef } from "./api-client.ts";
import type { IndexFunction, Informer } from "./informer.ts";
import { createObjectStore } from "./object-store.ts";
import { createPacer } from "./pacer.ts";
import { runReflector } from "./reflector.ts";
import { createSubscriptions } from "./subscriptions.ts";

/** Informers that share one client. A factory is started once and stopped once. */
export interface InformerFactory {
  /**
   * The informer of a resource and selection; the same one whenever both are equal, its indexes added up. It opens nothing before `start`;
   * made after `start` it begins at once.
   */
  informer<T extends KubeObject>(ref: ResourceRef, options?: InformerOptions<T>): Informer<T>;
  start(): void;
  /** Resolves when every informer that exists now is synced; rejects with the signal's reason. */
  whenSynced(signal?: AbortSignal): Promise<void>;
  /** Ends all watches. Stores keep what they have. Idempotent. */
  stop(): Promise<void>;
}

export interface InformerOptions<T extends KubeObject> {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Keeps metadata alone, without managedFields; the objects have nothing else. An informer of its own beside that of whole objects. */
  readonly metadataOnly?: boolean;
  readonly indexes?: Readonly<Record<string, IndexFunction<T>>>;
}

export interface InformerFactoryDeps {
  readonly client: ApiClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics?: MetricsRegistry;
  /** Jitter of back-off and watch duration; Math.random by default. */
  readonly random?: () => number;
}

interface Entry {
  readonly informer: Informer<KubeObject>;
  addIndexes(indexes: Readonly<Record<string, IndexFunction<KubeObject>>>): void;
  run(signal: AbortSignal): Promise<void>;
}

export function createInformerFactory(deps: InformerFactoryDeps): InformerFactory {
  const entries = new Map<string, Entry>();
  const running: Promise<void>[] = [];
  const abort = new AbortController();
  let started = false;

  return {
    informer<T extends KubeObject>(
      ref: ResourceRef,
      options: InformerOptions<T> = {},
    ): Informer<T> {
      const { indexes = {}, ...selection } = options;
      const id = JSON.stringify([
        ref.group,
        ref.version,
        ref.resource,
        selection.namespace ?? "",
        selection.labelSelector ?? "",
        selection.fieldSelector ?? "",
        selection.metadataOnly ?? false,
      ]);
      let entry = entries.get(id);
      if (entry === undefined) {
        entry = createEntry(deps, ref, selection);
        entries.set(id, entry);
        if (started) running.push(entry.run(abort.signal));
      }
      entry.addIndexes(indexes as Readonly<Record<string, IndexFunction<KubeObject>>>);
      return entry.informer as Informer<T>;
    },
    start() {
      if (started) return;
      started = true;
      for (const entry of entries.values()) running.push(entry.run(abort.signal));
    },
    async whenSynced(signal) {
      await Promise.all([...entries.values()].map((entry) => entry.informer.whenSynced(signal)));
    },
    async stop() {
      started = true;
      abort.abort(new Error("the informers are stopped"));
      await Promise.all(running);
    },
  };
}

function createEntry(
  deps: InformerFactoryDeps,
  ref: ResourceRef,
  selection: Omit<InformerOptions<KubeObject>, "indexes">,
): Entry {
  const { client, clock, metrics, random = Math.random } = deps;
  const log = deps.log.child({ informer: ref.resource });
  const pacer = createPacer();
  const store = createObjectStore<KubeObject>();
  const errors = metrics?.counter({
    name: "informer_handler_errors_total",
    help: "Informer handlers that threw, by resource.",
    labelNames: ["resource"],
  });
  const subscriptions = createSubscriptions<KubeObject>({
    log,
    pacer,
    onHandlerError: () => errors?.increment({ resource: ref.resource }),
  });
  const synced = createDeferred();
  const informer: Informer<KubeObject> = {
    store,
    get synced() {
      return synced.settled;
    },
    whenSynced: (signal) => untilAborted(synced.promise, signal),
    subscribe: (handler) => subscriptions.add(handler, store.list()),
  };
  return {
    informer,
    addIndexes(indexes) {
      for (const [name, index] of Object.entries(indexes)) store.addIndex(name, index);
    },
    run: (signal) =>
      runReflector(
        {
          client,
          clock,
          log,
          random,
          pacer,
          ref,
          selection,
          store,
          subscriptions,
          onSynced: () => synced.resolve(),
        },
        signal,
      ),
  };
}

function untilAborted(promise: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      reject(
        signal.reason instanceof Error
          ? signal.reason
          : new Error("aborted", { cause: signal.reason }),
      );
    };
    if (signal.aborted) {
      onAbort();
      return;
    }
    signal.addEventListener("abort", onAbort, { once: true });
    void promise.then(() => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    });
  });
}
