import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock, type Clock } from "./index.ts";
import { createManualClock } from "./testing.ts";

/** Both clocks keep the same promises; the manual one is moved by `pass`. */
function contract(
  name: string,
  create: () => { clock: Clock; pass: (ms: number) => Promise<void> },
): void {
  test(`${name}: timers fire in order and not after cancel`, async () => {
    const { clock, pass } = create();
    const fired: string[] = [];
    const doneB = Promise.withResolvers<void>();
    clock.setTimer(20, () => {
      fired.push("b");
      doneB.resolve();
    });
    clock.setTimer(5, () => fired.push("a"));
    clock.setTimer(10, () => fired.push("never")).cancel();
    await Promise.all([pass(25), doneB.promise]);
    assert.deepEqual(fired, ["a", "b"]);
  });

  test(`${name}: a sleep ends early with the signal's reason`, async () => {
    const { clock } = create();
    const stop = new AbortController();
    const sleeping = clock.sleep(60_000, stop.signal);
    stop.abort(new Error("enough"));
    await assert.rejects(sleeping, /enough/);
    await assert.rejects(clock.sleep(1, stop.signal), /enough/);
  });

  test(`${name}: the monotonic clock does not go back`, async () => {
    const { clock, pass } = create();
    const before = clock.monotonic();
    await pass(1);
    assert.ok(clock.monotonic() >= before);
  });
}

contract("system clock", () => ({
  clock: systemClock,
  // Keeps the process alive for the clock's own unreferenced timers.
  pass: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
}));
contract("manual clock", () => {
  const clock = createManualClock();
  return { clock, pass: (ms) => clock.advance(ms) };
});

test("the manual clock honours timers set by timers within one advance", async () => {
  const clock = createManualClock(0);
  const seen: number[] = [];
  const again = (): void => {
    seen.push(clock.now());
    if (seen.length < 3) clock.setTimer(10, again);
  };
  clock.setTimer(10, again);
  await clock.advance(100);
  assert.deepEqual(seen, [10, 20, 30]);
  assert.equal(clock.now(), 100);
  assert.equal(clock.pending, 0);
});
