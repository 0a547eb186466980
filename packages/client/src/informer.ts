import type { KubeObject } from "@wherry/machinery";

/**
 * A local, eventually consistent copy of one resource (optionally narrowed by namespace or selectors), fed by list+watch.
 * Delivery is asynchronous and in order; handlers see each change after the store shows it. A handler that throws is logged and
 * counted; it does not stop the others. At most one informer per (resource, selectors) lives in an `InformerFactory`.
 */
export interface Informer<T extends KubeObject> {
  readonly store: InformerStore<T>;
  /** True once the first list has been delivered. */
  readonly synced: boolean;
  /** Resolves when `synced` turns true. */
  whenSynced(signal?: AbortSignal): Promise<void>;
  /** Adds a handler; it first receives `onAdd` for what is in the store. Returns the removal. */
  subscribe(handler: InformerHandler<T>): () => void;
}

export interface InformerHandler<T> {
  onAdd?(object: T): void;
  onUpdate?(object: T, previous: T): void;
  onDelete?(object: T): void;
}

export interface InformerStore<T> {
  /** `namespace/name`, or `name` for a cluster-scoped resource. */
  get(key: string): T | undefined;
  list(namespace?: string): readonly T[];
  keys(): IterableIterator<string>;
  /** Objects for which the named index function gave `value`; indexes are declared when the informer is made. */
  byIndex(index: string, value: string): readonly T[];
  readonly size: number;
}

/** Gives a value list for an object; must be pure. */
export type IndexFunction<T> = (object: T) => readonly string[];
