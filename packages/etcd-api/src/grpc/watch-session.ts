import { encodeMessage } from "../codec/message-codec.ts";
import {
  plainWatchResponse,
  watchEvent,
  type WatchCreate,
  type WatchRequestMessage,
  type WatchResponseMessage,
} from "../codec/watch-messages.ts";
import type { ResponseHeader, Watcher, WatchEvent, WatchMessage, WatchStream } from "../kv.ts";

/**
 * The server's side of one Watch stream, without the transport.
 *
 * 1. Requests are handled one after the other; a create is done when its `created` is sent. So answers come in order, and
 *    events of a watch come after its `created`.
 * 2. A response is sent when the transport took the one before: a slow client slows its watches down, and the store decides what
 *    becomes of a watch that lags. Nothing is queued here.
 * 3. Progress that was asked for is answered once for the whole stream, with the lowest revision that all its watches reached.
 */
export interface WatchSessionDeps {
  readonly store: Watcher;
  /** Resolves when more may be sent. Rejects when the stream is over. */
  readonly send: (message: WatchResponseMessage) => Promise<void>;
  readonly headerAt: (revision: number) => ResponseHeader;
  /** The store's revision now. */
  readonly currentRevision: () => Promise<number>;
  /** The stream cannot go on: ends it with this error. */
  readonly fail: (error: unknown) => void;
  /** Responses of watches that allow it are split when their events are larger. */
  readonly fragmentBytes: number;
}

/** Watches on one stream; a further create is refused. */
const WATCHES_MAX = 16_384;

/** The id in answers that concern every watch of the stream. */
const EVERY_WATCH = -1;

interface OpenWatch {
  readonly id: number;
  readonly stream: WatchStream;
  readonly fragment: boolean;
}

export interface WatchSession {
  receive(message: WatchRequestMessage): void;
  close(): void;
}

export function createWatchSession(deps: WatchSessionDeps): WatchSession {
  const watches = new Map<number, OpenWatch>();
  let nextId = 0;
  let isClosed = false;
  let handled: Promise<void> = Promise.resolve();
  /** Ids of watches that have not told their progress yet. */
  let asked: Set<number> | undefined;
  let lowestProgress = Number.POSITIVE_INFINITY;

  async function handle(message: WatchRequestMessage): Promise<void> {
    if (isClosed) return;
    switch (message.kind) {
      case "create":
        return create(message.create);
      case "cancel":
        return cancel(message.watchId);
      case "progress":
        return askProgress();
    }
  }

  async function create(request: WatchCreate): Promise<void> {
    const { watchId = 0, fragment = false, ...watchRequest } = request;
    if (watchId !== 0 && watches.has(watchId))
      return refuse("mvcc: duplicate watch ID provided on the WatchStream");
    if (watches.size >= WATCHES_MAX)
      return refuse(`more than ${WATCHES_MAX} watches on one stream`);
    const stream = deps.store.watch(watchRequest);
    const messages = stream[Symbol.asyncIterator]();
    const first = await messages.next();
    if (first.done === true || isClosed) return stream.cancel();
    const second =
      first.value.kind === "created" && isRefusal(request) ? await messages.next() : undefined;
    if (second?.done === false && second.value.kind === "canceled")
      return refuse(second.value.reason);
    const watch: OpenWatch = { id: watchId === 0 ? freeId() : watchId, stream, fragment };
    watches.set(watch.id, watch);
    await send(watch, {
      ...plainWatchResponse,
      header: deps.headerAt(first.value.kind === "created" ? first.value.revision : 0),
      created: true,
    });
    pump(watch, messages).catch(deps.fail);
  }

  async function refuse(cancelReason: string): Promise<void> {
    const header = deps.headerAt(await deps.currentRevision());
    await deps.send({
      ...plainWatchResponse,
      header,
      watchId: EVERY_WATCH,
      created: true,
      canceled: true,
      cancelReason,
    });
  }

  async function cancel(watchId: number): Promise<void> {
    const watch = watches.get(watchId);
    if (watch === undefined) return;
    await forget(watch);
    const header = deps.headerAt(await deps.currentRevision());
    await deps.send({ ...plainWatchResponse, header, watchId, canceled: true });
  }

  async function askProgress(): Promise<void> {
    if (watches.size === 0) return sendProgress(await deps.currentRevision());
    asked ??= new Set();
    for (const watch of watches.values()) {
      asked.add(watch.id);
      watch.stream.requestProgress();
    }
  }

  async function sendProgress(revision: number): Promise<void> {
    await deps.send({
      ...plainWatchResponse,
      header: deps.headerAt(revision),
      watchId: EVERY_WATCH,
    });
  }

  async function pump(
    watch: OpenWatch,
    messages: AsyncIterator<WatchMessage, undefined>,
  ): Promise<void> {
    for (;;) {
      const result = await messages.next();
      if (result.done === true || watches.get(watch.id) !== watch) return;
      await deliver(watch, result.value);
    }
  }

  async function deliver(watch: OpenWatch, message: WatchMessage): Promise<void> {
    switch (message.kind) {
      case "created":
        return;
      case "events":
        return sendEvents(watch, message.revision, message.events);
      case "progress":
        if (asked?.has(watch.id) === true) return progressed(watch.id, message.revision);
        return send(watch, { ...plainWatchResponse, header: deps.headerAt(message.revision) });
      case "canceled": {
        const { compactRevision, reason } = message;
        await forget(watch);
        const header = deps.headerAt(await deps.currentRevision());
        return send(watch, {
          ...plainWatchResponse,
          header,
          canceled: true,
          compactRevision,
          cancelReason: reason,
        });
      }
    }
  }

  async function sendEvents(
    watch: OpenWatch,
    revision: number,
    events: readonly WatchEvent[],
  ): Promise<void> {
    const header = deps.headerAt(revision);
    const parts = watch.fragment ? split(events, deps.fragmentBytes) : [events];
    for (const [index, part] of parts.entries()) {
      await send(watch, {
        ...plainWatchResponse,
        header,
        events: part,
        fragment: index < parts.length - 1,
      });
    }
  }

  function send(watch: OpenWatch, message: WatchResponseMessage): Promise<void> {
    return deps.send({ ...message, watchId: watch.id });
  }

  async function progressed(id: number, revision: number): Promise<void> {
    lowestProgress = Math.min(lowestProgress, revision);
    if (asked?.delete(id) !== true || asked.size > 0) return;
    asked = undefined;
    const lowest = lowestProgress;
    lowestProgress = Number.POSITIVE_INFINITY;
    await sendProgress(Number.isFinite(lowest) ? lowest : await deps.currentRevision());
  }

  /** A watch that ended stands in nobody's way. */
  function forget(watch: OpenWatch): Promise<void> {
    watches.delete(watch.id);
    watch.stream.cancel();
    return progressed(watch.id, Number.POSITIVE_INFINITY);
  }

  function freeId(): number {
    while (watches.has(nextId)) nextId += 1;
    const id = nextId;
    nextId += 1;
    return id;
  }

  return {
    receive(message) {
      handled = handled.then(() => handle(message)).catch(deps.fail);
    },
    close() {
      isClosed = true;
      for (const watch of watches.values()) watch.stream.cancel();
      watches.clear();
    },
  };
}

/** Ranges that a store refuses right after it created the watch; only for these is it worth waiting. */
function isRefusal({ key, rangeEnd }: WatchCreate): boolean {
  if (rangeEnd === undefined || rangeEnd.length === 0) return false;
  const isOpen = rangeEnd.length === 1 && rangeEnd[0] === 0;
  return !isOpen && Buffer.compare(key, rangeEnd) >= 0;
}

const encoded = new WeakMap<WatchEvent, Buffer>();

/** An event's bytes; the same event goes to many watches and is encoded once. */
export function encodedEvent(event: WatchEvent): Buffer {
  const known = encoded.get(event);
  if (known !== undefined) return known;
  const bytes = encodeMessage(
    watchEvent,
    event,
    event.kv.value.length + (event.prevKv?.value.length ?? 0) + 256,
  );
  encoded.set(event, bytes);
  return bytes;
}

function split(events: readonly WatchEvent[], maxBytes: number): WatchEvent[][] {
  const parts: WatchEvent[][] = [[]];
  let bytes = 0;
  for (const event of events) {
    const size = encodedEvent(event).length;
    if (bytes + size > maxBytes && bytes > 0) {
      parts.push([]);
      bytes = 0;
    }
    bytes += size;
    (parts.at(-1) as WatchEvent[]).push(event);
  }
  return parts;
}
