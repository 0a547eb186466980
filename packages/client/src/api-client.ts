import type {
  GroupVersionResource,
  Json,
  KubeList,
  KubeObject,
  WatchEvent,
} from "@wherry/machinery";

/** A resource as the client addresses it: what discovery knows of it. */
export interface ResourceRef extends GroupVersionResource {
  readonly kind: string;
  readonly namespaced: boolean;
}

export interface GetOptions {
  readonly resourceVersion?: string;
  readonly signal?: AbortSignal;
}

export interface ListOptions {
  /** Absent = all namespaces (or a cluster-scoped resource). */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly limit?: number;
  readonly continue?: string;
  readonly resourceVersion?: string;
  readonly resourceVersionMatch?: "Exact" | "NotOlderThan";
  /** Asks for PartialObjectMetadata; a server that cannot do it sends whole objects. */
  readonly metadataOnly?: boolean;
  readonly signal?: AbortSignal;
}

export interface WatchOptions {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly resourceVersion?: string;
  readonly allowWatchBookmarks?: boolean;
  readonly sendInitialEvents?: boolean;
  readonly timeoutSeconds?: number;
  readonly metadataOnly?: boolean;
  readonly signal?: AbortSignal;
}

export interface WriteOptions {
  readonly dryRun?: boolean;
  readonly fieldManager?: string;
  /** "status", "scale", "binding", "finalize" …: addresses the subresource. */
  readonly subresource?: string;
  readonly signal?: AbortSignal;
}

export type PatchType = "json" | "merge" | "strategic" | "apply";

export interface DeleteOptions {
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: "Orphan" | "Background" | "Foreground";
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
  readonly dryRun?: boolean;
  readonly signal?: AbortSignal;
}

/**
 * The typed Kubernetes client that controllers, scheduler and node agent use. Every failure that the server answered is an
 * `ApiError`; a connection that failed is a `TransportError`. The same code runs over any `ApiTransport`.
 */
export interface ApiClient {
  get<T extends KubeObject>(
    ref: ResourceRef,
    name: string,
    namespace?: string,
    options?: GetOptions,
  ): Promise<T>;
  list<T extends KubeObject>(ref: ResourceRef, options?: ListOptions): Promise<KubeList<T>>;
  /** Yields ADDED, MODIFIED, DELETED and BOOKMARK; an ERROR event is thrown as ApiError (410 = relist). Ends when the server ends it. */
  watch<T extends KubeObject>(
    ref: ResourceRef,
    options?: WatchOptions,
  ): AsyncIterable<WatchEvent<T>>;
  /** The namespace is taken from the object. */
  create<T extends KubeObject>(ref: ResourceRef, object: T, options?: WriteOptions): Promise<T>;
  /** With `metadata.resourceVersion` set it is a compare-and-set (409 Conflict on mismatch). */
  update<T extends KubeObject>(ref: ResourceRef, object: T, options?: WriteOptions): Promise<T>;
  patch<T extends KubeObject>(
    ref: ResourceRef,
    name: string,
    namespace: string | undefined,
    type: PatchType,
    patch: Json,
    options?: WriteOptions & { readonly force?: boolean },
  ): Promise<T>;
  delete(
    ref: ResourceRef,
    name: string,
    namespace?: string,
    options?: DeleteOptions,
  ): Promise<void>;
  /** POSTs `object` to a subresource of an existing object (binding, eviction, token) and returns the answer. */
  createSubresource<T extends KubeObject>(
    ref: ResourceRef,
    name: string,
    namespace: string | undefined,
    subresource: string,
    object: KubeObject,
  ): Promise<T>;
  /** Any other path (discovery, /version, /readyz): JSON in, JSON out. */
  raw(
    method: "GET" | "POST" | "PUT" | "DELETE",
    path: string,
    body?: Json,
    signal?: AbortSignal,
  ): Promise<Json>;
}
