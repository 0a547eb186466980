import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { WatchRequest } from "../kv.ts";
import {
  describeEvent,
  readWatch,
  scopeOf,
  type Scope,
  type Subject,
  type WatchReader,
} from "./store-under-test.ts";

/** Watch, and what Compact does to it. */
export function describeWatchContract(subject: Subject): void {
  const scope = (): Scope => scopeOf(subject().store);
  const watchAll = (s: Scope, options: Partial<WatchRequest> = {}): WatchReader =>
    readWatch(s.store.watch({ key: s.key(""), rangeEnd: s.end(), ...options }));

  describe("watch", () => {
    it("starts with `created` and then tells what happens from now on", async () => {
      const s = scope();
      const revision = await s.put("before");
      const watch = watchAll(s);
      const created = await watch.next();
      assert.equal(created.kind, "created");
      assert.ok(created.kind === "created" && created.revision >= revision);
      await s.put("a", "1");
      await s.store.deleteRange({ key: s.key("a") });
      const events = await watch.events(2);
      assert.deepEqual(
        events.map((event) => describeEvent(s, event)),
        ["put a=1", "delete a"],
      );
      assert.deepEqual(
        events.map((event) => event.kv.modRevision),
        [revision + 1, revision + 2],
      );
      const deleted = events[1]?.kv;
      assert.deepEqual(
        [deleted?.value.length, deleted?.createRevision, deleted?.version],
        [0, 0, 0],
      );
      watch.cancel();
    });

    it("tells the previous pair of updates and deletions when asked", async () => {
      const s = scope();
      const watch = watchAll(s, { prevKv: true });
      await watch.until("created");
      await s.put("a", "1");
      await s.put("a", "2");
      await s.store.deleteRange({ key: s.key("a") });
      await s.put("a", "3");
      const events = await watch.events(4);
      assert.deepEqual(
        events.map((event) => describeEvent(s, event)),
        ["put a=1", "put a=2 was 1", "delete a was 2", "put a=3"],
      );
      watch.cancel();
    });

    it("tells history from an old revision, then goes on with what is new", async () => {
      const s = scope();
      const first = await s.put("a", "1");
      await s.put("a", "2");
      await s.put("b", "3");
      const watch = watchAll(s, { startRevision: first + 1, prevKv: true });
      await watch.until("created");
      const history = await watch.events(2);
      await s.put("c", "4");
      const [fresh] = await watch.events(1);
      assert.deepEqual(
        [...history, fresh].map((event) => event && describeEvent(s, event)),
        ["put a=2 was 1", "put b=3", "put c=4"],
      );
      watch.cancel();
    });

    it("waits for a revision that lies ahead", async () => {
      const s = scope();
      const revision = await s.put("a", "1");
      const watch = watchAll(s, { startRevision: revision + 3 });
      await watch.until("created");
      await s.put("a", "2");
      await s.put("a", "3");
      await s.put("a", "4");
      const [event] = await watch.events(1);
      assert.equal(event?.kv.value.toString(), "4");
      watch.cancel();
    });

    it("tells only what its range contains", async () => {
      const s = scope();
      const single = readWatch(s.store.watch({ key: s.key("b") }));
      const range = readWatch(s.store.watch({ key: s.key("b"), rangeEnd: s.key("d") }));
      const open = readWatch(s.store.watch({ key: s.key("c"), rangeEnd: Buffer.from([0]) }));
      for (const watch of [single, range, open]) await watch.until("created");
      for (const name of ["a", "b", "bb", "c", "d"]) await s.put(name);
      const names = async (watch: WatchReader, count: number): Promise<string[]> =>
        s.names((await watch.events(count)).map((event) => event.kv));
      assert.deepEqual(await names(single, 1), ["b"]);
      assert.deepEqual(await names(range, 3), ["b", "bb", "c"]);
      assert.deepEqual(await names(open, 2), ["c", "d"]);
      for (const watch of [single, range, open]) watch.cancel();
    });

    it("leaves out what is filtered", async () => {
      const s = scope();
      const start = await s.put("start");
      const puts = watchAll(s, { filters: ["noDelete"], startRevision: start });
      const deletes = watchAll(s, { filters: ["noPut"] });
      await deletes.until("created");
      await s.put("a");
      await s.store.deleteRange({ key: s.key("a") });
      await s.put("b");
      await s.store.deleteRange({ key: s.key("b") });
      assert.deepEqual(
        (await puts.events(3)).map((event) => describeEvent(s, event)),
        ["put start=start", "put a=a", "put b=b"],
      );
      assert.deepEqual(
        (await deletes.events(2)).map((event) => describeEvent(s, event)),
        ["delete a", "delete b"],
      );
      puts.cancel();
      deletes.cancel();
    });

    it("never splits a revision over two messages, live or from history", async () => {
      const s = scope();
      const live = watchAll(s);
      await live.until("created");
      const names = Array.from({ length: 100 }, (_, index) => `k${String(index).padStart(3, "0")}`);
      const first = await s.put("first");
      for (let round = 0; round < 5; round += 1) {
        await s.store.txn({
          compare: [],
          success: names.map((name) => ({
            kind: "put",
            request: { key: s.key(name), value: Buffer.from(String(round)) },
          })),
          failure: [],
        });
      }
      const replay = watchAll(s, { startRevision: first });
      for (const watch of [live, replay]) {
        const events = await watch.events(501);
        const revisions = events.map((event) => event.kv.modRevision);
        assert.deepEqual(
          revisions,
          revisions.toSorted((a, b) => a - b),
        );
        const owner = new Map<number, number>();
        for (const [index, message] of watch.messages.entries()) {
          for (const event of message.kind === "events" ? message.events : []) {
            assert.equal(
              owner.get(event.kv.modRevision) ?? index,
              index,
              "a revision came in two messages",
            );
            owner.set(event.kv.modRevision, index);
          }
        }
        assert.equal(owner.size, 6);
        watch.cancel();
      }
    });

    it("serves many watches at once, each in order and complete", async () => {
      const s = scope();
      const start = await s.put("start");
      const watches = Array.from({ length: 20 }, () => watchAll(s, { startRevision: start + 1 }));
      await Promise.all(
        Array.from({ length: 200 }, (_, index) => s.put(`k${index % 17}`, String(index))),
      );
      const expected = (await (watches[0] as WatchReader).events(200)).map((event) => [
        event.kv.modRevision,
        event.kv.value.toString(),
      ]);
      assert.deepEqual(
        expected.map(([revision]) => revision),
        Array.from({ length: 200 }, (_, index) => start + 1 + index),
      );
      for (const watch of watches.slice(1)) {
        assert.deepEqual(
          (await watch.events(200)).map((event) => [
            event.kv.modRevision,
            event.kv.value.toString(),
          ]),
          expected,
        );
      }
      for (const watch of watches) watch.cancel();
    });

    it("promises with progress that everything up to its revision came before", async () => {
      const s = scope();
      const stream = s.store.watch({ key: s.key(""), rangeEnd: s.end() });
      const watch = readWatch(stream);
      await watch.until("created");
      await s.put("a");
      const elsewhere = await scope().put("elsewhere");
      await watch.events(1);
      stream.requestProgress();
      const progress = await watch.until("progress");
      assert.ok(progress.revision >= elsewhere, `${progress.revision} >= ${elsewhere}`);
      watch.cancel();
    });

    it("ends when it is cancelled or its signal aborts", async () => {
      const s = scope();
      const abort = new AbortController();
      const first = watchAll(s);
      const second = readWatch(s.store.watch({ key: s.key("a") }, { signal: abort.signal }));
      await first.until("created");
      await second.until("created");
      first.cancel();
      abort.abort();
      await first.ended();
      await second.ended();
      const third = watchAll(s);
      await third.until("created");
      await s.put("a");
      assert.equal((await third.events(1)).length, 1);
      third.cancel();
    });

    it("refuses a range without keys", async () => {
      const s = scope();
      const watch = readWatch(s.store.watch({ key: s.key("b"), rangeEnd: s.key("a") }));
      assert.equal((await watch.next()).kind, "created");
      const end = await watch.next();
      assert.ok(end.kind === "canceled");
      assert.equal(end.compactRevision, 0);
      await watch.ended();
    });
  });
}
