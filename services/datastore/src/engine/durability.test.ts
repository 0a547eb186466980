import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { EtcdError } from "@wherry/etcd-api";
import { readWatch } from "@wherry/etcd-api/testing";
import { createDeferred, createNullMetrics, silentLogger } from "@wherry/service-kit";
import { createManualClock, type ManualClock } from "@wherry/service-kit/testing";
import { LogError } from "../log/log.ts";
import { createMemoryLog, type MemoryLog } from "../log/memory-log.ts";
import { createEngineMetrics } from "./engine-metrics.ts";
import { createEngine, engineDefaults, type Engine, type EngineConfig } from "./engine.ts";

interface Opened {
  readonly engine: Engine;
  readonly log: MemoryLog;
  readonly clock: ManualClock;
  readonly broken: LogError[];
}

async function open(
  test: TestContext,
  log = createMemoryLog(),
  config: Partial<EngineConfig> = {},
): Promise<Opened> {
  const clock = createManualClock();
  const broken: LogError[] = [];
  const engine = await createEngine(
    { ...engineDefaults, ...config },
    {
      log,
      clock,
      logger: silentLogger,
      metrics: createEngineMetrics(createNullMetrics()),
      onBroken: (error) => broken.push(error),
    },
  );
  test.after(() => engine.stop());
  return { engine, log, clock, broken };
}

const key = Buffer.from("a");
const put = (engine: Engine, value: string, lease = 0n) =>
  engine.put({ key, value: Buffer.from(value), lease });
const get = async (engine: Engine): Promise<string | undefined> =>
  (await engine.range({ key })).kvs[0]?.value.toString();

function failed(error: Error): Promise<void> {
  const deferred = createDeferred();
  deferred.reject(error);
  return deferred.promise;
}

/** Lets everything run that can. */
async function settle(): Promise<void> {
  for (let round = 0; round < 5; round += 1) await new Promise(setImmediate);
}

async function isPending(promise: Promise<unknown>): Promise<boolean> {
  await settle();
  return (
    (await Promise.race([
      promise.then(
        () => "settled",
        () => "settled",
      ),
      Promise.resolve("pending"),
    ])) === "pending"
  );
}

describe("what is not durable", () => {
  it("is told to nobody: not the writer, a reader, a failed transaction or a watch", async (test) => {
    const { engine, log } = await open(test);
    await put(engine, "1");
    const watch = readWatch(engine.watch({ key }));
    await watch.until("created");
    const append = createDeferred();
    log.holdNextAppend(append.promise);
    const writer = put(engine, "2");
    await settle();
    const reader = get(engine);
    const counter = engine.range({ key, countOnly: true });
    const failing = engine.txn({
      compare: [{ target: "mod", result: "equal", key, operand: 2 }],
      success: [],
      failure: [],
    });
    const status = await engine.status();
    const event = watch.next();
    for (const waiting of [writer, reader, counter, failing, event])
      assert.equal(await isPending(waiting), true);
    assert.deepEqual([engine.revision, status.header.revision], [2, 2]);
    append.resolve();
    assert.equal((await writer).header.revision, 3);
    assert.equal(await reader, "2");
    assert.equal((await failing).succeeded, false);
    const message = await event;
    assert.ok(message.kind === "events" && message.events[0]?.kv.value.toString() === "2");
  });

  it("shares one append with all writes that wait meanwhile", async (test) => {
    const { engine, log } = await open(test);
    const append = createDeferred();
    log.holdNextAppend(append.promise);
    const first = put(engine, "first");
    await settle();
    const rest = Array.from({ length: 50 }, (_, index) => put(engine, String(index)));
    await settle();
    append.resolve();
    await Promise.all([first, ...rest]);
    assert.equal(log.appends, 2);
    assert.equal(engine.revision, 52);
  });
});

describe("a log that does not accept a write", () => {
  it("fails every waiting request and leaves the state as it was", async (test) => {
    const { engine, log } = await open(test);
    const lease = await engine.leaseGrant({ ttl: 100, id: 7n });
    await put(engine, "old", lease.id);
    const watch = readWatch(engine.watch({ key, prevKv: true }));
    await watch.until("created");
    const append = createDeferred();
    log.holdNextAppend(append.promise);
    const inFlight = put(engine, "lost");
    await settle();
    const onTop = [
      engine.deleteRange({ key }),
      engine.put({ key: Buffer.from("b"), value: Buffer.from("lost") }),
      engine.leaseGrant({ ttl: 100, id: 8n }),
      engine.leaseRevoke(7n),
      engine.compact({ revision: 2 }),
      get(engine),
    ];
    await settle();
    append.reject(new LogError("full", "the disk is full"));
    for (const request of [inFlight, ...onTop]) {
      await assert.rejects(
        request,
        (error) =>
          error instanceof EtcdError &&
          error.message === "etcdserver: mvcc: database space exceeded",
      );
    }
    assert.deepEqual([await get(engine), engine.revision, engine.compactRevision], ["old", 2, 0]);
    assert.deepEqual((await engine.leases()).ids, [7n]);
    assert.deepEqual((await engine.leaseTimeToLive(7n, true)).keys, [key]);
    assert.equal(
      (await engine.range({ key: Buffer.from("\0"), rangeEnd: Buffer.from("\0") })).count,
      1,
    );
    const next = await put(engine, "new");
    assert.equal(next.header.revision, 3);
    const [event] = await watch.events(1);
    assert.deepEqual([event?.kv.value.toString(), event?.prevKv?.value.toString()], ["new", "old"]);
  });

  it("is asked again to expire a lease", async (test) => {
    const { engine, log, clock } = await open(test);
    const { id } = await engine.leaseGrant({ ttl: 5 });
    await put(engine, "leased", id);
    log.holdNextAppend(failed(new LogError("rejected", "busy")));
    await clock.advance(5_000);
    await clock.advance(2_000);
    assert.equal(await get(engine), undefined);
    assert.equal((await engine.leaseTimeToLive(id, false)).ttl, -1);
  });
});

describe("a log that broke", () => {
  it("ends the engine: waiting and later requests fail, watches too", async (test) => {
    const { engine, log, broken } = await open(test);
    const watch = engine.watch({ key })[Symbol.asyncIterator]();
    await watch.next();
    log.holdNextAppend(failed(new LogError("broken", "fsync failed")));
    const stopped = (error: unknown): boolean =>
      error instanceof EtcdError && error.code === "unavailable";
    const event = watch.next();
    await assert.rejects(put(engine, "1"), stopped);
    await assert.rejects(event, stopped);
    await assert.rejects(get(engine), stopped);
    await assert.rejects(put(engine, "2"), stopped);
    await assert.rejects(engine.watch({ key })[Symbol.asyncIterator]().next(), stopped);
    assert.deepEqual(
      broken.map((error) => error.message),
      ["fsync failed"],
    );
  });
});

describe("a restart", () => {
  it("finds keys, history, versions, leases and the compaction mark again", async (test) => {
    const first = await open(test);
    await first.engine.leaseGrant({ ttl: 50, id: 9n });
    await put(first.engine, "1", 9n);
    await put(first.engine, "2", 9n);
    await first.engine.compact({ revision: 3 });
    await put(first.engine, "3", 9n);
    await first.engine.put({ key: Buffer.from("b"), value: Buffer.from("b") });
    await first.engine.deleteRange({ key: Buffer.from("b") });
    await first.engine.stop();

    const { engine, clock } = await open(test, first.log.reopen(), { valueCacheBytes: 0 });
    assert.deepEqual([engine.revision, engine.compactRevision], [6, 3]);
    const { kvs } = await engine.range({ key });
    assert.deepEqual(
      [kvs[0]?.value.toString(), kvs[0]?.version, kvs[0]?.createRevision, kvs[0]?.lease],
      ["3", 3, 2, 9n],
    );
    const watch = readWatch(
      engine.watch({
        key: Buffer.from("\0"),
        rangeEnd: Buffer.from("\0"),
        startRevision: 4,
        prevKv: true,
      }),
    );
    const events = await watch.events(3);
    assert.deepEqual(
      events.map((event) => [event.type, event.prevKv?.value.toString()]),
      [
        ["put", "2"],
        ["put", undefined],
        ["delete", "b"],
      ],
    );
    await assert.rejects(engine.range({ key, revision: 2 }));
    assert.deepEqual((await engine.leaseTimeToLive(9n, true)).keys, [key]);
    await clock.advance(50_001);
    assert.equal(await get(engine), undefined);
  });

  it("removes what a compaction had no time to remove", async (test) => {
    const first = await open(test);
    for (const value of ["1", "2", "3"]) await put(first.engine, value);
    await first.engine.deleteRange({ key });
    await first.engine.put({ key: Buffer.from("b"), value: Buffer.from("b") });
    const { trim } = first.log;
    (first.log as { trim: MemoryLog["trim"] }).trim = async () => {};
    await first.engine.compact({ revision: first.engine.revision, physical: true });
    await first.engine.stop();
    (first.log as { trim: MemoryLog["trim"] }).trim = trim;
    const reopened = first.log.reopen();
    const second = await open(test, reopened);
    await second.engine.stop();
    const kept = [];
    for await (const records of reopened.tail(0)) kept.push(...records);
    assert.deepEqual(
      kept.map((record) => record.key),
      ["b"],
    );
    assert.equal(second.engine.revision, 6);
  });
});

describe("a watch whose consumer is slow", () => {
  it("misses nothing and costs no queue", async (test) => {
    const { engine } = await open(test, createMemoryLog(), { valueCacheBytes: 0 });
    const watch = readWatch(engine.watch({ key, prevKv: true }));
    await watch.until("created");
    const writes = 5_000;
    await Promise.all(Array.from({ length: writes }, (_, index) => put(engine, String(index))));
    const events = await watch.events(writes);
    assert.deepEqual(
      events.map((event) => Number(event.kv.value.toString())),
      Array.from({ length: writes }, (_, index) => index),
    );
    assert.deepEqual(
      events.slice(1).map((event) => Number(event.prevKv?.value.toString())),
      Array.from({ length: writes - 1 }, (_, index) => index),
    );
  });

  it("is cancelled when what it needs next is compacted", async (test) => {
    const { engine } = await open(test);
    const watch = readWatch(engine.watch({ key }));
    await watch.until("created");
    await Promise.all(Array.from({ length: 3_000 }, (_, index) => put(engine, String(index))));
    await engine.compact({ revision: engine.revision, physical: true });
    const message = await watch.next();
    assert.ok(message.kind === "canceled");
    assert.equal(message.compactRevision, engine.revision);
  });
});

describe("progress", () => {
  it("is told every interval to a quiet watch that asked for it, and the timer stops with the last one", async (test) => {
    const { engine, clock } = await open(test);
    const watch = readWatch(engine.watch({ key, progressNotify: true }));
    await watch.until("created");
    await clock.advance(5_000);
    const first = watch.until("progress");
    await clock.advance(5_000);
    assert.equal((await first).revision, 1);
    await engine.put({ key: Buffer.from("elsewhere"), value: Buffer.from("1") });
    const second = watch.until("progress");
    await clock.advance(10_000);
    assert.equal((await second).revision, 2);
    watch.cancel();
    await clock.advance(5_000);
    assert.equal(clock.pending, 0);
  });
});

describe("compaction under load", () => {
  it("never takes a value away from a list or watch that is being read", async (test) => {
    const { engine } = await open(test, createMemoryLog(), { valueCacheBytes: 0 });
    const keys = Array.from({ length: 6_000 }, (_, index) =>
      Buffer.from(`k/${String(index).padStart(5, "0")}`),
    );
    const write = (round: number) =>
      Promise.all(keys.map((one) => engine.put({ key: one, value: Buffer.from(String(round)) })));
    await write(0);
    const revision = engine.revision;
    const watch = readWatch(
      engine.watch({
        key: Buffer.from("k/"),
        rangeEnd: Buffer.from("k0"),
        startRevision: 2,
        prevKv: true,
      }),
    );
    const list = engine.range({ key: Buffer.from("k/"), rangeEnd: Buffer.from("k0"), revision });
    const [response] = await Promise.all([
      list,
      write(1),
      settle().then(() => engine.compact({ revision: revision + 10, physical: true })),
    ]);
    assert.equal(response.kvs.length, keys.length);
    assert.ok(response.kvs.every((kv) => kv.value.toString() === "0"));
    watch.cancel();
  });
});
