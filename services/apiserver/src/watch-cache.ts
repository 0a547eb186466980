/**
 * Follows the whole store with one watch and feeds every resource's cache from it.
 *
 * 1. `start` reads everything at one revision R and watches from R + 1. The cache's revision is the store's: each revision is applied to all
 *    resources at once, then `revision` moves, then listeners run.
 * 2. A watch that breaks is opened again from the next revision. If that one was compacted meanwhile, everything is read anew and the
 *    windows are emptied: external watchers are closed and resume from their last revision, subscribers get the difference.
 * 3. A consistent read asks the store for its revision and waits until the cache has it. Reads that arrive while a question is under
 *    way share the next one.
 */
import type { EtcdStore, KeyValue, WatchEvent as StoreEvent, WatchStream } from "@wherry/etcd-api";
import { newTooLargeResourceVersion } from "@wherry/machinery";
import type { Clock, Logger } from "@wherry/service-kit";
import { CacheEntry } from "./cache-entry.ts";
import { createTurns } from "./turns.ts";
import { ResourceCache, type CacheChange, type ResourceCacheLimits } from "./resource-cache.ts";
import { registryRoot, resourcePrefix, prefixEnd, splitStorageKey } from "./storage-keys.ts";
import { canonicalValue, loadProtobuf, valuePrefix, type TypeIdentity } from "./stored-value.ts";

export interface StoredType extends TypeIdentity {
  readonly storagePrefix: string;
}

export interface WatchCacheDeps {
  readonly store: EtcdStore;
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits?: ResourceCacheLimits;
  /** The store's revision without asking it, when it lives in this process. */
  readonly storeRevision?: () => number;
}

/** Keys read at once while loading. */
const loadPageKeys = 2_000;
/** How long a read waits for the cache to show a revision. */
export const catchUpTimeoutMs = 3_000;
/** Waiting before a broken watch is opened again: doubled each time up to the maximum. */
const reopenDelayMs = { first: 100, max: 5_000 };
const everyKey = Buffer.from([0]);
/** A key that is asked for only to learn the store's revision. */
const revisionProbeKey = Buffer.from(`${registryRoot}health`);

interface FollowedResource {
  readonly type: StoredType;
  readonly prefix: Buffer;
  readonly cache: ResourceCache;
  /** Changes that arrive while the resource is being loaded. */
  pending: CacheChange[] | undefined;
}

interface Waiter {
  readonly revision: number;
  readonly resolve: () => void;
}

export class WatchCache {
  readonly #deps: WatchCacheDeps;
  readonly #resources = new Map<string, FollowedResource>();
  readonly #waiters = new Set<Waiter>();
  readonly #stopping = new AbortController();
  #revision = 0;
  #stream: WatchStream | undefined;
  #following: Promise<void> | undefined;
  #broken: string | undefined;
  #question: Promise<number> | undefined;
  #nextQuestion: Promise<number> | undefined;

  constructor(deps: WatchCacheDeps) {
    this.#deps = deps;
  }

  /** Everything up to this revision is in the caches. */
  get revision(): number {
    return this.#revision;
  }

  /** Why the cache does not follow the store at the moment; undefined when it does. */
  get failure(): string | undefined {
    return this.#broken;
  }

  cache(storagePrefix: string): ResourceCache | undefined {
    const followed = this.#resources.get(storagePrefix);
    return followed?.pending === undefined ? followed?.cache : undefined;
  }

  /** Before `start`: registers. Afterwards: reads what is there already, then follows. */
  async add(type: StoredType): Promise<void> {
    if (this.#resources.has(type.storagePrefix)) return;
    const followed: FollowedResource = {
      type,
      prefix: Buffer.from(valuePrefix(type)),
      cache: new ResourceCache(type.storagePrefix, this.#deps.limits),
      pending: undefined,
    };
    this.#resources.set(type.storagePrefix, followed);
    if (this.#following === undefined) return;
    followed.pending = [];
    const prefix = resourcePrefix(type.storagePrefix);
    const entries: CacheEntry[] = [];
    const revision = await this.#readRange(prefix, prefixEnd(prefix), (kv) => {
      entries.push(this.#entryOf(followed, kv.key.toString().slice(prefix.length), kv));
    });
    await this.waitUntil(revision, 30_000, this.#stopping.signal);
    followed.cache.reset(entries, revision);
    for (const change of followed.pending)
      if (change.revision > revision) followed.cache.apply([change]);
    followed.pending = undefined;
  }

  remove(storagePrefix: string): void {
    this.#resources.delete(storagePrefix);
  }

  async start(signal: AbortSignal): Promise<void> {
    await this.#load(signal);
    this.#following = this.#follow();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#stream?.cancel();
    await this.#following;
  }

  /** True once the cache has `revision`; false when that took longer than `timeoutMs`. */
  async waitUntil(revision: number, timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    if (this.#revision >= revision) return true;
    signal?.throwIfAborted();
    return new Promise<boolean>((resolve, reject) => {
      const settle = (outcome: () => void): void => {
        this.#waiters.delete(waiter);
        timer.cancel();
        signal?.removeEventListener("abort", onAbort);
        outcome();
      };
      const waiter: Waiter = { revision, resolve: () => settle(() => resolve(true)) };
      const timer = this.#deps.clock.setTimer(timeoutMs, () => settle(() => resolve(false)));
      const onAbort = (): void => settle(() => reject(signal?.reason as Error));
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#waiters.add(waiter);
    });
  }

  /** Waits until the cache shows everything that was committed before this call. Throws 504 after 3 s, so that the client tries again. */
  async catchUp(signal?: AbortSignal): Promise<void> {
    const wanted = await this.storeRevision();
    if (await this.waitUntil(wanted, catchUpTimeoutMs, signal)) return;
    throw newTooLargeResourceVersion(String(wanted), String(this.#revision), 1);
  }

  /** The store's revision, asked for after this call was made. */
  async storeRevision(): Promise<number> {
    if (this.#deps.storeRevision !== undefined) return this.#deps.storeRevision();
    if (this.#question === undefined) return this.#ask();
    this.#nextQuestion ??= this.#question.then(
      () => this.#ask(),
      () => this.#ask(),
    );
    return this.#nextQuestion;
  }

  async #ask(): Promise<number> {
    this.#nextQuestion = undefined;
    const question = this.#deps.store
      .range({ key: revisionProbeKey, countOnly: true })
      .then((response) => response.header.revision);
    this.#question = question;
    try {
      return await question;
    } finally {
      if (this.#question === question) this.#question = undefined;
    }
  }

  /** Reads everything at one revision and resets all caches to it. */
  async #load(signal: AbortSignal): Promise<void> {
    const entries = new Map<string, CacheEntry[]>(
      [...this.#resources.keys()].map((storagePrefix) => [storagePrefix, []]),
    );
    const revision = await this.#readRange(
      registryRoot,
      prefixEnd(registryRoot),
      (kv) => {
        const place = splitStorageKey(kv.key.toString(), this.#resources);
        if (place === undefined) return;
        entries
          .get(place.storagePrefix)
          ?.push(this.#entryOf(this.#resources.get(place.storagePrefix)!, place.path, kv));
      },
      signal,
    );
    for (const [storagePrefix, followed] of this.#resources)
      followed.cache.reset(entries.get(storagePrefix) ?? [], revision);
    this.#moveTo(revision);
    for (const followed of this.#resources.values()) followed.cache.notify();
  }

  async #readRange(
    from: string,
    to: string,
    take: (kv: KeyValue) => void,
    signal = this.#stopping.signal,
  ): Promise<number> {
    const rangeEnd = Buffer.from(to);
    const turns = createTurns(this.#deps.clock);
    let key: Buffer = Buffer.from(from);
    let revision = 0;
    for (;;) {
      const response = await this.#deps.store.range(
        { key, rangeEnd, limit: loadPageKeys, revision },
        { signal },
      );
      revision ||= response.header.revision;
      await loadProtobuf(response.kvs);
      for (const kv of response.kvs) {
        take(kv);
        if (turns.isOver()) await turns.next();
      }
      const last = response.kvs.at(-1);
      if (last === undefined || (!response.more && response.kvs.length >= response.count))
        return revision;
      key = Buffer.concat([last.key, everyKey]);
    }
  }

  async #follow(): Promise<void> {
    const { clock, log } = this.#deps;
    const { signal } = this.#stopping;
    let delayMs = reopenDelayMs.first;
    while (!signal.aborted) {
      let reason: string;
      try {
        const before = this.#revision;
        const compacted = await this.#consume();
        if (signal.aborted) return;
        reason = compacted ? "history was compacted" : "the store ended the watch";
        if (compacted) {
          log.warn(
            { revision: this.#revision },
            "the store's history is gone beyond the cache's revision; reading everything anew",
          );
          await this.#load(signal);
        }
        if (compacted || this.#revision > before) delayMs = reopenDelayMs.first;
      } catch (error) {
        if (signal.aborted) return;
        reason = error instanceof Error ? error.message : String(error);
      }
      this.#broken = reason;
      log.warn(
        { revision: this.#revision, reason },
        "the watch on the store broke; opening it again",
      );
      await clock.sleep(delayMs, signal).catch(() => {});
      delayMs = Math.min(delayMs * 2, reopenDelayMs.max);
    }
  }

  /** Reads one watch to its end. True = the wanted revisions were compacted. */
  async #consume(): Promise<boolean> {
    const stream = this.#deps.store.watch(
      {
        key: everyKey,
        rangeEnd: everyKey,
        startRevision: this.#revision + 1,
        progressNotify: true,
      },
      { signal: this.#stopping.signal },
    );
    this.#stream = stream;
    const turns = createTurns(this.#deps.clock);
    for await (const message of stream) {
      switch (message.kind) {
        case "created":
          this.#broken = undefined;
          break;
        case "events":
          await loadProtobuf(valuesOf(message.events));
          for (const revisionEvents of byRevision(message.events)) {
            this.#apply(revisionEvents);
            if (turns.isOver()) await turns.next();
          }
          break;
        case "progress":
          if (message.revision > this.#revision) this.#moveTo(message.revision);
          break;
        case "canceled":
          return message.compactRevision > 0;
      }
    }
    return false;
  }

  #apply(events: readonly StoreEvent[]): void {
    const revision = events[0]!.kv.modRevision;
    const changes = new Map<FollowedResource, CacheChange[]>();
    for (const event of events) {
      const place = splitStorageKey(event.kv.key.toString(), this.#resources);
      if (place === undefined) continue;
      const followed = this.#resources.get(place.storagePrefix)!;
      const change: CacheChange = {
        path: place.path,
        revision,
        value: event.type === "put" ? this.#readable(followed, event.kv) : undefined,
      };
      const list = changes.get(followed);
      if (list === undefined) changes.set(followed, [change]);
      else list.push(change);
    }
    for (const [followed, list] of changes) {
      if (followed.pending === undefined) followed.cache.apply(list);
      else followed.pending.push(...list);
    }
    this.#moveTo(revision);
    for (const followed of changes.keys()) followed.cache.notify();
  }

  #readable(followed: FollowedResource, kv: KeyValue): Buffer {
    return canonicalValue(kv.key.toString(), kv.value, followed.type, followed.prefix);
  }

  #entryOf(followed: FollowedResource, path: string, kv: KeyValue): CacheEntry {
    return new CacheEntry(path, kv.modRevision, this.#readable(followed, kv));
  }

  #moveTo(revision: number): void {
    this.#revision = revision;
    for (const waiter of this.#waiters) if (waiter.revision <= revision) waiter.resolve();
  }
}

function* valuesOf(events: readonly StoreEvent[]): Generator<KeyValue> {
  for (const event of events) yield event.kv;
}

function* byRevision(events: readonly StoreEvent[]): Generator<readonly StoreEvent[]> {
  let start = 0;
  for (let end = 1; end <= events.length; end++) {
    if (end < events.length && events[end]!.kv.modRevision === events[start]!.kv.modRevision)
      continue;
    yield start === 0 && end === events.length ? events : events.slice(start, end);
    start = end;
  }
}
