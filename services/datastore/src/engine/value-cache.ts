import { EtcdError, type KeyValue } from "@wherry/etcd-api";
import type { Log } from "../log/log.ts";
import { keyValueOf, type KeyVersion } from "./key-version.ts";

/** Values are asked from the log in groups of this size, so that a long list does not hold the loop. */
const READ_CHUNK = 256;

/** Overhead of a cached value beside its bytes, for the bound. */
const ENTRY_BYTES = 320;

/** Versions and their values, as they were when captured; values that were not cached are there after `complete`. */
export interface Captured {
  readonly versions: readonly KeyVersion[];
  readonly kvs: (KeyValue | undefined)[];
  missing: number;
}

/**
 * Keeps values in memory up to a bound of bytes and reads others back from the log. Eviction gives each value that was
 * used since a second chance; nothing is evicted before it is durable.
 */
export class ValueCache {
  readonly #log: Log;
  readonly #maxBytes: number;
  readonly #reads = new Set<Promise<unknown>>();
  #queue: KeyVersion[] = [];
  #head = 0;
  #bytes = 0;

  constructor(log: Log, maxBytes: number) {
    this.#log = log;
    this.#maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Takes over a version that became durable. */
  add(version: KeyVersion): void {
    if (version.kv === undefined) return;
    this.#queue.push(version);
    this.#bytes += version.size + ENTRY_BYTES;
    while (this.#bytes > this.#maxBytes && this.#head < this.#queue.length) this.#evictOne();
  }

  capture(versions: readonly KeyVersion[]): Captured {
    let missing = 0;
    const kvs = versions.map((version) => {
      version.touched = true;
      if (version.kv === undefined) missing += 1;
      return version.kv;
    });
    return { versions, kvs, missing };
  }

  /** Fills in what is missing; undefined when nothing is. */
  complete(lists: readonly Captured[]): Promise<void> | undefined {
    const wanting = lists.filter((list) => list.missing > 0);
    if (wanting.length === 0) return undefined;
    const filling = this.#fill(wanting);
    this.guard(filling);
    return filling;
  }

  /** Keeps compaction from removing what `read` still needs. Handles its rejection as far as the cache is concerned. */
  guard(read: Promise<unknown>): void {
    this.#reads.add(read);
    const forget = (): void => {
      this.#reads.delete(read);
    };
    read.then(forget, forget);
  }

  /** Resolves when every read that is under way now has ended. */
  async quiesce(): Promise<void> {
    await Promise.allSettled(this.#reads);
  }

  async #fill(lists: readonly Captured[]): Promise<void> {
    for (const list of lists) {
      const holes = [...list.kvs.keys()].filter((index) => list.kvs[index] === undefined);
      for (let start = 0; start < holes.length; start += READ_CHUNK) {
        if (start > 0) await new Promise(setImmediate);
        await this.#fillHoles(list, holes.slice(start, start + READ_CHUNK));
      }
      list.missing = 0;
    }
  }

  async #fillHoles(list: Captured, holes: readonly number[]): Promise<void> {
    const values = await this.#read(
      holes.map((index) => (list.versions[index] as KeyVersion).position),
    );
    for (const [at, index] of holes.entries()) {
      const version = list.versions[index] as KeyVersion;
      const kv = version.kv ?? keyValueOf(version, values[at] as Buffer);
      list.kvs[index] = kv;
      if (version.kv !== undefined) continue;
      version.kv = kv;
      this.add(version);
    }
  }

  async #read(positions: readonly number[]): Promise<Buffer[]> {
    try {
      return await this.#log.read(positions);
    } catch (cause) {
      throw new EtcdError(
        "unavailable",
        `etcdserver: values could not be read from the log: ${(cause as Error).message}`,
        { cause },
      );
    }
  }

  #evictOne(): void {
    const version = this.#queue[this.#head] as KeyVersion;
    this.#head += 1;
    if (this.#head > 1024 && this.#head * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
    if (version.touched) {
      version.touched = false;
      this.#queue.push(version);
      return;
    }
    version.kv = undefined;
    this.#bytes -= version.size + ENTRY_BYTES;
  }
}
