import assert from "node:assert/strict";
import { test } from "node:test";
import { createPacer } from "./pacer.ts";

test("a pacer asks for a pause when the slice is used up, and not again right after it", async () => {
  const pacer = createPacer();
  assert.equal(pacer.pause(), undefined);
  const endMs = performance.now() + 6;
  while (performance.now() < endMs) assert.ok(true);
  const pause = pacer.pause();
  assert.ok(pause !== undefined);
  let othersRan = false;
  setImmediate(() => {
    othersRan = true;
  });
  await Promise.all([pause, new Promise((resolve) => setImmediate(resolve))]);
  assert.ok(othersRan);
  assert.equal(pacer.pause(), undefined);
});
