import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { EtcdError } from "../errors.ts";
import type { RangeRequest } from "../kv.ts";
import { scopeOf, type Scope, type Subject } from "./store-under-test.ts";

const isError = (code: string, message: string) => (error: unknown) => {
  assert.ok(error instanceof EtcdError, String(error));
  assert.deepEqual({ code: error.code, message: error.message }, { code, message });
  return true;
};

/** Range, Put and DeleteRange. */
export function describeKeyContract(subject: Subject): void {
  const scope = (): Scope => scopeOf(subject().store);

  describe("range", () => {
    it("answers an absent key with nothing but the revision", async () => {
      const s = scope();
      const revision = await s.put("other");
      const response = await s.store.range({ key: s.key("absent") });
      assert.deepEqual(
        { ...response, header: response.header.revision },
        { header: revision, kvs: [], more: false, count: 0 },
      );
    });

    it("tells the create revision, mod revision and version of a key, and starts anew after a deletion", async () => {
      const s = scope();
      const first = await s.put("a", "1");
      const second = await s.put("a", "2");
      const [before] = (await s.store.range({ key: s.key("a") })).kvs;
      assert.deepEqual(
        { ...before },
        {
          key: s.key("a"),
          createRevision: first,
          modRevision: second,
          version: 2,
          value: Buffer.from("2"),
          lease: 0n,
        },
      );
      await s.store.deleteRange({ key: s.key("a") });
      const third = await s.put("a", "3");
      const [after] = (await s.store.range({ key: s.key("a") })).kvs;
      assert.deepEqual(
        [after?.createRevision, after?.modRevision, after?.version],
        [third, third, 1],
      );
    });

    it("lists a range in the order of bytes, without its end", async () => {
      const s = scope();
      for (const name of ["b", "a", "c", "a/b", "aa", "a\u00ff"]) await s.put(name);
      const { kvs, count } = await s.store.range({ key: s.key("a"), rangeEnd: s.key("c") });
      assert.deepEqual(s.names(kvs), ["a", "a/b", "aa", "a\u00ff", "b"]);
      assert.equal(count, 5);
      const empty = await s.store.range({ key: s.key("c"), rangeEnd: s.key("a") });
      assert.deepEqual([empty.kvs.length, empty.count], [0, 0]);
    });

    it("reads a range end of one zero byte as the end of all keys", async () => {
      const s = scope();
      await s.put("a");
      const { kvs } = await s.store.range({ key: s.key("a"), rangeEnd: Buffer.from([0]) });
      assert.deepEqual(kvs[0]?.key, s.key("a"));
      const all = await s.store.range({
        key: Buffer.from([0]),
        rangeEnd: Buffer.from([0]),
        countOnly: true,
      });
      assert.ok(all.count >= kvs.length);
    });

    it("cuts at the limit, says that there is more, and counts all", async () => {
      const s = scope();
      for (let index = 0; index < 10; index += 1) await s.put(`k${index}`);
      const list = (limit: number) => s.store.range({ key: s.key(""), rangeEnd: s.end(), limit });
      const four = await list(4);
      assert.deepEqual(
        [s.names(four.kvs).join(), four.more, four.count],
        ["k0,k1,k2,k3", true, 10],
      );
      const ten = await list(10);
      assert.deepEqual([ten.kvs.length, ten.more, ten.count], [10, false, 10]);
    });

    it("pages through a snapshot while keys change", async () => {
      const s = scope();
      for (let index = 0; index < 6; index += 1) await s.put(`k${index}`);
      const page = await s.store.range({ key: s.key(""), rangeEnd: s.end(), limit: 2 });
      const { revision } = page.header;
      await s.put("k3", "changed");
      await s.put("k30");
      await s.store.deleteRange({ key: s.key("k4") });
      const from = Buffer.concat([page.kvs[1]?.key ?? Buffer.alloc(0), Buffer.from([0])]);
      const rest = await s.store.range({ key: from, rangeEnd: s.end(), limit: 3, revision });
      assert.deepEqual([s.names(rest.kvs).join(), rest.more, rest.count], ["k2,k3,k4", true, 4]);
      assert.equal(rest.kvs[1]?.value.toString(), "k3");
      assert.ok(rest.header.revision > revision);
    });

    it("counts without keys, and lists keys without values", async () => {
      const s = scope();
      for (const name of ["a", "b", "c"]) await s.put(name, "value");
      const counted = await s.store.range({
        key: s.key(""),
        rangeEnd: s.end(),
        countOnly: true,
        limit: 1,
      });
      assert.deepEqual([counted.kvs.length, counted.count, counted.more], [0, 3, false]);
      const keys = await s.store.range({ key: s.key(""), rangeEnd: s.end(), keysOnly: true });
      assert.deepEqual(
        keys.kvs.map((kv) => [kv.value.length, kv.version]),
        [
          [0, 1],
          [0, 1],
          [0, 1],
        ],
      );
    });

    it("sorts by every target in both directions before it cuts", async () => {
      const s = scope();
      await s.put("a", "2");
      await s.put("b", "3");
      await s.put("c", "1");
      await s.put("a", "2");
      await s.put("a", "2");
      await s.put("c", "1");
      const sorted = async (options: Partial<RangeRequest>): Promise<string> =>
        s
          .names((await s.store.range({ key: s.key(""), rangeEnd: s.end(), ...options })).kvs)
          .join("");
      assert.equal(await sorted({ sortOrder: "ascend", sortTarget: "key" }), "abc");
      assert.equal(await sorted({ sortOrder: "descend", sortTarget: "key" }), "cba");
      assert.equal(await sorted({ sortOrder: "ascend", sortTarget: "version" }), "bca");
      assert.equal(await sorted({ sortOrder: "ascend", sortTarget: "create" }), "abc");
      assert.equal(await sorted({ sortOrder: "descend", sortTarget: "mod" }), "cab");
      assert.equal(await sorted({ sortOrder: "ascend", sortTarget: "value" }), "cab");
      assert.equal(await sorted({ sortOrder: "descend", sortTarget: "value", limit: 2 }), "ba");
      assert.equal(await sorted({ sortTarget: "version" }), "bca");
    });

    it("filters by mod and create revision but counts all", async () => {
      const s = scope();
      const a = await s.put("a");
      const b = await s.put("b");
      const again = await s.put("a");
      const filtered = (options: Partial<RangeRequest>) =>
        s.store.range({ key: s.key(""), rangeEnd: s.end(), ...options });
      assert.deepEqual(s.names((await filtered({ minModRevision: again })).kvs), ["a"]);
      assert.deepEqual(s.names((await filtered({ maxModRevision: b })).kvs), ["b"]);
      assert.deepEqual(s.names((await filtered({ maxCreateRevision: a })).kvs), ["a"]);
      const minCreate = await filtered({ minCreateRevision: b, limit: 1 });
      assert.deepEqual(
        [s.names(minCreate.kvs).join(), minCreate.count, minCreate.more],
        ["b", 2, false],
      );
    });

    it("reads old revisions and refuses future ones", async () => {
      const s = scope();
      const first = await s.put("a", "1");
      await s.put("a", "2");
      await s.store.deleteRange({ key: s.key("a") });
      assert.equal(await s.value("a", first), "1");
      assert.equal(await s.value("a", first + 1), "2");
      assert.equal(await s.value("a"), undefined);
      await assert.rejects(
        s.store.range({ key: s.key("a"), revision: first + 1000 }),
        isError("outOfRange", "etcdserver: mvcc: required revision is a future revision"),
      );
    });

    it("refuses an empty key", async () => {
      const empty = Buffer.alloc(0);
      const expected = isError("invalidArgument", "etcdserver: key is not provided");
      const { store } = scope();
      await assert.rejects(store.range({ key: empty }), expected);
      await assert.rejects(store.put({ key: empty, value: empty }), expected);
      await assert.rejects(store.deleteRange({ key: empty }), expected);
    });
  });

  describe("put", () => {
    it("raises the revision by one and gives the previous pair when asked", async () => {
      const s = scope();
      const first = await s.put("a", "1");
      const response = await s.store.put({
        key: s.key("a"),
        value: Buffer.from("2"),
        prevKv: true,
      });
      assert.equal(response.header.revision, first + 1);
      assert.deepEqual(
        [response.prevKv?.value.toString(), response.prevKv?.modRevision],
        ["1", first],
      );
      const fresh = await s.store.put({ key: s.key("b"), value: Buffer.from("1"), prevKv: true });
      assert.equal(fresh.prevKv, undefined);
    });

    it("keeps empty and binary values as they are", async () => {
      const s = scope();
      const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
      await s.store.put({ key: Buffer.concat([s.key(""), bytes]), value: bytes });
      await s.store.put({ key: s.key("empty"), value: Buffer.alloc(0) });
      const { kvs } = await s.store.range({ key: s.key(""), rangeEnd: s.end() });
      assert.deepEqual(
        kvs.map((kv) => kv.value),
        [bytes, Buffer.alloc(0)],
      );
      assert.deepEqual(kvs[0]?.key, Buffer.concat([s.key(""), bytes]));
    });

    it("keeps a value of a million bytes", async () => {
      const s = scope();
      const value = Buffer.alloc(1_000_000, "x");
      await s.store.put({ key: s.key("big"), value });
      assert.deepEqual((await s.store.range({ key: s.key("big") })).kvs[0]?.value, value);
    });

    it("refuses a request that is too large", async () => {
      const s = scope();
      const value = Buffer.alloc(1.5 * 1024 * 1024 + 1, "x");
      await assert.rejects(
        s.store.put({ key: s.key("big"), value }),
        isError("invalidArgument", "etcdserver: request is too large"),
      );
    });

    it("keeps value or lease when told to, if there is one to keep", async () => {
      const s = scope();
      const { id } = await s.store.leaseGrant({ ttl: 600 });
      await s.put("a", "1", id);
      await s.store.put({ key: s.key("a"), value: Buffer.from("2"), ignoreLease: true });
      await s.store.put({ key: s.key("a"), value: Buffer.alloc(0), ignoreValue: true, lease: id });
      const [kv] = (await s.store.range({ key: s.key("a") })).kvs;
      assert.deepEqual([kv?.value.toString(), kv?.lease, kv?.version], ["2", id, 3]);
      const missing = isError("invalidArgument", "etcdserver: key not found");
      await assert.rejects(
        s.store.put({ key: s.key("x"), value: Buffer.alloc(0), ignoreValue: true }),
        missing,
      );
      await assert.rejects(
        s.store.put({ key: s.key("x"), value: Buffer.alloc(0), ignoreLease: true }),
        missing,
      );
      await assert.rejects(
        s.store.put({ key: s.key("a"), value: Buffer.from("v"), ignoreValue: true }),
        isError("invalidArgument", "etcdserver: value is provided"),
      );
      await assert.rejects(
        s.store.put({ key: s.key("a"), value: Buffer.from("v"), ignoreLease: true, lease: id }),
        isError("invalidArgument", "etcdserver: lease is provided"),
      );
      await s.store.leaseRevoke(id);
    });

    it("refuses a lease that does not exist", async () => {
      const s = scope();
      await assert.rejects(
        s.store.put({ key: s.key("a"), value: Buffer.from("v"), lease: 4242n }),
        isError("notFound", "etcdserver: requested lease not found"),
      );
    });
  });

  describe("deleteRange", () => {
    it("deletes a key and says what it was", async () => {
      const s = scope();
      const revision = await s.put("a", "1");
      const response = await s.store.deleteRange({ key: s.key("a"), prevKv: true });
      assert.deepEqual([response.deleted, response.header.revision], [1, revision + 1]);
      assert.deepEqual(
        response.prevKvs.map((kv) => kv.value.toString()),
        ["1"],
      );
    });

    it("leaves the revision alone when there is nothing to delete", async () => {
      const s = scope();
      const revision = await s.put("a");
      const response = await s.store.deleteRange({ key: s.key("b") });
      assert.deepEqual([response.deleted, response.header.revision], [0, revision]);
    });

    it("deletes a range in one revision", async () => {
      const s = scope();
      for (const name of ["a", "b", "c"]) await s.put(name);
      const revision = await s.put("d");
      const response = await s.store.deleteRange({
        key: s.key("a"),
        rangeEnd: s.key("d"),
        prevKv: true,
      });
      assert.deepEqual([response.deleted, response.header.revision], [3, revision + 1]);
      assert.deepEqual(s.names(response.prevKvs), ["a", "b", "c"]);
      assert.deepEqual(s.names((await s.store.range({ key: s.key(""), rangeEnd: s.end() })).kvs), [
        "d",
      ]);
    });
  });

  it("gives the same cluster id in every answer and a revision that never goes back", async () => {
    const s = scope();
    const put = await s.store.put({ key: s.key("a"), value: Buffer.from("1") });
    const range = await s.store.range({ key: s.key("a") });
    const status = await s.store.status();
    assert.deepEqual(
      [range.header.clusterId, status.header.clusterId],
      [put.header.clusterId, put.header.clusterId],
    );
    assert.ok(put.header.clusterId !== 0n);
    assert.ok(range.header.revision >= put.header.revision);
    assert.match(status.version, /^3\.\d+\.\d+$/);
    assert.ok(status.dbSize > 0 && status.leader !== 0n);
  });
}

export { isError };
