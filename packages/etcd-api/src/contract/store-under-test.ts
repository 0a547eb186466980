import type { EtcdStore, KeyValue, WatchEvent, WatchMessage, WatchStream } from "../kv.ts";

/** A store that the contract is run against. One store serves the whole suite; each test keeps to keys of its own. */
export interface StoreUnderTest {
  readonly store: EtcdStore;
  close(): Promise<void>;
  /** Moves the store's time on. Absent when the store keeps real time; then the suite waits. */
  advance?(ms: number): Promise<void>;
}

export type Subject = () => StoreUnderTest;

/** Keys and values of one test. */
export interface Scope {
  readonly store: EtcdStore;
  /** The key of this name, under the test's own prefix. */
  key(name: string): Buffer;
  /** The end of the range of all keys whose name starts with `name`. */
  end(name?: string): Buffer;
  put(name: string, value?: string, lease?: bigint): Promise<number>;
  value(name: string, revision?: number): Promise<string | undefined>;
  /** Names of the keys of this test, in the order given by a list. */
  names(kvs: readonly Pick<KeyValue, "key">[]): string[];
}

let scopes = 0;

export function scopeOf(store: EtcdStore): Scope {
  scopes += 1;
  const prefix = `scope-${scopes}-${Math.random().toString(36).slice(2)}/`;
  const key = (name: string): Buffer => Buffer.from(prefix + name);
  return {
    store,
    key,
    end: (name = "") => prefixEnd(key(name)),
    async put(name, value = name, lease = 0n) {
      const response = await store.put({ key: key(name), value: Buffer.from(value), lease });
      return response.header.revision;
    },
    async value(name, revision = 0) {
      const { kvs } = await store.range({ key: key(name), revision });
      return kvs[0]?.value.toString();
    },
    names: (kvs) => kvs.map((kv) => kv.key.toString().slice(prefix.length)),
  };
}

/** The smallest key above all keys with this prefix. */
export function prefixEnd(prefix: Buffer): Buffer {
  const end = Buffer.from(prefix);
  for (let index = end.length - 1; index >= 0; index -= 1) {
    const byte = end[index] as number;
    if (byte === 255) continue;
    end[index] = byte + 1;
    return end.subarray(0, index + 1);
  }
  return Buffer.from([0]);
}

/** Reads a watch step by step. */
export interface WatchReader {
  next(): Promise<WatchMessage>;
  /** The next `count` events, whatever messages they come in; other messages on the way are kept in `messages`. */
  events(count: number): Promise<WatchEvent[]>;
  /** Skips messages until one of this kind. */
  until<Kind extends WatchMessage["kind"]>(
    kind: Kind,
  ): Promise<Extract<WatchMessage, { kind: Kind }>>;
  /** Resolves when the stream has ended. */
  ended(): Promise<void>;
  readonly messages: WatchMessage[];
  cancel(): void;
}

export function readWatch(stream: WatchStream): WatchReader {
  const iterator = stream[Symbol.asyncIterator]();
  const messages: WatchMessage[] = [];
  const next = async (): Promise<WatchMessage> => {
    const result = await iterator.next();
    if (result.done === true) throw new Error("the watch ended");
    messages.push(result.value);
    return result.value;
  };
  return {
    next,
    messages,
    async events(count) {
      const events: WatchEvent[] = [];
      while (events.length < count) {
        const message = await next();
        if (message.kind === "events") events.push(...message.events);
        if (message.kind === "canceled")
          throw new Error(`the watch was canceled: ${message.reason}`);
      }
      return events;
    },
    async until(kind) {
      for (;;) {
        const message = await next();
        if (message.kind === kind) return message as Extract<WatchMessage, { kind: typeof kind }>;
        if (message.kind === "canceled")
          throw new Error(`the watch was canceled: ${message.reason}`);
      }
    },
    async ended() {
      for (let result = await iterator.next(); result.done !== true; result = await iterator.next())
        messages.push(result.value);
    },
    cancel: () => stream.cancel(),
  };
}

/** What an event says, in a form that tests compare. */
export function describeEvent(scope: Scope, event: WatchEvent): string {
  const [name = "?"] = scope.names([event.kv]);
  const previous = event.prevKv === undefined ? "" : ` was ${event.prevKv.value.toString()}`;
  return event.type === "delete"
    ? `delete ${name}${previous}`
    : `put ${name}=${event.kv.value.toString()}${previous}`;
}
