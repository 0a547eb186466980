/** How the cache follows a store whose watch breaks, whose history is compacted, and which is asked for its revision by many at once. */
import { deepEqual, equal } from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { createMemoryStore } from "@wherry/datastore/testing";
import type { EtcdStore, WatchStream } from "@wherry/etcd-api";
import { silentLogger } from "@wherry/service-kit";
import { createManualClock, type ManualClock } from "@wherry/service-kit/testing";
import { WatchCache } from "./watch-cache.ts";

const type = { storagePrefix: "configmaps", kind: "ConfigMap", apiVersion: "v1" };

describe("WatchCache", () => {
  let memory: ReturnType<typeof createMemoryStore>;
  let clock: ManualClock;
  let cache: WatchCache;
  let streams: WatchStream[];
  let rangeCalls: number;
  let watchBroken: boolean;

  beforeEach(async () => {
    memory = createMemoryStore();
    clock = createManualClock();
    streams = [];
    rangeCalls = 0;
    watchBroken = false;
    const store: EtcdStore = Object.create(memory, {
      watch: {
        value: (...args: Parameters<EtcdStore["watch"]>) => {
          if (watchBroken) throw new Error("no connection");
          const stream = memory.watch(...args);
          streams.push(stream);
          return stream;
        },
      },
      range: {
        value: (...args: Parameters<EtcdStore["range"]>) => {
          rangeCalls += 1;
          return memory.range(...args);
        },
      },
    }) as EtcdStore;
    await put("a", "1");
    cache = new WatchCache({
      store,
      clock,
      log: silentLogger,
      limits: { eventsMax: 8, snapshotsMax: 4 },
    });
    await cache.add(type);
    await cache.start(new AbortController().signal);
  });
  afterEach(async () => {
    await cache.stop();
    await memory.stop();
  });

  const put = async (name: string, data: string): Promise<number> => {
    const value = JSON.stringify({
      kind: "ConfigMap",
      apiVersion: "v1",
      metadata: { name, namespace: "d", uid: name },
      data: { data },
    });
    return (
      await memory.put({
        key: Buffer.from(`/registry/configmaps/d/${name}`),
        value: Buffer.from(value),
      })
    ).header.revision;
  };
  const remove = async (name: string): Promise<number> =>
    (await memory.deleteRange({ key: Buffer.from(`/registry/configmaps/d/${name}`) })).header
      .revision;
  const shown = (): Record<string, string> =>
    Object.fromEntries(
      [...cache.cache("configmaps")!.snapshot.range()].map((entry) => [
        entry.path,
        (entry.object() as unknown as { data: { data: string } }).data.data,
      ]),
    );

  it("shows what was there at start and follows what comes", async () => {
    deepEqual(shown(), { "d/a": "1" });
    await put("b", "2");
    await cache.catchUp();
    deepEqual(shown(), { "d/a": "1", "d/b": "2" });
    await remove("a");
    await cache.catchUp();
    deepEqual(shown(), { "d/b": "2" });
  });

  it("opens a broken watch again where it broke off", async () => {
    watchBroken = true;
    streams[0]!.cancel();
    const revision = await put("b", "2");
    await clock.advance(250);
    equal(cache.failure, "no connection");
    equal(cache.revision < revision, true);
    watchBroken = false;
    await clock.advance(1_000);
    equal(await cache.waitUntil(revision, 1_000), true);
    deepEqual(shown(), { "d/a": "1", "d/b": "2" });
    equal(cache.failure, undefined);
  });

  it("reads everything anew when the history it missed was compacted", async () => {
    watchBroken = true;
    streams[0]!.cancel();
    await put("b", "2");
    await remove("a");
    const revision = await put("c", "3");
    await memory.compact({ revision });
    watchBroken = false;
    const sequence = cache.cache("configmaps")!.nextSequence;
    await clock.advance(1_000);
    equal(await cache.waitUntil(revision, 1_000), true);
    deepEqual(shown(), { "d/b": "2", "d/c": "3" });
    equal(cache.cache("configmaps")!.event(sequence), "gone");
    await clock.advance(10_000);
    const next = await put("d", "4");
    equal(await cache.waitUntil(next, 1_000), true);
  });

  it("asks the store once for all reads that wait at the same time", async () => {
    rangeCalls = 0;
    await Promise.all(Array.from({ length: 50 }, () => cache.catchUp()));
    equal(rangeCalls <= 2, true, String(rangeCalls));
  });

  it("takes in a resource that is registered later", async () => {
    await memory.put({
      key: Buffer.from("/registry/secrets/d/s"),
      value: Buffer.from(
        '{"apiVersion":"v1","kind":"Secret","metadata":{"namespace":"d","name":"s"}}',
      ),
    });
    await cache.add({ storagePrefix: "secrets", kind: "Secret", apiVersion: "v1" });
    const [entry] = cache.cache("secrets")!.snapshot.range();
    equal(entry?.path, "d/s");
    // Another server's order of fields is brought into ours, so that answers can be cut from it.
    equal(
      entry?.value.toString(),
      '{"kind":"Secret","apiVersion":"v1","metadata":{"namespace":"d","name":"s"}}',
    );
  });

  it("keeps snapshots of recent revisions", async () => {
    const first = await put("b", "1");
    await put("b", "2");
    await cache.catchUp();
    equal(
      (
        cache.cache("configmaps")!.snapshotAt(first)!.get("d/b")!.object() as unknown as {
          data: { data: string };
        }
      ).data.data,
      "1",
    );
    for (let index = 0; index < 5; index++) await put("b", String(index));
    await cache.catchUp();
    equal(cache.cache("configmaps")!.snapshotAt(first), undefined);
  });
});
