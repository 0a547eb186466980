import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isError } from "./range-contract.ts";
import { readWatch, scopeOf, type Scope, type Subject } from "./store-under-test.ts";

/** Compact, seen by readers and watches. */
export function describeCompactContract(subject: Subject): void {
  const scope = (): Scope => scopeOf(subject().store);
  const compacted = isError("outOfRange", "etcdserver: mvcc: required revision has been compacted");

  describe("compact", () => {
    it("forgets what lies before its revision and keeps what is current there", async () => {
      const s = scope();
      const first = await s.put("a", "1");
      await s.put("b", "1");
      const middle = await s.put("a", "2");
      const last = await s.put("a", "3");
      await s.store.compact({ revision: middle, physical: true });
      await assert.rejects(s.store.range({ key: s.key("a"), revision: first }), compacted);
      assert.deepEqual(
        [await s.value("a", middle), await s.value("b", middle), await s.value("a", last)],
        ["2", "1", "3"],
      );
      const response = await s.store.txn({
        compare: [{ target: "version", result: "equal", key: s.key("a"), operand: 3 }],
        success: [],
        failure: [],
      });
      assert.equal(response.succeeded, true);
    });

    it("keeps the counts of old revisions right", async () => {
      const s = scope();
      for (const name of ["a", "b", "c", "d"]) await s.put(name);
      await s.store.deleteRange({ key: s.key("b") });
      const mark = await s.put("e");
      await s.store.deleteRange({ key: s.key("a") });
      await s.put("b", "again");
      const { header } = await s.store.compact({ revision: mark, physical: true });
      const counts = [];
      for (let revision = mark; revision <= header.revision; revision += 1) {
        counts.push(
          (await s.store.range({ key: s.key(""), rangeEnd: s.end(), countOnly: true, revision }))
            .count,
        );
      }
      assert.deepEqual(counts, [4, 3, 4]);
    });

    it("refuses a revision that is compacted already or lies ahead", async () => {
      const s = scope();
      const revision = await s.put("a");
      await s.store.compact({ revision });
      await assert.rejects(s.store.compact({ revision }), compacted);
      await assert.rejects(
        s.store.compact({ revision: revision + 1000 }),
        isError("outOfRange", "etcdserver: mvcc: required revision is a future revision"),
      );
    });

    it("cancels a watch that wants what is gone, and says from where on there is something", async () => {
      const s = scope();
      const first = await s.put("a", "1");
      await s.put("a", "2");
      const revision = await s.put("a", "3");
      await s.store.compact({ revision, physical: true });
      const late = readWatch(s.store.watch({ key: s.key("a"), startRevision: first }));
      assert.equal((await late.next()).kind, "created");
      const end = await late.next();
      assert.ok(end.kind === "canceled");
      assert.equal(end.compactRevision, revision);
      await late.ended();
      const inTime = readWatch(s.store.watch({ key: s.key("a"), startRevision: revision }));
      const [event] = await inTime.events(1);
      assert.equal(event?.kv.value.toString(), "3");
      inTime.cancel();
    });

    it("does not disturb a watch that has seen everything", async () => {
      const s = scope();
      const watch = readWatch(s.store.watch({ key: s.key("a"), prevKv: true }));
      await watch.until("created");
      const revision = await s.put("a", "1");
      await watch.events(1);
      await s.store.compact({ revision, physical: true });
      await s.put("a", "2");
      const [event] = await watch.events(1);
      assert.deepEqual([event?.kv.value.toString(), event?.prevKv?.value.toString()], ["2", "1"]);
      watch.cancel();
    });
  });
}
