import assert from "node:assert/strict";
import { stat, writeFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import Sqlite from "better-sqlite3";
import { EtcdError } from "@wherry/etcd-api";
import { createNullMetrics, silentLogger, systemClock } from "@wherry/service-kit";
import { datastoreConfig, type DatastoreConfigInput } from "../config.ts";
import { createDatastore, type Datastore } from "../datastore.ts";
import { packBatch, unpackBatch } from "./batch-frame.ts";
import { LogError, type LogRecord } from "./log.ts";
import { createSqliteLog } from "./sqlite-log.ts";
import { applyWriterPragmas } from "./sqlite-schema.ts";

const MIB = 1024 * 1024;

async function folderOf(test: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "wherry-sqlite-"));
  test.after(() => rm(folder, { recursive: true }));
  return folder;
}

async function start(
  test: TestContext,
  file: string,
  config: Partial<DatastoreConfigInput> = {},
): Promise<Datastore> {
  const datastore = createDatastore(
    datastoreConfig.parse({ endpoint: `sqlite://${file}`, ...config }),
    {
      clock: systemClock,
      log: silentLogger,
      metrics: createNullMetrics(),
    },
  );
  test.after(() => datastore.stop(AbortSignal.timeout(5_000)));
  await datastore.start(test.signal);
  return datastore;
}

const isUnusable = (pattern: RegExp) => (error: unknown) => {
  assert.ok(error instanceof LogError && error.code === "unusable", String(error));
  assert.match(error.message, pattern);
  return true;
};

const put = (datastore: Datastore, key: string, value: Buffer | string) =>
  datastore.store.put({ key: Buffer.from(key), value: Buffer.from(value) });

describe("the SQLite log", () => {
  it("writes durably: WAL, synchronous FULL, and files that only their owner reads", async (test) => {
    const folder = await folderOf(test);
    const file = join(folder, "deep", "state.db");
    const datastore = await start(test, file);
    await put(datastore, "a", "1");
    for (const suffix of ["", "-wal", "-shm", ".lock"])
      assert.equal((await stat(`${file}${suffix}`)).mode & 0o777, 0o600, suffix);
    const db = new Sqlite(file, { readonly: true });
    assert.equal(db.pragma("journal_mode", { simple: true }), "wal");
    assert.equal(db.pragma("auto_vacuum", { simple: true }), 2);
    db.close();
    const other = new Sqlite(join(folder, "other.db"));
    applyWriterPragmas(other);
    assert.equal(other.pragma("synchronous", { simple: true }), 2);
    other.close();
  });

  it("reads a log of many chunks", async (test) => {
    const file = join(await folderOf(test), "state.db");
    const first = await start(test, file);
    const value = Buffer.alloc(64, "v");
    for (let round = 0; round < 20; round += 1) {
      await Promise.all(
        Array.from({ length: 1_000 }, (_, index) => put(first, `key/${index}/${round}`, value)),
      );
    }
    await first.stop(AbortSignal.timeout(5_000));
    const second = await start(test, file);
    const { count } = await second.store.range({
      key: Buffer.from("key/"),
      rangeEnd: Buffer.from("key0"),
      countOnly: true,
    });
    assert.deepEqual([count, second.store.revision], [20_000, 20_001]);
  });

  it("is opened by one process at a time", async (test) => {
    const file = join(await folderOf(test), "state.db");
    const first = await start(test, file);
    await assert.rejects(start(test, file), isUnusable(/another process uses this database/));
    await put(first, "a", "1");
    await first.stop(AbortSignal.timeout(5_000));
    await start(test, file);
  });

  it("refuses what is not a datastore of its own format", async (test) => {
    const folder = await folderOf(test);
    const foreign = join(folder, "kine.db");
    const db = new Sqlite(foreign);
    db.exec("CREATE TABLE kine (id INTEGER PRIMARY KEY)");
    db.close();
    await assert.rejects(start(test, foreign), isUnusable(/holds something else \(tables kine\)/));
    const text = join(folder, "text.db");
    await writeFile(
      text,
      "this is not a database, but it is long enough to be taken for one".repeat(20),
    );
    await assert.rejects(start(test, text), isUnusable(/not an SQLite database/));
    const later = join(folder, "later.db");
    await (await start(test, later)).stop(AbortSignal.timeout(5_000));
    const newer = new Sqlite(later);
    newer.pragma("user_version = 99");
    newer.close();
    await assert.rejects(start(test, later), isUnusable(/format 99/));
    await assert.rejects(start(test, join(folder, "text.db", "state.db")), /ENOTDIR|EEXIST/);
  });

  it("answers that space is exceeded at the quota, keeps what it has, and goes on after a compaction", async (test) => {
    const file = join(await folderOf(test), "state.db");
    const datastore = await start(test, file, { quotaBytes: 2 * MIB });
    const value = Buffer.alloc(100_000, "v");
    let writes = 0;
    await assert.rejects(
      async () => {
        for (; writes < 100; writes += 1) await put(datastore, "a", value);
      },
      (error) =>
        error instanceof EtcdError &&
        error.code === "resourceExhausted" &&
        error.message === "etcdserver: mvcc: database space exceeded",
    );
    assert.ok(writes > 10 && writes < 25, String(writes));
    const { kvs, header } = await datastore.store.range({ key: Buffer.from("a") });
    assert.deepEqual(
      [kvs[0]?.version, kvs[0]?.value, header.revision],
      [writes, value, writes + 1],
    );
    assert.deepEqual(datastore.health(), { status: "ok" });
    await datastore.store.compact({ revision: header.revision, physical: true });
    await put(datastore, "a", value);
  });

  it("gives disk space back after a compaction", { timeout: 20_000 }, async (test) => {
    const file = join(await folderOf(test), "state.db");
    const datastore = await start(test, file);
    const value = Buffer.alloc(10_000, "v");
    for (let round = 0; round < 20; round += 1)
      await Promise.all(
        Array.from({ length: 100 }, (_, index) => put(datastore, `k${index}`, value)),
      );
    const before = await datastore.store.status();
    await datastore.store.compact({ revision: datastore.store.revision, physical: true });
    const compacted = await datastore.store.status();
    assert.ok(
      compacted.dbSizeInUse < before.dbSizeInUse / 5,
      `${compacted.dbSizeInUse} of ${before.dbSizeInUse}`,
    );
    const enough = 2 * compacted.dbSizeInUse + 2 * MIB;
    while ((await datastore.store.status()).dbSize > enough) await new Promise(setImmediate);
    await datastore.stop(AbortSignal.timeout(5_000));
    assert.ok((await stat(file)).size <= enough);
    const again = await start(test, file);
    assert.equal(
      (
        await again.store.range({
          key: Buffer.from("k"),
          rangeEnd: Buffer.from("l"),
          countOnly: true,
        })
      ).count,
      100,
    );
  });

  it("says so when it is used after its writer is gone", async (test) => {
    const file = join(await folderOf(test), "state.db");
    const log = createSqliteLog({ file });
    await log.load();
    await log.close();
    await assert.rejects(
      log.append({ records: [], leases: [], revision: 2 }),
      (error) => error instanceof LogError && error.code === "broken",
    );
  });
});

describe("a batch on its way to the writer", () => {
  it("arrives as it was sent", () => {
    const records: LogRecord[] = [
      {
        revision: 2,
        deleted: false,
        key: "a\u00ff\0",
        createRevision: 2,
        version: 1,
        lease: 2n ** 63n - 1n,
        value: Buffer.from([0, 1, 255]),
      },
      {
        revision: 2 ** 40,
        deleted: true,
        key: "b",
        createRevision: 0,
        version: 0,
        lease: 0n,
        value: Buffer.alloc(0),
      },
    ];
    const arrived = [...unpackBatch(packBatch(records))].map((record) => ({
      ...record,
      key: record.key.toString("latin1"),
    }));
    assert.deepEqual(arrived, records);
    assert.deepEqual([...unpackBatch(packBatch([]))], []);
  });
});
