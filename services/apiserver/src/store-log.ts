/** Changes of one resource from an old revision on, out of the store's history, until the cache's window can take over. */
import { newExpired } from "@wherry/machinery";
import type { EtcdStore, KeyValue } from "@wherry/etcd-api";
import { CacheEntry } from "./cache-entry.ts";
import type { ResourceCache } from "./resource-cache.ts";
import { prefixEnd, resourcePrefix } from "./storage-keys.ts";
import { canonicalValue, loadProtobuf, valuePrefix, type TypeIdentity } from "./stored-value.ts";
import type { ObjectTransition } from "./watch-selection.ts";

/**
 * Yields the changes after `revision` in order. Returns the revision up to which everything was yielded, which the window then covers.
 * Throws 410 Expired when the history was compacted.
 */
export async function* readStoreLog(
  store: EtcdStore,
  objects: ResourceCache,
  type: TypeIdentity,
  revision: number,
  signal: AbortSignal,
): AsyncGenerator<ObjectTransition, number, undefined> {
  const prefix = resourcePrefix(objects.storagePrefix);
  const typePrefix = Buffer.from(valuePrefix(type));
  const entryOf = (kv: KeyValue): CacheEntry => {
    const key = kv.key.toString();
    return new CacheEntry(
      key.slice(prefix.length),
      kv.modRevision,
      canonicalValue(key, kv.value, type, typePrefix),
    );
  };
  const stream = store.watch(
    {
      key: Buffer.from(prefix),
      rangeEnd: Buffer.from(prefixEnd(prefix)),
      startRevision: revision + 1,
      prevKv: true,
    },
    { signal },
  );
  let reached = revision;
  try {
    for await (const message of stream) {
      switch (message.kind) {
        case "created":
          stream.requestProgress();
          break;
        case "events":
          await loadProtobuf(
            message.events.flatMap(({ kv, prevKv }) =>
              prevKv === undefined ? [kv] : [kv, prevKv],
            ),
          );
          for (const event of message.events) {
            const previous = event.prevKv === undefined ? undefined : entryOf(event.prevKv);
            reached = event.kv.modRevision;
            yield {
              revision: reached,
              entry: event.type === "put" ? entryOf(event.kv) : undefined,
              previous,
            };
          }
          if (reached >= objects.windowStart) return reached;
          break;
        case "progress":
          reached = Math.max(reached, message.revision);
          if (reached >= objects.windowStart) return reached;
          stream.requestProgress();
          break;
        case "canceled":
          if (message.compactRevision > 0)
            throw newExpired(`too old resource version: ${revision} (${message.compactRevision})`);
          throw new Error(`the store ended the watch: ${message.reason}`);
      }
    }
    throw new Error("the store ended the watch");
  } finally {
    stream.cancel();
  }
}
