import assert from "node:assert/strict";
import { test } from "node:test";
import { createManualClock } from "@wherry/service-kit/testing";
import { createNumberPool, staticBand } from "./number-pool.ts";

function setUp(random = () => 0) {
  const clock = createManualClock();
  return { clock, pool: createNumberPool({ first: 1, last: 6, staticCount: 2, clock, random }) };
}

test("numbers come from behind the static band until it is all that is left", () => {
  const { pool } = setUp();
  const given = Array.from({ length: 7 }, () => pool.takeNext("o", true));
  assert.deepEqual(given, [3, 4, 5, 6, 1, 2, "full"]);
});

test("a wanted number is refused outside the range and when somebody has it", () => {
  const { pool } = setUp();
  pool.hold(5);
  assert.equal(pool.take(7, "a", true), "outOfRange");
  assert.equal(pool.take(5, "a", true), "allocated");
  assert.equal(pool.take(1, "a", true), undefined);
  assert.equal(pool.take(1, "b", true), "allocated");
});

test("a number that never reached the store is free again after a minute, and for its owner at once", async () => {
  const { clock, pool } = setUp();
  assert.equal(pool.take(4, "a", true), undefined);
  assert.equal(pool.take(4, "a", true), undefined);
  await clock.advance(59_000);
  assert.equal(pool.take(4, "b", true), "allocated");
  await clock.advance(1_000);
  assert.equal(pool.take(4, "b", true), undefined);
});

test("a dry run takes nothing", () => {
  const { pool } = setUp();
  assert.equal(pool.takeNext("a", false), 3);
  assert.equal(pool.takeNext("b", true), 3);
});

test("a number that two objects hold is free when both are gone", () => {
  const { pool } = setUp();
  pool.hold(3);
  pool.hold(3);
  pool.release(3);
  assert.equal(pool.take(3, "a", true), "allocated");
  pool.release(3);
  assert.equal(pool.take(3, "a", true), undefined);
});

// Upstream's figures: 256 of a /16, 16 of a /24, 86 of the 2768 node ports.
test("static bands are as large as upstream's", () => {
  assert.equal(staticBand(65_534, 16, 256), 256);
  assert.equal(staticBand(254, 16, 256), 16);
  assert.equal(staticBand(2768, 32, 128), 86);
  assert.equal(staticBand(14, 16, 256), 0);
});
