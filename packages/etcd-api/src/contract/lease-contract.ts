import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isError } from "./range-contract.ts";
import { readWatch, scopeOf, type Scope, type Subject } from "./store-under-test.ts";

/** Leases, on the store's clock. */
export function describeLeaseContract(subject: Subject): void {
  const scope = (): Scope => scopeOf(subject().store);

  describe("leases", () => {
    it("are granted with an id of the store's choice or the caller's", async () => {
      const { store } = scope();
      const own = await store.leaseGrant({ ttl: 100 });
      assert.ok(own.id > 0n);
      assert.equal(own.ttl, 100);
      const id = 0x7000_0000_0000_0001n + BigInt(Math.floor(Math.random() * 1e9));
      assert.equal((await store.leaseGrant({ ttl: 100, id })).id, id);
      await assert.rejects(
        store.leaseGrant({ ttl: 100, id }),
        isError("failedPrecondition", "etcdserver: lease already exists"),
      );
      const { ids } = await store.leases();
      assert.ok(ids.includes(id) && ids.includes(own.id));
      await store.leaseRevoke(id);
      await store.leaseRevoke(own.id);
      assert.ok(!(await store.leases()).ids.includes(id));
    });

    it("last at least two seconds, and not longer than etcd allows", async () => {
      const { store } = scope();
      const short = await store.leaseGrant({ ttl: 1 });
      assert.equal(short.ttl, 2);
      await store.leaseRevoke(short.id);
      await assert.rejects(
        store.leaseGrant({ ttl: 9_000_000_001 }),
        isError("outOfRange", "etcdserver: too large lease TTL"),
      );
    });

    it("delete their keys in one revision when they are revoked", async () => {
      const s = scope();
      const { id } = await s.store.leaseGrant({ ttl: 600 });
      await s.put("b", "1", id);
      await s.put("a", "1", id);
      const last = await s.put("c", "1");
      const watch = readWatch(s.store.watch({ key: s.key(""), rangeEnd: s.end(), prevKv: true }));
      await watch.until("created");
      const { header } = await s.store.leaseRevoke(id);
      assert.equal(header.revision, last + 1);
      const events = await watch.events(2);
      assert.deepEqual(s.names(events.map((event) => event.kv)), ["a", "b"]);
      assert.deepEqual(
        events.map((event) => [event.kv.modRevision, event.prevKv?.lease]),
        [
          [last + 1, id],
          [last + 1, id],
        ],
      );
      assert.equal(await s.value("c"), "1");
      watch.cancel();
      await assert.rejects(
        s.store.leaseRevoke(id),
        isError("notFound", "etcdserver: requested lease not found"),
      );
    });

    it("follow a key to its last put", async () => {
      const s = scope();
      const one = await s.store.leaseGrant({ ttl: 600 });
      const two = await s.store.leaseGrant({ ttl: 600 });
      await s.put("moved", "1", one.id);
      await s.put("moved", "2", two.id);
      await s.put("freed", "1", one.id);
      await s.put("freed", "2");
      await s.put("kept", "1", one.id);
      const keys = async (id: bigint): Promise<string[]> =>
        s.names((await s.store.leaseTimeToLive(id, true)).keys.map((key) => ({ key }))).sort();
      assert.deepEqual(await keys(one.id), ["kept"]);
      assert.deepEqual(await keys(two.id), ["moved"]);
      await s.store.leaseRevoke(one.id);
      assert.deepEqual(
        [await s.value("moved"), await s.value("freed"), await s.value("kept")],
        ["2", "2", undefined],
      );
      await s.store.leaseRevoke(two.id);
    });

    it("tell how long they live", async () => {
      const { store } = scope();
      const { id } = await store.leaseGrant({ ttl: 500 });
      const alive = await store.leaseTimeToLive(id, false);
      assert.ok(alive.ttl <= 500 && alive.ttl >= 490, String(alive.ttl));
      assert.deepEqual([alive.id, alive.grantedTtl, alive.keys.length], [id, 500, 0]);
      await store.leaseRevoke(id);
      const gone = await store.leaseTimeToLive(id, false);
      assert.deepEqual([gone.id, gone.ttl], [id, -1]);
    });

    it("are renewed by a keep-alive, which answers 0 for one that is gone", async () => {
      const { store } = scope();
      const { id } = await store.leaseGrant({ ttl: 300 });
      const renewed = await store.leaseKeepAlive(id);
      assert.deepEqual([renewed.id, renewed.ttl], [id, 300]);
      await store.leaseRevoke(id);
      assert.deepEqual((await store.leaseKeepAlive(id)).ttl, 0);
    });

    it("expire: their keys are deleted in one revision", async () => {
      const s = scope();
      const { id } = await s.store.leaseGrant({ ttl: 2 });
      await s.put("a", "1", id);
      const last = await s.put("b", "2", id);
      const watch = readWatch(
        s.store.watch({ key: s.key(""), rangeEnd: s.end(), prevKv: true, filters: ["noPut"] }),
      );
      await watch.until("created");
      await subject().advance?.(2_001);
      const events = await watch.events(2);
      assert.deepEqual(s.names(events.map((event) => event.kv)), ["a", "b"]);
      assert.deepEqual(
        events.map((event) => [event.type, event.kv.modRevision]),
        [
          ["delete", last + 1],
          ["delete", last + 1],
        ],
      );
      assert.equal((await s.store.leaseTimeToLive(id, false)).ttl, -1);
      watch.cancel();
    });
  });
}
