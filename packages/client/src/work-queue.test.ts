import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createDeferred } from "@wherry/service-kit";
import { createManualClock } from "@wherry/service-kit/testing";
import { createWorkQueue } from "./work-queue.ts";

describe("work queue", () => {
  test("works on a key once, however often it was added", async () => {
    const clock = createManualClock();
    const queue = createWorkQueue({ clock });
    const abort = new AbortController();
    const worked: string[] = [];
    for (const key of ["a", "b", "a", "a"]) queue.add(key);
    assert.equal(queue.size, 2);
    const running = queue.run(async (key) => void worked.push(key), 1, abort.signal);
    await clock.advance(0);
    assert.deepEqual(worked, ["a", "b"]);
    assert.equal(queue.idle, true);
    abort.abort();
    await running;
  });

  test("never works on one key twice at the same time", async () => {
    const clock = createManualClock();
    const queue = createWorkQueue({ clock });
    const abort = new AbortController();
    const gates = [createDeferred(), createDeferred()];
    let active = 0;
    let started = 0;
    const running = queue.run(
      async () => {
        active += 1;
        assert.equal(active, 1);
        await gates[started++]?.promise;
        active -= 1;
      },
      4,
      abort.signal,
    );
    queue.add("a");
    await clock.advance(0);
    queue.add("a");
    queue.add("a");
    await clock.advance(0);
    assert.equal(started, 1);
    gates[0]?.resolve();
    await clock.advance(0);
    assert.equal(started, 2, "what was added meanwhile is worked on afterwards");
    gates[1]?.resolve();
    await clock.advance(0);
    assert.equal(started, 2);
    abort.abort();
    await running;
  });

  test("keeps to its concurrency", async () => {
    const clock = createManualClock();
    const queue = createWorkQueue({ clock });
    const abort = new AbortController();
    let active = 0;
    let most = 0;
    const running = queue.run(
      async () => {
        active += 1;
        most = Math.max(most, active);
        await clock.sleep(10);
        active -= 1;
      },
      3,
      abort.signal,
    );
    for (let index = 0; index < 10; index += 1) queue.add(`k${index}`);
    await clock.advance(100);
    assert.equal(most, 3);
    assert.equal(queue.idle, true);
    abort.abort();
    await running;
  });

  test("repeats a failed key with a doubling pause and forgets it after success", async () => {
    const clock = createManualClock();
    const queue = createWorkQueue({ clock });
    const abort = new AbortController();
    const times: number[] = [];
    const running = queue.run(
      async () => {
        times.push(clock.monotonic());
        if (times.length <= 5) throw new Error("not yet");
      },
      1,
      abort.signal,
    );
    queue.add("a");
    await clock.advance(1000);
    assert.deepEqual(times, [0, 5, 15, 35, 75, 155]);
    assert.equal(queue.failures("a"), 0);
    abort.abort();
    await running;
  });

  test("does not let the pause of one key grow beyond 1000 s", () => {
    const clock = createManualClock();
    const queue = createWorkQueue({ clock, perSecond: 1000, burst: 1000 });
    for (let index = 0; index < 60; index += 1) queue.addRateLimited("a");
    assert.equal(queue.failures("a"), 60);
    queue.forget("a");
    assert.equal(queue.failures("a"), 0);
  });

  test("limits all failures together to ten in a second after a burst of a hundred", async () => {
    const clock = createManualClock();
    const queue = createWorkQueue({ clock });
    for (let index = 0; index < 120; index += 1) queue.addRateLimited(`k${index}`);
    await clock.advance(5);
    assert.equal(queue.size, 100);
    await clock.advance(1000);
    assert.equal(queue.size, 110);
    await clock.advance(1000);
    assert.equal(queue.size, 120);
  });

  test("takes the earlier of two delays", async () => {
    const clock = createManualClock();
    const queue = createWorkQueue({ clock });
    queue.addAfter("a", 100);
    queue.addAfter("a", 50);
    queue.addAfter("a", 70);
    await clock.advance(49);
    assert.equal(queue.size, 0);
    await clock.advance(1);
    assert.equal(queue.size, 1);
    assert.equal(clock.pending, 0);
  });

  test("repeats a key when its worker asks for it", async () => {
    const clock = createManualClock();
    const queue = createWorkQueue({ clock });
    const abort = new AbortController();
    const times: number[] = [];
    const running = queue.run(
      async () => {
        times.push(clock.monotonic());
        return { requeueAfterMs: 300 };
      },
      1,
      abort.signal,
    );
    queue.add("a");
    await clock.advance(1000);
    assert.deepEqual(times, [0, 300, 600, 900]);
    abort.abort();
    await running;
    assert.equal(clock.pending, 0);
  });

  test("ends when what is in work has ended, and takes nothing afterwards", async () => {
    const clock = createManualClock();
    const queue = createWorkQueue({ clock });
    const abort = new AbortController();
    const gate = createDeferred();
    let seenAbort = false;
    const running = queue.run(
      async (_key, signal) => {
        await gate.promise;
        seenAbort = signal.aborted;
      },
      1,
      abort.signal,
    );
    queue.add("a");
    queue.add("b");
    await clock.advance(0);
    abort.abort();
    let ended = false;
    const ending = running.then(() => {
      ended = true;
    });
    await clock.advance(0);
    assert.equal(ended, false);
    gate.resolve();
    await ending;
    assert.equal(seenAbort, true);
    queue.add("c");
    assert.equal(queue.size, 0);
  });
});
