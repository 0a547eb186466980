import {
  etcdErrors,
  type KeyValue,
  type WatchEvent,
  type WatchMessage,
  type WatchRequest,
  type WatchStream,
} from "@wherry/etcd-api";
import { createDeferred, type Clock, type Deferred, type Timer } from "@wherry/service-kit";
import {
  EMPTY,
  keyBufferOf,
  keyRangeOf,
  previousOf,
  rangeContains,
  type KeyRange,
  type KeyText,
  type KeyVersion,
} from "./key-version.ts";
import type { State } from "./state.ts";
import type { Captured, ValueCache } from "./value-cache.ts";
import { WatchIndex } from "./watch-index.ts";

/**
 * Hands durable changes to watches.
 *
 * 1. A watch is either *current*: the hub queues each event for it as it becomes durable; or *behind*: it reads history from
 *    the revision it needs next, and becomes current when it has reached the end.
 * 2. A current watch whose queue reaches its bound falls behind: the queue is dropped and read again from history when the
 *    consumer goes on. A slow consumer therefore costs no memory; it is cancelled when what it needs is compacted away.
 * 3. Messages hold whole revisions, in order, each event once.
 */
export interface WatchHubDeps {
  readonly state: State;
  readonly cache: ValueCache;
  readonly clock: Clock;
  readonly durableRevision: () => number;
  readonly progressIntervalMs: number;
}

/** A watch may have this much queued before it falls behind. */
const QUEUE_MAX_EVENTS = 1000;
const QUEUE_MAX_BYTES = 8 * 1024 * 1024;

/** A message holds no more than this, unless one revision does. */
const MESSAGE_MAX_EVENTS = 1000;
const MESSAGE_MAX_BYTES = 1024 * 1024;

/** History that a watch looks through before it lets others run. */
const SLICE_VERSIONS = 5000;

/** Events that are being made for several watches are found again among the last ones, unless they are big. */
const SHARED_EVENTS = 256;
const SHARED_EVENT_MAX_BYTES = 64 * 1024;

export class WatchHub {
  readonly deps: WatchHubDeps;
  readonly #current = new WatchIndex<Watch>();
  readonly #open = new Map<Watch, () => void>();
  readonly #shared: PublishedEvent[] = [];
  #failure: unknown;
  #progressTimer: Timer | undefined;

  constructor(deps: WatchHubDeps) {
    this.deps = deps;
  }

  get size(): number {
    return this.#open.size;
  }

  /** `onEnd` is called once, when the hub holds nothing of the watch any more. */
  watch(request: WatchRequest, onEnd: () => void): WatchStream {
    const watch = new Watch(this, request);
    if (this.#failure !== undefined) {
      watch.fail(this.#failure);
      return watch;
    }
    this.#open.set(watch, onEnd);
    if (request.progressNotify === true) this.#armProgress();
    return watch;
  }

  /** The versions are durable now. They come in order of revision, and a revision comes as a whole. */
  publish(versions: readonly KeyVersion[]): void {
    const woken = new Set<Watch>();
    for (const version of versions) {
      let event: PublishedEvent | undefined;
      this.#current.visit(version.entry.key, (watch) => {
        if (!watch.wants(version)) return;
        event ??= this.event(version);
        watch.queue(event);
        woken.add(watch);
      });
    }
    for (const watch of woken) watch.wake();
  }

  /** The event of a version, shared by the watches that it goes to. */
  event(version: KeyVersion): PublishedEvent {
    const slot = version.position % SHARED_EVENTS;
    const shared = this.#shared[slot];
    if (shared?.version === version) return shared;
    const event = new PublishedEvent(version, this.deps.cache);
    if (event.size <= SHARED_EVENT_MAX_BYTES) this.#shared[slot] = event;
    return event;
  }

  /** After a compaction cut versions off: an event made before may lack a value that is gone now. */
  forgetShared(): void {
    this.#shared.length = 0;
  }

  /** Ends all watches; later ones end at once. */
  fail(error: unknown): void {
    this.#failure ??= error;
    this.#progressTimer?.cancel();
    for (const watch of this.#open.keys()) {
      watch.fail(error);
      this.forget(watch);
    }
    this.#shared.length = 0;
  }

  follow(watch: Watch): void {
    this.#current.add(watch);
  }

  unfollow(watch: Watch): void {
    this.#current.remove(watch);
  }

  forget(watch: Watch): void {
    this.#current.remove(watch);
    this.#open.get(watch)?.();
    this.#open.delete(watch);
  }

  /** Runs only while a watch wants to be told of progress. */
  #armProgress(): void {
    if (this.#progressTimer !== undefined) return;
    this.#progressTimer = this.deps.clock.setTimer(this.deps.progressIntervalMs, () => {
      this.#progressTimer = undefined;
      let isWanted = false;
      for (const watch of this.#open.keys()) isWanted = watch.tickProgress() || isWanted;
      if (isWanted && this.#failure === undefined) this.#armProgress();
    });
  }
}

/**
 * One event with what it needs: captured while the previous version is certainly there. A watch that will deliver the event calls
 * `ready` at once, so that missing values are read before a compaction can remove them.
 */
export class PublishedEvent {
  readonly version: KeyVersion;
  readonly size: number;
  readonly #cache: ValueCache;
  readonly #value: Needed | undefined;
  readonly #previous: Needed | undefined;
  #plain: WatchEvent | undefined;
  #withPrevious: WatchEvent | undefined;

  constructor(version: KeyVersion, cache: ValueCache) {
    const previous = previousOf(version);
    this.version = version;
    this.#cache = cache;
    this.#value = version.deleted
      ? undefined
      : { captured: cache.capture([version]), filling: undefined };
    this.#previous =
      previous === undefined
        ? undefined
        : { captured: cache.capture([previous]), filling: undefined };
    this.size = version.size + (previous?.size ?? 0);
  }

  /** Undefined when the event can be built. */
  ready(withPrevious: boolean): Promise<unknown> | undefined {
    const waits = [
      this.#fill(this.#value),
      withPrevious ? this.#fill(this.#previous) : undefined,
    ].filter((wait) => wait !== undefined);
    return waits.length === 0 ? undefined : Promise.all(waits);
  }

  build(withPrevious: boolean): WatchEvent {
    if (!withPrevious || this.#previous === undefined) return (this.#plain ??= this.#make());
    return (this.#withPrevious ??= {
      ...this.#make(),
      prevKv: this.#previous.captured.kvs[0] as KeyValue,
    });
  }

  #fill(needed: Needed | undefined): Promise<void> | undefined {
    if (needed === undefined || needed.captured.missing === 0) return undefined;
    needed.filling ??= this.#cache.complete([needed.captured]);
    return needed.filling;
  }

  #make(): WatchEvent {
    if (this.#value !== undefined)
      return { type: "put", kv: this.#value.captured.kvs[0] as KeyValue };
    const key = keyBufferOf(this.version.entry.key);
    const modRevision = this.version.revision;
    return {
      type: "delete",
      kv: { key, createRevision: 0, modRevision, version: 0, value: EMPTY, lease: 0n },
    };
  }
}

interface Needed {
  readonly captured: Captured;
  filling: Promise<void> | undefined;
}

class Watch implements WatchStream {
  readonly range: KeyRange;
  readonly #hub: WatchHub;
  readonly #request: WatchRequest;
  readonly #createdRevision: number;
  /** While behind: the first revision that was not delivered. */
  #next: number;
  #mode: "behind" | "current" = "behind";
  #isCreatedSent = false;
  #wantsProgress = false;
  #isQuiet = false;
  #queue: PublishedEvent[] = [];
  #queueBytes = 0;
  #end:
    | { readonly kind: "done" }
    | { readonly kind: "failed"; readonly error: unknown }
    | undefined;
  #waiting: Deferred<void> | undefined;
  #pull: Promise<unknown> = Promise.resolve();

  constructor(hub: WatchHub, request: WatchRequest) {
    this.#hub = hub;
    this.#request = request;
    this.range = watchRangeOf(request);
    this.#createdRevision = hub.deps.durableRevision();
    const start = request.startRevision ?? 0;
    this.#next = start > 0 ? start : this.#createdRevision + 1;
    this.#tryFollow();
  }

  wants(version: KeyVersion): boolean {
    if (version.revision < this.#next) return false;
    return this.#request.filters?.includes(version.deleted ? "noDelete" : "noPut") !== true;
  }

  queue(event: PublishedEvent): void {
    this.#queue.push(event);
    this.#queueBytes += event.size;
    // Whoever delivers the event sees the failure of its reading.
    event.ready(this.#request.prevKv === true)?.catch(() => {});
    if (this.#queue.length <= QUEUE_MAX_EVENTS && this.#queueBytes <= QUEUE_MAX_BYTES) return;
    this.#next = (this.#queue[0] as PublishedEvent).version.revision;
    this.#queue = [];
    this.#queueBytes = 0;
    this.#mode = "behind";
    this.#hub.unfollow(this);
  }

  wake(): void {
    this.#waiting?.resolve();
    this.#waiting = undefined;
  }

  fail(error: unknown): void {
    this.#end ??= { kind: "failed", error };
    this.wake();
  }

  /** Whether the watch wants further ticks. */
  tickProgress(): boolean {
    if (this.#request.progressNotify !== true) return false;
    if (this.#isQuiet) this.requestProgress();
    this.#isQuiet = true;
    return true;
  }

  requestProgress(): void {
    this.#wantsProgress = true;
    this.wake();
  }

  cancel(): void {
    this.#end ??= { kind: "done" };
    this.#hub.forget(this);
    this.#queue = [];
    this.wake();
  }

  [Symbol.asyncIterator](): AsyncIterator<WatchMessage, undefined> {
    return {
      next: () => {
        const result = this.#pull.then(() => this.#nextMessage());
        this.#pull = result.catch(() => {});
        return result;
      },
      return: async () => {
        this.cancel();
        return { done: true, value: undefined };
      },
    };
  }

  async #nextMessage(): Promise<IteratorResult<WatchMessage, undefined>> {
    for (;;) {
      if (this.#end !== undefined) {
        const end = this.#end;
        this.#end = { kind: "done" };
        if (end.kind === "failed") throw end.error;
        return { done: true, value: undefined };
      }
      const message = await this.#stepOrFail();
      if (message === undefined) continue;
      if (message.kind === "canceled") this.cancel();
      this.#isQuiet = false;
      return { done: false, value: message };
    }
  }

  async #stepOrFail(): Promise<WatchMessage | undefined> {
    try {
      return await this.#step();
    } catch (error) {
      this.cancel();
      throw error;
    }
  }

  async #step(): Promise<WatchMessage | undefined> {
    if (!this.#isCreatedSent) {
      this.#isCreatedSent = true;
      return { kind: "created", revision: this.#createdRevision };
    }
    if (isEmptyRange(this.range))
      return { kind: "canceled", compactRevision: 0, reason: "mvcc: watcher range is empty" };
    if (this.#mode === "behind") return this.#stepBehind();
    if (this.#queue.length > 0) return this.#deliver(this.#takeQueued());
    if (this.#wantsProgress) {
      this.#wantsProgress = false;
      return { kind: "progress", revision: this.#hub.deps.durableRevision() };
    }
    this.#waiting = createDeferred();
    await this.#waiting.promise;
    return undefined;
  }

  async #stepBehind(): Promise<WatchMessage | undefined> {
    const { state } = this.#hub.deps;
    if (this.#next < state.compactRevision) {
      const reason = etcdErrors.compacted().message;
      return { kind: "canceled", compactRevision: state.compactRevision, reason };
    }
    const events = this.#readHistory();
    this.#tryFollow();
    if (events.length > 0) return this.#deliver(events);
    if (this.#mode === "behind") await new Promise(setImmediate);
    return undefined;
  }

  /** Takes whole revisions from history, up to the bounds, and moves on past them. */
  #readHistory(): PublishedEvent[] {
    const { state, durableRevision } = this.#hub.deps;
    const { history } = state;
    const durable = durableRevision();
    const events: PublishedEvent[] = [];
    let bytes = 0;
    let looked = 0;
    let revision = 0;
    for (let index = history.indexOf(this.#next); index < history.length; index += 1) {
      const version = history.at(index);
      if (version.revision > durable) break;
      const isBoundary = version.revision !== revision;
      if (
        isBoundary &&
        (events.length >= MESSAGE_MAX_EVENTS ||
          bytes >= MESSAGE_MAX_BYTES ||
          looked >= SLICE_VERSIONS)
      ) {
        this.#next = version.revision;
        return events;
      }
      revision = version.revision;
      looked += 1;
      if (!rangeContains(this.range, version.entry.key) || !this.wants(version)) continue;
      const event = this.#hub.event(version);
      events.push(event);
      bytes += event.size;
    }
    this.#next = Math.max(this.#next, durable + 1);
    return events;
  }

  #tryFollow(): void {
    if (
      this.#mode === "current" ||
      this.#next <= this.#hub.deps.durableRevision() ||
      this.#end !== undefined
    )
      return;
    this.#mode = "current";
    this.#hub.follow(this);
  }

  #takeQueued(): PublishedEvent[] {
    let count = 0;
    let bytes = 0;
    let revision = 0;
    for (const event of this.#queue) {
      const isBoundary = event.version.revision !== revision;
      if (isBoundary && (count >= MESSAGE_MAX_EVENTS || bytes >= MESSAGE_MAX_BYTES)) break;
      revision = event.version.revision;
      bytes += event.size;
      count += 1;
    }
    this.#queueBytes -= bytes;
    return this.#queue.splice(0, count);
  }

  async #deliver(events: readonly PublishedEvent[]): Promise<WatchMessage> {
    const withPrevious = this.#request.prevKv === true;
    const waits = events
      .map((event) => event.ready(withPrevious))
      .filter((wait) => wait !== undefined);
    if (waits.length > 0) await Promise.all(waits);
    const revision = (events.at(-1) as PublishedEvent).version.revision;
    return { kind: "events", revision, events: events.map((event) => event.build(withPrevious)) };
  }
}

/** An empty key means the first possible one, as etcd reads it. */
function watchRangeOf({ key, rangeEnd }: WatchRequest): KeyRange {
  return keyRangeOf(key.length === 0 ? Buffer.from([0]) : key, rangeEnd);
}

function isEmptyRange(range: KeyRange): boolean {
  const to: KeyText | undefined = range.kind === "span" ? range.to : undefined;
  return range.kind === "span" && to !== undefined && to <= range.from;
}
