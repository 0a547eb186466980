/**
 * Typed storage: objects of registered resources over an `EtcdStore` and the watch cache that follows it (upstream: storage.Interface with
 * its cacher). No admission, no strategy, no deletion rules: those are in `resource-operations.ts`.
 *
 * Objects that come out carry kind, apiVersion (the storage version) and metadata.resourceVersion, are shared and must not be changed.
 * Objects that go in are serialised and never kept. Failures are `ApiError`s (NotFound, AlreadyExists, Conflict, Timeout …).
 */
import type { KubeObject } from "@wherry/machinery";
import type { Draft } from "@wherry/schema";

/** Names a stored resource; a `ResourceDefinition` or a client's `ResourceRef` will do. */
export interface ResourceId {
  /** "" for the core group. */
  readonly group: string;
  /** Plural ("pods"). */
  readonly resource: string;
}

export interface Preconditions {
  readonly uid?: string;
  readonly resourceVersion?: string;
}

export interface ReadOptions {
  readonly signal?: AbortSignal;
}

export interface ObjectWriteOptions {
  readonly signal?: AbortSignal;
  /** Evaluates everything and writes nothing. The answer carries the current resourceVersion (none on create). */
  readonly dryRun?: boolean;
}

export interface UpdateOptions extends ObjectWriteOptions {
  /** 409 Conflict when the stored object is another one. */
  readonly preconditions?: Preconditions;
  /** How often a lost race is tried again from a fresh read (default 5). 0 = the first lost race is a 409. */
  readonly retriesMax?: number;
}

export interface ObjectDeletion extends ObjectWriteOptions {
  readonly preconditions?: Preconditions;
}

export type ObjectChange<T extends KubeObject = KubeObject> =
  | { readonly type: "added"; readonly object: T; readonly revision: number }
  | {
      readonly type: "modified";
      readonly object: T;
      readonly previous: T;
      readonly revision: number;
    }
  | { readonly type: "deleted"; readonly object: T; readonly revision: number };

/** Gives the values under which an object is found; must be pure and cheap. */
export type ObjectIndexFunction = (object: KubeObject) => readonly string[];

export interface ObjectStore {
  /** The object as of now (waits until the cache has caught up with the store). Throws NotFound. */
  get<T extends KubeObject = KubeObject>(
    resource: ResourceId,
    namespace: string,
    name: string,
    options?: ReadOptions,
  ): Promise<T>;
  /** All objects (of one namespace, when given) as of now, in key order. */
  list<T extends KubeObject = KubeObject>(
    resource: ResourceId,
    namespace?: string,
    options?: ReadOptions,
  ): Promise<readonly T[]>;

  /** What the cache shows at this moment, without waiting: may be a few milliseconds behind. For hot paths (authorisation, admission). */
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the caller knows which kind lies there.
  peek<T extends KubeObject = KubeObject>(
    resource: ResourceId,
    namespace: string,
    name: string,
  ): T | undefined;
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the caller knows which kind lies there.
  peekAll<T extends KubeObject = KubeObject>(
    resource: ResourceId,
    namespace?: string,
  ): readonly T[];

  /**
   * Calls `handler` for every object there is ("added"), synchronously, and then for every change, in order and after the cache shows it.
   * A handler must be quick and must not throw. Returns the end of the subscription. A change may be seen merged (added + deleted = nothing)
   * after the store's history was lost to compaction.
   */
  subscribe<T extends KubeObject = KubeObject>(
    resource: ResourceId,
    handler: (change: ObjectChange<T>) => void,
  ): () => void;

  /** Stores a new object as given (metadata.name and uid set by the caller). Throws AlreadyExists. */
  create<T extends KubeObject = KubeObject>(
    resource: ResourceId,
    object: KubeObject,
    options?: ObjectWriteOptions,
  ): Promise<T>;

  /**
   * Reads, lets `change` alter a private draft, writes it by compare-and-set, and begins again from a fresh read when another writer was
   * faster. `change` returns the draft to store, or undefined to leave everything as it is; what it throws is thrown. Nothing is
   * written when the draft is equal to what is stored. Throws NotFound.
   */
  guaranteedUpdate<T extends KubeObject = KubeObject>(
    resource: ResourceId,
    namespace: string,
    name: string,
    change: (draft: Draft, current: T) => Draft | undefined | Promise<Draft | undefined>,
    options?: UpdateOptions,
  ): Promise<T>;

  /** Removes the object at once, finalizers or not, and answers its last state with the delete's revision. Throws NotFound. */
  delete<T extends KubeObject = KubeObject>(
    resource: ResourceId,
    namespace: string,
    name: string,
    options?: ObjectDeletion,
  ): Promise<T>;
}
