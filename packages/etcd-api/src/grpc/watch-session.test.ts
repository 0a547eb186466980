import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createDeferred, type Deferred } from "@wherry/service-kit";
import type { WatchResponseMessage } from "../codec/watch-messages.ts";
import type { Watcher, WatchEvent, WatchMessage, WatchRequest, WatchStream } from "../kv.ts";
import { createWatchSession, type WatchSession } from "./watch-session.ts";

/** A watch that says what the test tells it to. */
class ScriptedWatch implements WatchStream {
  readonly request: WatchRequest;
  isCancelled = false;
  progressAsked = 0;
  readonly #messages: WatchMessage[] = [];
  #waiting: Deferred<void> | undefined;

  constructor(request: WatchRequest) {
    this.request = request;
    this.say({ kind: "created", revision: 10 });
  }

  say(message: WatchMessage): void {
    this.#messages.push(message);
    this.#waiting?.resolve();
  }

  requestProgress(): void {
    this.progressAsked += 1;
  }

  cancel(): void {
    this.isCancelled = true;
    this.#waiting?.resolve();
  }

  [Symbol.asyncIterator](): AsyncIterator<WatchMessage, undefined> {
    return {
      next: async () => {
        for (;;) {
          const value = this.#messages.shift();
          if (value !== undefined) return { done: false, value };
          if (this.isCancelled) return { done: true, value: undefined };
          this.#waiting = createDeferred();
          await this.#waiting.promise;
        }
      },
    };
  }
}

interface Opened {
  readonly session: WatchSession;
  readonly watches: ScriptedWatch[];
  readonly sent: WatchResponseMessage[];
  readonly failures: unknown[];
  /** Makes `send` wait until it is resolved. */
  hold: Deferred<void> | undefined;
}

function open(fragmentBytes = 1_000_000): Opened {
  const opened: Opened = {
    session: undefined as never,
    watches: [],
    sent: [],
    failures: [],
    hold: undefined,
  };
  const store: Watcher = {
    watch(request) {
      const watch = new ScriptedWatch(request);
      opened.watches.push(watch);
      return watch;
    },
  };
  const session = createWatchSession({
    store,
    async send(message) {
      opened.sent.push(message);
      await opened.hold?.promise;
    },
    headerAt: (revision) => ({ clusterId: 1n, memberId: 2n, revision, raftTerm: 3n }),
    currentRevision: async () => 77,
    fail: (error) => opened.failures.push(error),
    fragmentBytes,
  });
  return Object.assign(opened, { session });
}

async function settle(): Promise<void> {
  for (let round = 0; round < 3; round += 1) await new Promise(setImmediate);
}

const key = Buffer.from("k");
const eventAt = (revision: number, value = ""): WatchEvent => ({
  type: "put",
  kv: {
    key,
    createRevision: revision,
    modRevision: revision,
    version: 1,
    value: Buffer.from(value),
    lease: 0n,
  },
});
const brief = (message: WatchResponseMessage): unknown[] => [
  message.watchId,
  message.created
    ? "created"
    : message.canceled
      ? "canceled"
      : message.events.length > 0
        ? "events"
        : "progress",
  message.header.revision,
];

describe("a watch stream", () => {
  it("answers creates in order, with ids of its own or the client's", async () => {
    const { session, sent, watches } = open();
    session.receive({ kind: "create", create: { key, prevKv: true } });
    session.receive({ kind: "create", create: { key, watchId: 1 } });
    session.receive({
      kind: "create",
      create: { key, rangeEnd: Buffer.from("l"), filters: ["noPut"] },
    });
    await settle();
    assert.deepEqual(sent.map(brief), [
      [0, "created", 10],
      [1, "created", 10],
      [2, "created", 10],
    ]);
    assert.deepEqual(
      watches.map(({ request }) => request),
      [{ key, prevKv: true }, { key }, { key, rangeEnd: Buffer.from("l"), filters: ["noPut"] }],
    );
  });

  it("refuses an id that is taken, and a range that the store refuses, in the answer to the create", async () => {
    const { session, sent, watches } = open();
    session.receive({ kind: "create", create: { key, watchId: 5 } });
    session.receive({ kind: "create", create: { key, watchId: 5 } });
    session.receive({
      kind: "create",
      create: { key: Buffer.from("b"), rangeEnd: Buffer.from("a") },
    });
    await settle();
    watches[1]?.say({
      kind: "canceled",
      compactRevision: 0,
      reason: "mvcc: watcher range is empty",
    });
    await settle();
    const [, duplicate, empty] = sent;
    assert.deepEqual(
      [duplicate?.watchId, duplicate?.created, duplicate?.canceled],
      [-1, true, true],
    );
    assert.equal(duplicate?.cancelReason, "mvcc: duplicate watch ID provided on the WatchStream");
    assert.deepEqual(
      [empty?.watchId, empty?.created, empty?.canceled, empty?.cancelReason],
      [-1, true, true, "mvcc: watcher range is empty"],
    );
  });

  it("sends events after `created` and nothing after a cancel", async () => {
    const { session, sent, watches } = open();
    session.receive({ kind: "create", create: { key } });
    await settle();
    watches[0]?.say({ kind: "events", revision: 11, events: [eventAt(11)] });
    await settle();
    session.receive({ kind: "cancel", watchId: 0 });
    session.receive({ kind: "cancel", watchId: 99 });
    watches[0]?.say({ kind: "events", revision: 12, events: [eventAt(12)] });
    await settle();
    assert.deepEqual(sent.map(brief), [
      [0, "created", 10],
      [0, "events", 11],
      [0, "canceled", 77],
    ]);
    assert.equal(watches[0]?.isCancelled, true);
  });

  it("tells why the store cancelled", async () => {
    const { session, sent, watches } = open();
    session.receive({ kind: "create", create: { key, startRevision: 1 } });
    await settle();
    watches[0]?.say({ kind: "canceled", compactRevision: 8, reason: "compacted" });
    await settle();
    assert.deepEqual(
      [sent[1]?.canceled, sent[1]?.compactRevision, sent[1]?.cancelReason],
      [true, 8, "compacted"],
    );
  });

  it("answers a progress request once for all watches, with the lowest revision", async () => {
    const { session, sent, watches } = open();
    session.receive({ kind: "progress" });
    for (let count = 0; count < 3; count += 1) session.receive({ kind: "create", create: { key } });
    session.receive({ kind: "progress" });
    await settle();
    assert.deepEqual(sent.map(brief)[0], [-1, "progress", 77]);
    assert.deepEqual(
      watches.map(({ progressAsked }) => progressAsked),
      [1, 1, 1],
    );
    sent.length = 0;
    watches[0]?.say({ kind: "progress", revision: 30 });
    watches[1]?.say({ kind: "progress", revision: 20 });
    await settle();
    assert.deepEqual(sent, []);
    session.receive({ kind: "cancel", watchId: 2 });
    await settle();
    assert.deepEqual(sent.map(brief), [
      [-1, "progress", 20],
      [2, "canceled", 77],
    ]);
    watches[0]?.say({ kind: "progress", revision: 40 });
    await settle();
    assert.deepEqual(sent.map(brief).at(-1), [0, "progress", 40]);
  });

  it("splits events over messages when the client allows it, and never otherwise", async () => {
    const { session, sent, watches } = open(250);
    session.receive({ kind: "create", create: { key, fragment: true } });
    session.receive({ kind: "create", create: { key } });
    await settle();
    sent.length = 0;
    const events = [1, 2, 3].map(() => eventAt(11, "x".repeat(100)));
    for (const watch of watches) watch.say({ kind: "events", revision: 11, events });
    await settle();
    const parts = (id: number): unknown[] =>
      sent
        .filter(({ watchId }) => watchId === id)
        .map((message) => [message.events.length, message.fragment]);
    assert.deepEqual(parts(0), [
      [2, true],
      [1, false],
    ]);
    assert.deepEqual(parts(1), [[3, false]]);
  });

  it("takes nothing more from a watch until the client took what was sent", async () => {
    const opened = open();
    const { session, sent, watches } = opened;
    session.receive({ kind: "create", create: { key } });
    await settle();
    opened.hold = createDeferred();
    for (const revision of [11, 12, 13])
      watches[0]?.say({ kind: "events", revision, events: [eventAt(revision)] });
    await settle();
    assert.equal(sent.length, 2);
    opened.hold.resolve();
    await settle();
    assert.equal(sent.length, 4);
  });

  it("cancels its watches when it is closed", async () => {
    const { session, watches, failures } = open();
    session.receive({ kind: "create", create: { key } });
    await settle();
    session.close();
    await settle();
    assert.equal(watches[0]?.isCancelled, true);
    assert.deepEqual(failures, []);
  });
});
