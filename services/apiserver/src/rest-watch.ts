/**
 * WATCH. A watch is a cursor into the resource cache's window of events: it holds no queue of its own.
 *
 * 1. Where it begins: at a snapshot that is sent as ADDED events (resourceVersion unset or "0", or sendInitialEvents), or after a revision.
 *    A revision before the window is fetched from the store's log first; a compacted one is answered with an ERROR event, code 410.
 * 2. While the peer takes what is written, events are written as they come. When it does not, the cursor waits for it. If the window
 *    moves past the cursor meanwhile, the stream is closed and the client resumes from its last revision.
 * 3. It ends after its timeout (a last bookmark goes out first), when the server shuts down, or when the peer leaves.
 */
import { statusOf } from "@wherry/machinery";
import type { EtcdStore } from "@wherry/etcd-api";
import { createDeferred, type Clock } from "@wherry/service-kit";
import type { BookmarkClock } from "./bookmark-clock.ts";
import type { CacheEntry } from "./cache-entry.ts";
import type { ResponseStream } from "./exchange.ts";
import type { ListOptions } from "./list-options.ts";
import { joinPieces, type ObjectEncoding } from "./object-encoding.ts";
import type { ObjectSelector } from "./object-selector.ts";
import type { CacheEvent, ResourceCache, Snapshot } from "./resource-cache.ts";
import { waitFor } from "./rest-list.ts";
import { readStoreLog } from "./store-log.ts";
import type { TypeIdentity } from "./stored-value.ts";
import { createTurns } from "./turns.ts";
import type { WatchCache } from "./watch-cache.ts";
import { selectEvent, type SelectedEvent } from "./watch-selection.ts";

export interface WatchDeps {
  readonly cache: WatchCache;
  readonly store: EtcdStore;
  readonly clock: Clock;
  readonly bookmarks: BookmarkClock;
  /** 0 <= x < 1; spreads the ends of watches without a timeout. */
  readonly random: () => number;
  /** Aborted when the server shuts down. */
  readonly shutdown: AbortSignal;
}

export interface WatchRequest {
  readonly objects: ResourceCache;
  readonly type: TypeIdentity;
  readonly selector: ObjectSelector;
  readonly encoding: ObjectEncoding;
  readonly options: ListOptions;
  /** Aborted when the peer has gone. */
  readonly signal: AbortSignal;
  readonly onEvent?: () => void;
}

/** A watch without timeoutSeconds lasts between once and twice this long. */
const defaultTimeoutMs = 1_800_000;
const initialEventsEnd = { "k8s.io/initial-events-end": "true" };
/** Initial events are written in chunks of about this many bytes. */
const chunkBytes = 64 * 1024;

export interface WatchStart {
  /** Sent as ADDED events first. */
  readonly initial: Snapshot | undefined;
  /** Events after this revision follow. */
  readonly revision: number;
}

/** Waits as far as needed and decides where the watch begins. What it throws is answered as a Status, before the stream starts. */
export async function prepareWatch(
  { cache }: WatchDeps,
  { objects, options, signal }: WatchRequest,
): Promise<WatchStart> {
  const { resourceVersion, sendInitialEvents } = options;
  if (resourceVersion !== undefined && resourceVersion > 0) {
    if (sendInitialEvents !== true) return { initial: undefined, revision: resourceVersion };
    await waitFor(cache, resourceVersion, signal);
  } else if (resourceVersion === undefined) {
    await cache.catchUp(signal);
  }
  return {
    initial: sendInitialEvents === false ? undefined : objects.snapshot,
    revision: cache.revision,
  };
}

/** Resolves when the watch is over; never rejects. */
export async function runWatch(
  deps: WatchDeps,
  request: WatchRequest,
  start: WatchStart,
  stream: ResponseStream,
): Promise<void> {
  const { cache, clock, bookmarks, shutdown } = deps;
  const { objects, selector, encoding, options, signal } = request;
  const over = createDeferred();
  const cleanups: (() => void)[] = [];
  let sequence = start.initial === undefined ? -1 : objects.nextSequence;
  let shownRevision = start.revision;
  let isFirst = encoding.firstObject !== undefined;
  /** True while events are not taken from the window: initial events, log reading, a full peer. */
  let paused = true;

  const finish = (how: "end" | "abort"): void => {
    if (over.settled) return;
    for (const cleanup of cleanups) cleanup();
    if (how === "end") stream.end();
    else stream.abort();
    over.resolve();
  };

  const frameOf = (event: SelectedEvent, shared: CacheEvent | undefined): Buffer => {
    if (isFirst) {
      isFirst = false;
      return frame(encoding, event.type, encoding.firstObject!(event.entry, event.revision));
    }
    if (shared === undefined)
      return frame(encoding, event.type, encoding.object(event.entry, event.revision));
    const key = `${event.type} ${encoding.key}`;
    shared.frames ??= new Map();
    let bytes = shared.frames.get(key);
    if (bytes === undefined) {
      bytes = frame(encoding, event.type, encoding.object(event.entry, event.revision));
      shared.frames.set(key, bytes);
    }
    return bytes;
  };

  const pump = (): void => {
    if (paused || over.settled) return;
    const turns = createTurns(clock);
    for (;;) {
      const event = objects.event(sequence);
      if (event === undefined) return;
      if (event === "gone") return finish("end");
      sequence += 1;
      if (event.revision <= shownRevision) continue;
      const selected = selectEvent(selector, event);
      if (selected === undefined) continue;
      shownRevision = event.revision;
      request.onEvent?.();
      if (!stream.write(frameOf(selected, event))) return pauseUntil(stream.drained());
      if (turns.isOver()) return pauseUntil(turns.next());
    }
  };
  const pauseUntil = (ready: Promise<void>): void => {
    paused = true;
    void ready.then(() => {
      paused = false;
      pump();
    });
  };

  const sendBookmark = (): void => {
    if (
      paused ||
      over.settled ||
      objects.event(sequence) !== undefined ||
      cache.revision <= shownRevision
    )
      return;
    shownRevision = cache.revision;
    stream.write(bookmarkFrame(encoding, shownRevision, undefined));
  };

  const onLeave = (): void => finish("abort");
  signal.addEventListener("abort", onLeave, { once: true });
  cleanups.push(() => signal.removeEventListener("abort", onLeave));
  const onShutdown = (): void => finish("end");
  shutdown.addEventListener("abort", onShutdown, { once: true });
  cleanups.push(() => shutdown.removeEventListener("abort", onShutdown));
  const timeoutMs =
    options.timeoutSeconds === undefined || options.timeoutSeconds <= 0
      ? defaultTimeoutMs * (1 + deps.random())
      : options.timeoutSeconds * 1000;
  const timer = clock.setTimer(timeoutMs, () => {
    if (options.allowWatchBookmarks) sendBookmark();
    finish("end");
  });
  cleanups.push(() => timer.cancel());
  if (signal.aborted) onLeave();
  if (shutdown.aborted) onShutdown();

  try {
    if (start.initial !== undefined) {
      await sendInitial(start.initial);
      if (options.sendInitialEvents === true && options.allowWatchBookmarks) {
        await write(bookmarkFrame(encoding, start.revision, initialEventsEnd));
      }
    } else if (start.revision >= objects.windowStart) {
      sequence = objects.sequenceAfter(start.revision);
    } else {
      const reached = await sendLog();
      // The window may have moved on in the meantime; the client comes again with a newer revision.
      if (reached < objects.windowStart) return finish("end");
      sequence = objects.sequenceAfter(reached);
      shownRevision = reached;
    }
    if (over.settled) return;
    cleanups.push(objects.listen(pump));
    if (options.allowWatchBookmarks) cleanups.push(bookmarks.add(sendBookmark));
    paused = false;
    pump();
  } catch (error) {
    if (!over.settled) {
      stream.write(frame(encoding, "ERROR", [JSON.stringify(statusOf(error))]));
      finish("end");
    }
  }
  return over.promise;

  async function write(bytes: Buffer): Promise<void> {
    if (!over.settled && !stream.write(bytes)) await Promise.race([stream.drained(), over.promise]);
  }

  async function sendInitial(snapshot: Snapshot): Promise<void> {
    const turns = createTurns(clock);
    let chunk: Buffer[] = [];
    let bytes = 0;
    const matching = (entry: CacheEntry): boolean => selector.matchesAll || selector.matches(entry);
    for (const entry of snapshot.range(selector.from, selector.to)) {
      if (over.settled) return;
      if (turns.isOver()) await turns.next();
      if (!matching(entry)) continue;
      const piece = frameOf({ type: "ADDED", entry, revision: entry.revision }, undefined);
      request.onEvent?.();
      chunk.push(piece);
      bytes += piece.length;
      if (bytes < chunkBytes) continue;
      await write(Buffer.concat(chunk));
      chunk = [];
      bytes = 0;
    }
    if (bytes > 0) await write(Buffer.concat(chunk));
  }

  async function sendLog(): Promise<number> {
    const leaving = new AbortController();
    cleanups.push(() => leaving.abort());
    const log = readStoreLog(deps.store, objects, request.type, start.revision, leaving.signal);
    for (;;) {
      const step = await log.next();
      if (step.done === true) return step.value;
      const selected = selectEvent(selector, step.value);
      if (selected === undefined) continue;
      request.onEvent?.();
      await write(frameOf(selected, undefined));
    }
  }
}

function frame(
  encoding: ObjectEncoding,
  type: string,
  object: ReturnType<ObjectEncoding["object"]>,
): Buffer {
  if (encoding.watchFrame !== undefined) return encoding.watchFrame(type, joinPieces(object));
  return joinPieces([`{"type":"${type}","object":`, ...object, "}\n"]);
}

function bookmarkFrame(
  encoding: ObjectEncoding,
  revision: number,
  annotations: Readonly<Record<string, string>> | undefined,
): Buffer {
  return frame(encoding, "BOOKMARK", [encoding.bookmark(revision, annotations)]);
}
