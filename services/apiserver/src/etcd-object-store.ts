/** `ObjectStore` over an `EtcdStore` (writes, by compare-and-set) and the watch cache (reads). */
import type { Compare, EtcdStore, KeyValue, TxnResponse } from "@wherry/etcd-api";
import {
  jsonEqual,
  newAlreadyExists,
  newConflict,
  newInternal,
  newNotFound,
  newUnknownResource,
  type Json,
  type KubeObject,
} from "@wherry/machinery";
import type { Draft } from "@wherry/schema";
import type { CacheEntry } from "./cache-entry.ts";
import type { LeaseSource } from "./event-leases.ts";
import type {
  ObjectChange,
  ObjectDeletion,
  ObjectStore,
  ObjectWriteOptions,
  Preconditions,
  ReadOptions,
  ResourceId,
  UpdateOptions,
} from "./object-store.ts";
import type { ResourceCache, Snapshot } from "./resource-cache.ts";
import { apiErrorOfStore } from "./store-error.ts";
import { objectPath, prefixEnd, storageKey } from "./storage-keys.ts";
import {
  canonicalValue,
  decodeValue,
  encodeValue,
  loadProtobuf,
  valuePrefix,
} from "./stored-value.ts";
import type { StoredType, WatchCache } from "./watch-cache.ts";

export interface StoredResource extends StoredType, ResourceId {
  /** Seconds after which an object ends by itself; absent = never. */
  readonly ttlSeconds?: number;
}

export interface EtcdObjectStoreDeps {
  readonly store: EtcdStore;
  readonly cache: WatchCache;
  readonly leases: LeaseSource;
  /** How a resource is stored; undefined = it is not. */
  locate(resource: ResourceId): StoredResource | undefined;
}

export interface EtcdObjectStore extends ObjectStore {
  /** The stored bytes of an object that this store handed out, so that an answer needs no second serialisation. */
  valueOf(object: KubeObject): { readonly value: Buffer; readonly revision: number } | undefined;
}

const defaultRetriesMax = 5;

interface Current {
  readonly value: Buffer;
  readonly revision: number;
  /** False = it came from the cache and may be behind. */
  readonly fresh: boolean;
}

export function createEtcdObjectStore({
  store,
  cache,
  leases,
  locate,
}: EtcdObjectStoreDeps): EtcdObjectStore {
  const values = new WeakMap<KubeObject, { value: Buffer; revision: number }>();

  const located = (resource: ResourceId): StoredResource => {
    const stored = locate(resource);
    if (stored === undefined) throw newUnknownResource();
    return stored;
  };
  const cacheOf = (resource: ResourceId): ResourceCache => {
    const found = cache.cache(located(resource).storagePrefix);
    if (found === undefined)
      throw newInternal(`the cache of ${resource.resource} is not ready yet`);
    return found;
  };
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the caller knows which kind lies there.
  const handOut = <T extends KubeObject>(
    object: KubeObject,
    value: Buffer,
    revision: number,
  ): T => {
    values.set(object, { value, revision });
    return object as T;
  };
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the caller knows which kind lies there.
  const fromEntry = <T extends KubeObject>(entry: CacheEntry): T =>
    handOut(entry.object(), entry.value, entry.revision);

  const write = async (
    resource: ResourceId,
    operation: string,
    compare: Compare,
    success: Parameters<EtcdStore["txn"]>[0]["success"],
    key: Buffer,
    signal: AbortSignal | undefined,
  ): Promise<TxnResponse> => {
    try {
      const failure = operation === "create" ? [] : [{ kind: "range" as const, request: { key } }];
      return await store.txn(
        { compare: [compare], success, failure },
        signal === undefined ? {} : { signal },
      );
    } catch (error) {
      throw apiErrorOfStore(error, resource, operation);
    }
  };

  const readFresh = async (
    resource: StoredResource,
    path: string,
    options: ReadOptions,
  ): Promise<Current | undefined> => {
    try {
      const response = await store.range(
        { key: storageKey(resource.storagePrefix, path), limit: 1 },
        options,
      );
      await loadProtobuf(response.kvs);
      return currentOf(resource, response.kvs[0]);
    } catch (error) {
      throw apiErrorOfStore(error, resource, "get");
    }
  };
  const currentOf = (resource: StoredResource, kv: KeyValue | undefined): Current | undefined => {
    if (kv === undefined) return undefined;
    const value = canonicalValue(
      kv.key.toString(),
      kv.value,
      resource,
      Buffer.from(valuePrefix(resource)),
    );
    return { value, revision: kv.modRevision, fresh: true };
  };
  const readCached = (resource: StoredResource, path: string): Current | undefined => {
    const entry = cache.cache(resource.storagePrefix)?.snapshot.get(path);
    return entry === undefined
      ? undefined
      : { value: entry.value, revision: entry.revision, fresh: false };
  };
  const freshFromFailure = async (
    resource: StoredResource,
    response: TxnResponse,
  ): Promise<Current | undefined> => {
    const first = response.responses[0];
    const kvs = first?.kind === "range" ? first.response.kvs : [];
    await loadProtobuf(kvs);
    return currentOf(resource, kvs[0]);
  };

  return {
    valueOf: (object) => values.get(object),

    async get(resource, namespace, name, options = {}) {
      const objects = cacheOf(resource);
      await cache.catchUp(options.signal);
      const entry = objects.snapshot.get(objectPath(namespace, name));
      if (entry === undefined) throw newNotFound(resource, name);
      return fromEntry(entry);
    },

    async list(resource, namespace = "", options = {}) {
      const objects = cacheOf(resource);
      await cache.catchUp(options.signal);
      return [...entriesOf(objects.snapshot, namespace)].map((entry) => fromEntry(entry));
    },

    peek(resource, namespace, name) {
      const entry = cacheOf(resource).snapshot.get(objectPath(namespace, name));
      return entry === undefined ? undefined : fromEntry(entry);
    },

    peekAll: (resource, namespace = "") =>
      [...entriesOf(cacheOf(resource).snapshot, namespace)].map((entry) => fromEntry(entry)),

    subscribe: (resource, handler) =>
      subscribeTo(cacheOf(resource), handler as (change: ObjectChange) => void),

    async create<T extends KubeObject>(
      resource: ResourceId,
      object: KubeObject,
      options: ObjectWriteOptions = {},
    ): Promise<T> {
      const stored = located(resource);
      const { namespace = "", name = "" } = object.metadata;
      const path = objectPath(namespace, name);
      const value = encodeValue(stored, object);
      if (options.dryRun === true) {
        if ((await readFresh(stored, path, options)) !== undefined)
          throw newAlreadyExists(resource, name);
        return JSON.parse(value.toString()) as T;
      }
      const key = storageKey(stored.storagePrefix, path);
      const lease =
        stored.ttlSeconds === undefined ? undefined : await leases.leaseFor(stored.ttlSeconds);
      const response = await write(
        resource,
        "create",
        { target: "mod", key, result: "equal", operand: 0 },
        [{ kind: "put", request: { key, value, ...(lease === undefined ? {} : { lease }) } }],
        key,
        options.signal,
      );
      if (!response.succeeded) throw newAlreadyExists(resource, name);
      return handOut(decodeValue(value, response.header.revision), value, response.header.revision);
    },

    async guaranteedUpdate<T extends KubeObject>(
      resource: ResourceId,
      namespace: string,
      name: string,
      change: (draft: Draft, current: T) => Draft | undefined | Promise<Draft | undefined>,
      options: UpdateOptions = {},
    ): Promise<T> {
      const stored = located(resource);
      const path = objectPath(namespace, name);
      const key = storageKey(stored.storagePrefix, path);
      let current = readCached(stored, path) ?? (await readFresh(stored, path, options));
      for (let lostRaces = 0; ;) {
        if (current === undefined) throw newNotFound(resource, name);
        const { value, revision, fresh }: Current = current;
        const before = decodeValue(value, revision);
        let changed: Draft | undefined;
        try {
          checkPreconditions(resource, before, options.preconditions);
          changed = await change(decodeValue(value, revision) as Draft, before as T);
        } catch (error) {
          // A refusal may rest on a state that is behind; it is only believed on a fresh read.
          if (fresh) throw error;
          current = await readFresh(stored, path, options);
          continue;
        }
        const encoded = changed === undefined ? value : encodeValue(stored, changed);
        if (
          changed === undefined ||
          encoded.equals(value) ||
          jsonEqual(JSON.parse(encoded.toString()) as Json, JSON.parse(value.toString()) as Json)
        ) {
          if (fresh) return handOut(before, value, revision);
          current = await readFresh(stored, path, options);
          if (current?.revision === revision) return handOut(before, value, revision);
          continue;
        }
        if (options.dryRun === true) {
          if (fresh) return decodeValue(encoded, revision) as T;
          const live = await readFresh(stored, path, options);
          if (live?.revision === revision) return decodeValue(encoded, revision) as T;
          current = live;
          continue;
        }
        const lease =
          stored.ttlSeconds === undefined ? undefined : await leases.leaseFor(stored.ttlSeconds);
        const response = await write(
          resource,
          "update",
          { target: "mod", key, result: "equal", operand: revision },
          [
            {
              kind: "put",
              request: { key, value: encoded, ...(lease === undefined ? {} : { lease }) },
            },
          ],
          key,
          options.signal,
        );
        if (response.succeeded) {
          return handOut(
            decodeValue(encoded, response.header.revision),
            encoded,
            response.header.revision,
          );
        }
        current = await freshFromFailure(stored, response);
        // Being behind is not a lost race: the first fresh attempt is still free.
        if (fresh) lostRaces += 1;
        if (lostRaces > (options.retriesMax ?? defaultRetriesMax))
          throw newConflict(resource, name);
      }
    },

    async delete<T extends KubeObject>(
      resource: ResourceId,
      namespace: string,
      name: string,
      options: ObjectDeletion = {},
    ): Promise<T> {
      const stored = located(resource);
      const path = objectPath(namespace, name);
      const key = storageKey(stored.storagePrefix, path);
      let current = await readFresh(stored, path, options);
      for (let lostRaces = 0; ; lostRaces++) {
        if (current === undefined) throw newNotFound(resource, name);
        const { value, revision }: Current = current;
        const object = decodeValue(value, revision);
        checkPreconditions(resource, object, options.preconditions);
        if (options.dryRun === true) return handOut(object, value, revision);
        const response = await write(
          resource,
          "delete",
          { target: "mod", key, result: "equal", operand: revision },
          [{ kind: "deleteRange", request: { key } }],
          key,
          options.signal,
        );
        if (response.succeeded)
          return handOut(
            decodeValue(value, response.header.revision),
            value,
            response.header.revision,
          );
        if (lostRaces >= defaultRetriesMax) throw newConflict(resource, name);
        current = await freshFromFailure(stored, response);
      }
    },
  };
}

/** The entries of one namespace, or all. */
export function entriesOf(
  snapshot: Snapshot,
  namespace: string,
): Generator<CacheEntry, void, undefined> {
  return namespace === ""
    ? snapshot.range()
    : snapshot.range(`${namespace}/`, prefixEnd(`${namespace}/`));
}

export function checkPreconditions(
  resource: ResourceId,
  object: KubeObject,
  preconditions: Preconditions | undefined,
): void {
  const { uid, resourceVersion } = object.metadata;
  const name = object.metadata.name ?? "";
  if (preconditions?.uid !== undefined && preconditions.uid !== uid) {
    throw newConflict(
      resource,
      name,
      `Precondition failed: UID in precondition: ${preconditions.uid}, UID in object meta: ${uid ?? ""}`,
    );
  }
  if (
    preconditions?.resourceVersion !== undefined &&
    preconditions.resourceVersion !== resourceVersion
  ) {
    throw newConflict(
      resource,
      name,
      `Precondition failed: ResourceVersion in precondition: ${preconditions.resourceVersion}, ResourceVersion in object meta: ${resourceVersion ?? ""}`,
    );
  }
}

function subscribeTo(cache: ResourceCache, handler: (change: ObjectChange) => void): () => void {
  let seen = cache.snapshot;
  let sequence = cache.nextSequence;
  const deliver = (): void => {
    for (;;) {
      const event = cache.event(sequence);
      if (event === undefined) break;
      if (event === "gone") {
        deliverDifference(seen, cache.snapshot, handler);
        sequence = cache.nextSequence;
        break;
      }
      sequence += 1;
      const { entry, previous, revision } = event;
      if (entry === undefined) handler({ type: "deleted", object: previous!.object(), revision });
      else if (previous === undefined) handler({ type: "added", object: entry.object(), revision });
      else
        handler({
          type: "modified",
          object: entry.object(),
          previous: previous.object(),
          revision,
        });
    }
    seen = cache.snapshot;
  };
  for (const entry of seen.range())
    handler({ type: "added", object: entry.object(), revision: entry.revision });
  return cache.listen(deliver);
}

/** After a reset: what a subscriber has to learn to get from one state to the other. */
function deliverDifference(
  before: Snapshot,
  after: Snapshot,
  handler: (change: ObjectChange) => void,
): void {
  for (const entry of before.range()) {
    if (after.get(entry.path) === undefined)
      handler({ type: "deleted", object: entry.object(), revision: entry.revision });
  }
  for (const entry of after.range()) {
    const previous = before.get(entry.path);
    if (previous === undefined)
      handler({ type: "added", object: entry.object(), revision: entry.revision });
    else if (previous.revision !== entry.revision) {
      handler({
        type: "modified",
        object: entry.object(),
        previous: previous.object(),
        revision: entry.revision,
      });
    }
  }
}
