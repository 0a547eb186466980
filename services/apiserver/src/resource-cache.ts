/**
 * The cache of one resource (one storage prefix): the objects as of the last applied revision, and the most recent events.
 *
 * 1. Snapshots are persistent maps; the last `snapshotsMax` roots answer reads at exact revisions and continue tokens.
 * 2. Events are numbered without gaps (`sequence`). The window keeps the last `eventsMax`; `windowStart` is the revision after which all
 *    events are still there. A reader is a cursor into the window and needs no queue of its own.
 * 3. Listeners are told after the whole revision was applied.
 */
import { CacheEntry } from "./cache-entry.ts";
import { SortedMap } from "./sorted-map.ts";

export interface CacheEvent {
  readonly sequence: number;
  /** The revision of the change: that of `entry`, or of the delete. */
  readonly revision: number;
  /** The new state; undefined for a delete. */
  readonly entry: CacheEntry | undefined;
  /** The state before; undefined for a new object. */
  readonly previous: CacheEntry | undefined;
  /** Encoded frames by encoding and type, shared by all watchers and dropped once the event is old. */
  frames: Map<string, Buffer> | undefined;
}

export interface CacheChange {
  readonly path: string;
  readonly revision: number;
  /** undefined = delete. */
  readonly value: Buffer | undefined;
}

export interface ResourceCacheLimits {
  readonly eventsMax: number;
  readonly snapshotsMax: number;
}

export const defaultResourceCacheLimits: ResourceCacheLimits = {
  eventsMax: 1024,
  snapshotsMax: 128,
};

/** How many of the newest events keep their encoded frames. */
const framesKept = 64;

export type Snapshot = SortedMap<CacheEntry>;

export class ResourceCache {
  readonly storagePrefix: string;
  readonly #limits: ResourceCacheLimits;
  readonly #listeners = new Set<() => void>();
  #snapshot: Snapshot = SortedMap.empty();
  /** Roots by the revision that made them, oldest first. */
  #roots: { readonly revision: number; readonly snapshot: Snapshot }[] = [];
  #events: CacheEvent[] = [];
  #firstSequence = 0;
  #windowStart = 0;

  constructor(storagePrefix: string, limits: ResourceCacheLimits = defaultResourceCacheLimits) {
    this.storagePrefix = storagePrefix;
    this.#limits = limits;
  }

  get snapshot(): Snapshot {
    return this.#snapshot;
  }

  /** All events with a revision above this one are in the window. */
  get windowStart(): number {
    return this.#windowStart;
  }

  get nextSequence(): number {
    return this.#firstSequence + this.#events.length;
  }

  /** Replaces everything by what the store held at `revision`. Cursors from before are lost. */
  reset(entries: readonly CacheEntry[], revision: number): void {
    this.#snapshot = SortedMap.fromSorted(entries.map((entry) => [entry.path, entry] as const));
    this.#roots = [{ revision, snapshot: this.#snapshot }];
    this.#firstSequence = this.nextSequence + 1;
    this.#events = [];
    this.#windowStart = revision;
  }

  /** Applies all changes of one revision; call `notify` when all resources have theirs. */
  apply(changes: readonly CacheChange[]): void {
    let snapshot = this.#snapshot;
    let revision = 0;
    for (const change of changes) {
      revision = change.revision;
      const previous = snapshot.get(change.path);
      if (change.value === undefined) {
        if (previous === undefined) continue;
        snapshot = snapshot.delete(change.path);
        this.#push({
          sequence: this.nextSequence,
          revision,
          entry: undefined,
          previous,
          frames: undefined,
        });
      } else {
        const entry = new CacheEntry(change.path, revision, change.value);
        snapshot = snapshot.set(change.path, entry);
        this.#push({ sequence: this.nextSequence, revision, entry, previous, frames: undefined });
      }
    }
    if (snapshot === this.#snapshot) return;
    this.#snapshot = snapshot;
    this.#roots.push({ revision, snapshot });
    if (this.#roots.length > this.#limits.snapshotsMax) this.#roots.shift();
  }

  /** The objects as they were at `revision`; undefined when that root is gone. `revision` must not be ahead of the cache. */
  snapshotAt(revision: number): Snapshot | undefined {
    for (let index = this.#roots.length - 1; index >= 0; index--) {
      const root = this.#roots[index]!;
      if (root.revision <= revision) return root.snapshot;
    }
    return undefined;
  }

  /** The event with this number: "gone" when the window has moved past it, undefined when it has not happened yet. */
  event(sequence: number): CacheEvent | "gone" | undefined {
    if (sequence < this.#firstSequence) return "gone";
    return this.#events[sequence - this.#firstSequence];
  }

  /** Number of the first event with a revision above `revision` (which must not be below `windowStart`). */
  sequenceAfter(revision: number): number {
    let low = 0;
    let high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#events[middle]!.revision <= revision) low = middle + 1;
      else high = middle;
    }
    return this.#firstSequence + low;
  }

  /** `listener` is called after events were added or the cache was reset. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  get listenerCount(): number {
    return this.#listeners.size;
  }

  notify(): void {
    for (const listener of this.#listeners) listener();
  }

  #push(event: CacheEvent): void {
    this.#events.push(event);
    const cooling = this.#events[this.#events.length - 1 - framesKept];
    if (cooling !== undefined) cooling.frames = undefined;
    // Dropping in blocks keeps the array from being moved on each event.
    if (this.#events.length > this.#limits.eventsMax + (this.#limits.eventsMax >>> 3)) {
      let count = this.#events.length - this.#limits.eventsMax;
      // A revision's events are dropped together, so that windowStart never promises half of one.
      const last = this.#events[count - 1]!.revision;
      while (count < this.#events.length && this.#events[count]!.revision === last) count++;
      this.#events.splice(0, count);
      this.#firstSequence += count;
      this.#windowStart = last;
    }
  }
}
