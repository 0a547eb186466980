import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { createGrpcStore, EtcdError } from "@wherry/etcd-api";
import { createMetrics, silentLogger, UsageError } from "@wherry/service-kit";
import { createManualClock } from "@wherry/service-kit/testing";
import { datastoreConfig } from "./config.ts";
import { createDatastore } from "./datastore.ts";
import { datastoreConfigOf } from "./run-datastore.ts";

async function folderOf(test: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "wherry-datastore-"));
  test.after(() => rm(folder, { recursive: true }));
  return folder;
}

const key = Buffer.from("a");
const isStopped = (error: unknown): boolean =>
  error instanceof EtcdError && error.message === "etcdserver: server stopped";

describe("the datastore service", () => {
  it("answers between start and stop only, and keeps the data for the next one", async (test) => {
    const config = datastoreConfig.parse({
      endpoint: `sqlite://${join(await folderOf(test), "state.db")}`,
      listen: "127.0.0.1:0",
    });
    const build = async () =>
      createDatastore(config, {
        clock: createManualClock(),
        log: silentLogger,
        metrics: await createMetrics(),
      });
    const first = await build();
    await assert.rejects(first.store.range({ key }), isStopped);
    assert.equal(first.health().status, "failing");
    await first.start(test.signal);
    assert.equal(first.health().status, "ok");
    await first.store.put({ key, value: Buffer.from("1") });
    const client = createGrpcStore({ endpoint: first.endpoint() ?? "", log: silentLogger });
    assert.equal((await client.range({ key })).kvs[0]?.value.toString(), "1");
    const watch = client.watch({ key })[Symbol.asyncIterator]();
    await watch.next();
    const next = assert.rejects(
      watch.next(),
      (error) => error instanceof EtcdError && error.code === "unavailable",
    );
    await first.stop(AbortSignal.timeout(5_000));
    await first.stop(AbortSignal.timeout(5_000));
    await first.done;
    await next;
    await assert.rejects(first.store.range({ key }), isStopped);
    await client.close();

    const second = await build();
    await second.start(test.signal);
    assert.equal((await second.store.range({ key })).kvs[0]?.value.toString(), "1");
    await second.stop(AbortSignal.timeout(5_000));
  });

  it("may be stopped before it was started and after a start that failed", async (test) => {
    const file = join(await folderOf(test), "file");
    await writeFile(file, "");
    const config = datastoreConfig.parse({ endpoint: `sqlite://${join(file, "state.db")}` });
    const deps = { clock: createManualClock(), log: silentLogger, metrics: await createMetrics() };
    const failing = createDatastore(config, deps);
    await assert.rejects(failing.start(test.signal));
    await failing.stop(AbortSignal.timeout(1_000));
    await createDatastore(config, deps).stop(AbortSignal.timeout(1_000));
  });

  it("compacts by itself up to where it was an interval ago", async (test) => {
    const clock = createManualClock();
    const config = datastoreConfig.parse({
      endpoint: `sqlite://${join(await folderOf(test), "state.db")}`,
      compactIntervalMs: 60_000,
    });
    const datastore = createDatastore(config, {
      clock,
      log: silentLogger,
      metrics: await createMetrics(),
    });
    await datastore.start(test.signal);
    test.after(() => datastore.stop(AbortSignal.timeout(5_000)));
    const { store } = datastore;
    for (let version = 0; version < 5; version += 1)
      await store.put({ key, value: Buffer.from(String(version)) });
    await clock.advance(60_000);
    assert.equal((await store.range({ key, revision: 2 })).kvs[0]?.value.toString(), "0");
    await store.put({ key, value: Buffer.from("last") });
    await clock.advance(60_000);
    await store.status();
    await assert.rejects(store.range({ key, revision: 5 }), /compacted/);
    assert.equal((await store.range({ key, revision: 6 })).kvs[0]?.value.toString(), "4");
  });

  it("shows etcd's metrics", async (test) => {
    const metrics = await createMetrics();
    const config = datastoreConfig.parse({
      endpoint: `sqlite://${join(await folderOf(test), "state.db")}`,
    });
    const datastore = createDatastore(config, {
      clock: createManualClock(),
      log: silentLogger,
      metrics,
    });
    await datastore.start(test.signal);
    test.after(() => datastore.stop(AbortSignal.timeout(5_000)));
    await datastore.store.put({ key, value: Buffer.from("1") });
    const text = await metrics.expose();
    for (const line of [
      "etcd_mvcc_put_total 1",
      "etcd_debugging_mvcc_keys_total 1",
      "etcd_debugging_mvcc_current_revision 2",
      "etcd_disk_wal_fsync_duration_seconds_count 1",
    ]) {
      assert.ok(text.includes(`\n${line}\n`), line);
    }
    assert.match(text, /\netcd_mvcc_db_total_size_in_bytes [1-9]\d+\n/);
  });
});

describe("the datastore's configuration", () => {
  it("refuses other endpoints and says what is supported", () => {
    const problem = (endpoint: string): string =>
      datastoreConfig.safeParse({ endpoint }).error?.issues[0]?.message ?? "";
    for (const scheme of ["postgres", "mysql", "nats", "http", "https"]) {
      assert.equal(
        problem(`${scheme}://user:secret@host/db`),
        `${scheme}:// is not supported; supported is sqlite://FILE`,
      );
    }
    assert.match(problem("state.db"), /"state.db" is not supported; supported is sqlite:\/\/FILE/);
    assert.doesNotMatch(problem("user:secret@tcp(host)/db"), /secret/);
    assert.match(problem("sqlite://"), /names no file/);
    assert.match(problem("sqlite://state.db?_journal=WAL"), /parameters/);
  });

  it("comes from flags, each wrong one named", () => {
    const config = datastoreConfigOf({
      endpoint: "sqlite://state.db",
      "value-cache-mb": 8,
      "compact-interval": "1h30m",
    });
    assert.deepEqual(
      [config.listen, config.valueCacheBytes, config.compactIntervalMs],
      ["127.0.0.1:2379", 8 * 1024 * 1024, 5_400_000],
    );
    const refused = (values: Record<string, string>, pattern: RegExp): void =>
      assert.throws(
        () => datastoreConfigOf(values),
        (error) => error instanceof UsageError && pattern.test(error.message),
      );
    refused({}, /--endpoint is required/);
    refused(
      { endpoint: "sqlite://f", "server-cert-file": "c" },
      /--server-cert-file and --server-key-file/,
    );
    refused({ endpoint: "sqlite://f", "trusted-ca-file": "c" }, /--trusted-ca-file needs/);
    refused({ endpoint: "sqlite://f", "compact-interval": "5 minutes" }, /--compact-interval/);
    refused({ endpoint: "sqlite://f", "emulated-etcd-version": "3.6" }, /emulatedVersion/);
  });
});
