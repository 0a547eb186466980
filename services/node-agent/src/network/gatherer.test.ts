import assert from "node:assert/strict";
import { test } from "node:test";
import { createManualClock } from "@wherry/service-kit/testing";
import { createGatherer } from "./gatherer.ts";

test("a burst is one run, at the latest after the greatest delay", async () => {
  const clock = createManualClock();
  const runs: number[] = [];
  const gatherer = createGatherer({
    clock,
    delayMs: 20,
    delayMaxMs: 50,
    work: async () => void runs.push(clock.monotonic()),
    onFailure: () => assert.fail(),
  });
  for (let index = 0; index < 10; index += 1) {
    gatherer.request();
    await clock.advance(10);
  }
  await clock.advance(100);
  assert.deepEqual(runs, [50, 100]);
  await gatherer.stop();
  assert.equal(clock.pending, 0);
});

test("runs do not overlap, and a request during one leads to another", async () => {
  const clock = createManualClock();
  const ends: (() => void)[] = [];
  let running = 0;
  const work = async (): Promise<void> => {
    running += 1;
    assert.equal(running, 1);
    await new Promise<void>((resolve) => ends.push(resolve));
    running -= 1;
  };
  const gatherer = createGatherer({
    clock,
    delayMs: 1,
    delayMaxMs: 1,
    work,
    onFailure: () => assert.fail(),
  });
  gatherer.request();
  await clock.advance(1);
  gatherer.request();
  await clock.advance(100);
  assert.equal(ends.length, 1);
  ends[0]?.();
  await clock.advance(1);
  assert.equal(ends.length, 2);
  ends[1]?.();
  await gatherer.stop();
});

test("a failure is tried again, each time later", async () => {
  const clock = createManualClock();
  const waits: number[] = [];
  let failures = 0;
  const work = async (): Promise<void> => {
    failures += 1;
    if (failures < 4) throw new Error("no");
  };
  const gatherer = createGatherer({
    clock,
    delayMs: 0,
    delayMaxMs: 0,
    retryMs: 100,
    retryMaxMs: 250,
    work,
    onFailure: (_error, retryMs) => waits.push(retryMs),
  });
  gatherer.request();
  await clock.advance(0);
  gatherer.request();
  await clock.advance(1_000);
  assert.deepEqual(waits, [100, 200, 250]);
  assert.equal(failures, 4);
  assert.equal(clock.pending, 0);
});
