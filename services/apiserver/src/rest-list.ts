/**
 * LIST. The objects come from a snapshot of the cache at one revision; older revisions that the cache has let go are read from the store.
 *
 * | resourceVersion | match | answer |
 * |---|---|---|
 * | unset | | as of now |
 * | "0" | or NotOlderThan | what the cache shows |
 * | N | NotOlderThan, or unset without limit | the cache, once it has N |
 * | N | Exact, or unset with limit | exactly N |
 */
import { ApiError, newExpired, newTooLargeResourceVersion, type ListMeta } from "@wherry/machinery";
import type { EtcdStore } from "@wherry/etcd-api";
import type { Clock } from "@wherry/service-kit";
import { CacheEntry } from "./cache-entry.ts";
import { decodeContinue, encodeContinue } from "./continue-token.ts";
import type { ListOptions } from "./list-options.ts";
import type { ObjectSelector } from "./object-selector.ts";
import type { ResourceCache, Snapshot } from "./resource-cache.ts";
import type { ServedResource } from "./served-resource.ts";
import { SortedMap } from "./sorted-map.ts";
import { isCompacted, isFutureRevision } from "./store-error.ts";
import { prefixEnd, resourcePrefix } from "./storage-keys.ts";
import { canonicalValue, loadProtobuf, valuePrefix } from "./stored-value.ts";
import { createTurns } from "./turns.ts";
import { catchUpTimeoutMs, type WatchCache } from "./watch-cache.ts";

export interface ListDeps {
  readonly cache: WatchCache;
  readonly store: EtcdStore;
  readonly clock: Clock;
}

export interface ListResult {
  readonly entries: readonly CacheEntry[];
  readonly meta: ListMeta;
}

export async function listEntries(
  deps: ListDeps,
  served: ServedResource,
  objects: ResourceCache,
  selector: ObjectSelector,
  options: ListOptions,
  signal: AbortSignal,
): Promise<ListResult> {
  const page =
    options.continueToken === "" ? undefined : decodeContinue(options.continueToken, selector.from);
  const { snapshot, revision } = await chooseSnapshot(
    deps,
    served,
    objects,
    selector,
    options,
    page,
    signal,
  );
  const from = page === undefined || page.start < selector.from ? selector.from : page.start;
  // The whole state at any revision is cheap to send, and upstream sends it whole.
  const limit = options.resourceVersion === 0 ? 0 : options.limit;
  const turns = createTurns(deps.clock);
  const entries: CacheEntry[] = [];
  let next: string | undefined;
  for (const entry of snapshot.range(from, selector.to)) {
    if (turns.isOver()) {
      await turns.next();
      signal.throwIfAborted();
    }
    if (!selector.matchesAll && !selector.matches(entry)) continue;
    if (limit > 0 && entries.length === limit) {
      next = entry.path;
      break;
    }
    entries.push(entry);
  }
  const meta: ListMeta = {
    resourceVersion: String(revision),
    ...(next === undefined ? {} : { continue: encodeContinue({ revision, start: next }) }),
    ...(next !== undefined && selector.matchesAll
      ? { remainingItemCount: snapshot.count(next, selector.to) }
      : {}),
  };
  return { entries, meta };
}

async function chooseSnapshot(
  deps: ListDeps,
  served: ServedResource,
  objects: ResourceCache,
  selector: ObjectSelector,
  options: ListOptions,
  page: { readonly revision: number; readonly start: string } | undefined,
  signal: AbortSignal,
): Promise<{ readonly snapshot: Snapshot; readonly revision: number }> {
  const { cache } = deps;
  const { resourceVersion, resourceVersionMatch, limit } = options;
  const current = (): { snapshot: Snapshot; revision: number } => ({
    snapshot: objects.snapshot,
    revision: cache.revision,
  });
  if (page !== undefined && page.revision >= 0)
    return exactly(deps, served, objects, selector, page.revision, signal, page.start);
  if (page !== undefined || resourceVersion === undefined) {
    await cache.catchUp(signal);
    return current();
  }
  if (resourceVersion === 0) return current();
  await waitFor(cache, resourceVersion, signal);
  const isExact = resourceVersionMatch === "Exact" || (resourceVersionMatch === "" && limit > 0);
  return isExact
    ? exactly(deps, served, objects, selector, resourceVersion, signal, undefined)
    : current();
}

/** Throws 504 with cause ResourceVersionTooLarge when the revision does not come within 3 s. */
export async function waitFor(
  cache: WatchCache,
  revision: number,
  signal: AbortSignal,
): Promise<void> {
  if (await cache.waitUntil(revision, catchUpTimeoutMs, signal)) return;
  throw newTooLargeResourceVersion(String(revision), String(cache.revision), 1);
}

async function exactly(
  deps: ListDeps,
  served: ServedResource,
  objects: ResourceCache,
  selector: ObjectSelector,
  revision: number,
  signal: AbortSignal,
  pageStart: string | undefined,
): Promise<{ readonly snapshot: Snapshot; readonly revision: number }> {
  await waitFor(deps.cache, revision, signal);
  const kept = objects.snapshotAt(revision);
  if (kept !== undefined) return { snapshot: kept, revision };
  try {
    return {
      snapshot: await readSnapshot(
        deps,
        served,
        objects,
        selector,
        pageStart ?? selector.from,
        revision,
        signal,
      ),
      revision,
    };
  } catch (error) {
    if (isFutureRevision(error))
      throw newTooLargeResourceVersion(String(revision), String(deps.cache.revision), 1);
    if (!isCompacted(error)) throw error;
    if (pageStart === undefined) {
      throw newExpired("The resourceVersion for the provided list is too old.");
    }
    throw expiredPage(pageStart);
  }
}

/** 410 with a token that goes on from here on a newer state, as upstream offers it. */
function expiredPage(start: string): ApiError {
  const message =
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, " +
    "or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - " +
    "objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";
  const metadata = { continue: encodeContinue({ revision: -1, start }) } as unknown as Record<
    string,
    never
  >;
  return new ApiError({
    kind: "Status",
    apiVersion: "v1",
    metadata,
    status: "Failure",
    message,
    reason: "Expired",
    code: 410,
  });
}

const pageKeys = 2_000;

async function readSnapshot(
  { store, clock }: ListDeps,
  served: ServedResource,
  objects: ResourceCache,
  selector: ObjectSelector,
  from: string,
  revision: number,
  signal: AbortSignal,
): Promise<Snapshot> {
  const prefix = resourcePrefix(objects.storagePrefix);
  const type = { kind: served.definition.kind, apiVersion: served.definition.storageVersion };
  const typePrefix = Buffer.from(valuePrefix(type));
  const rangeEnd = Buffer.from(
    selector.to === undefined ? prefixEnd(prefix) : prefix + selector.to,
  );
  const turns = createTurns(clock);
  const entries: (readonly [string, CacheEntry])[] = [];
  let key: Buffer = Buffer.from(prefix + from);
  for (;;) {
    const response = await store.range({ key, rangeEnd, revision, limit: pageKeys }, { signal });
    await loadProtobuf(response.kvs);
    for (const kv of response.kvs) {
      const path = kv.key.toString().slice(prefix.length);
      entries.push([
        path,
        new CacheEntry(
          path,
          kv.modRevision,
          canonicalValue(kv.key.toString(), kv.value, type, typePrefix),
        ),
      ]);
      if (turns.isOver()) await turns.next();
    }
    const last = response.kvs.at(-1);
    if (last === undefined || !response.more) return SortedMap.fromSorted(entries);
    key = Buffer.concat([last.key, Buffer.from([0])]);
  }
}
