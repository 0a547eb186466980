import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { createGrpcStore, type EtcdStore } from "@wherry/etcd-api";
import { readWatch, startEtcd, type WatchReader } from "@wherry/etcd-api/testing";
import { createNullMetrics, silentLogger, systemClock } from "@wherry/service-kit";
import { datastoreConfig } from "./config.ts";
import { createDatastore } from "./datastore.ts";
import {
  createRandom,
  normalise,
  perform,
  randomOperation,
} from "./testing/operation-generator.ts";
import { createMemoryStore } from "./testing.ts";

/** The same random requests to two stores: every answer and every watch event must be the same. The seed is in the test's name. */

const everything = { key: Buffer.from([0]), rangeEnd: Buffer.from([0]) };

async function compareStores(
  expected: EtcdStore,
  actual: EtcdStore,
  seed: number,
  operations: number,
): Promise<void> {
  const random = createRandom(seed);
  const watches = [expected, actual].map((store) =>
    readWatch(store.watch({ ...everything, prevKv: true })),
  );
  for (const watch of watches) await watch.until("created");
  let { revision } = (await actual.status()).header;
  const start = revision;
  for (let index = 0; index < operations; index += 1) {
    const operation = randomOperation(random, revision);
    const [wanted, got] = [await perform(expected, operation), await perform(actual, operation)];
    assert.deepEqual(
      got,
      wanted,
      `operation ${index} of seed ${seed}: ${JSON.stringify(normalise(operation))}`,
    );
    revision = (await actual.status()).header.revision;
    if (operation.kind === "compact") await compareEvents(watches, revision);
  }
  const events = await compareEvents(watches, revision);
  assert.ok(events.length > operations / 4 && revision > start, "the sequence changed something");
  for (const watch of watches) watch.cancel();
}

/** Reads both watches up to the store's revision. Gives all events since the beginning. */
async function compareEvents(
  watches: readonly WatchReader[],
  revision: number,
): Promise<unknown[]> {
  const [wanted = [], got = []] = await Promise.all(
    watches.map((watch) => eventsUntil(watch, revision)),
  );
  assert.deepEqual(got, wanted);
  return wanted;
}

async function eventsUntil(watch: WatchReader, revision: number): Promise<unknown[]> {
  const events = () =>
    watch.messages.flatMap((message) => (message.kind === "events" ? message.events : []));
  while ((events().at(-1)?.kv.modRevision ?? 1) < revision) await watch.next();
  return events().map(normalise);
}

async function withSqlite(test: TestContext, valueCacheBytes: number): Promise<EtcdStore> {
  const folder = await mkdtemp(join(tmpdir(), "wherry-differential-"));
  const config = datastoreConfig.parse({
    endpoint: `sqlite://${join(folder, "state.db")}`,
    valueCacheBytes,
  });
  const datastore = createDatastore(config, {
    clock: systemClock,
    log: silentLogger,
    metrics: createNullMetrics(),
  });
  test.after(async () => {
    await datastore.stop(AbortSignal.timeout(5_000));
    await rm(folder, { recursive: true });
  });
  await datastore.start(test.signal);
  return datastore.store;
}

describe("the same requests", () => {
  for (const seed of [1, 2, 3]) {
    it(
      `get the same answers from real etcd and from the engine (seed ${seed})`,
      { timeout: 60_000 },
      async (test) => {
        const etcd = await startEtcd(process.env["PATH"]);
        if (etcd === undefined) return test.skip("etcd is not installed");
        const remote = createGrpcStore({ endpoint: etcd.endpoint, log: silentLogger });
        const engine = createMemoryStore();
        test.after(async () => {
          await engine.stop();
          await remote.close();
          await etcd.stop();
        });
        await compareStores(remote, engine, seed, 600);
      },
    );
  }

  for (const seed of [11, 12, 13, 14]) {
    it(`get the same answers from memory and from SQLite without a cache (seed ${seed})`, async (test) => {
      const engine = createMemoryStore();
      test.after(() => engine.stop());
      await compareStores(engine, await withSqlite(test, 0), seed, 1000);
    });
  }
});
