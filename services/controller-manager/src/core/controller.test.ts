import assert from "node:assert/strict";
import { test } from "node:test";
import { createEventRecorder, createInformerFactory } from "@wherry/client";
import { createMemoryApi } from "@wherry/client/testing";
import { newConflict } from "@wherry/machinery";
import { silentLogger, type Logger } from "@wherry/service-kit";
import { createManualClock } from "@wherry/service-kit/testing";
import { createReconciler, soonest } from "./controller.ts";

test("a conflict is tried again quietly a few times before it counts as a failure", async () => {
  const clock = createManualClock();
  const api = createMemoryApi({ clock }).client;
  const warnings: string[] = [];
  const log: Logger = {
    ...silentLogger,
    warn: (...args: readonly unknown[]) => void warnings.push(String(args.at(-1))),
    child: () => log,
  };
  const context = {
    api,
    clock,
    log,
    informers: createInformerFactory({ client: api, clock, log }),
    events: createEventRecorder({ client: api, clock, component: "test" }),
  };
  let calls = 0;
  let isOver = false;
  const reconciler = createReconciler({
    name: "test",
    context,
    async reconcile() {
      calls += 1;
      if (!isOver) throw newConflict({ group: "", resource: "pods" }, "p");
    },
  });
  const stop = new AbortController();
  const running = reconciler.run(stop.signal);
  reconciler.enqueue("default/p");
  await clock.advance(300);
  assert.deepEqual([calls, warnings.length], [5, 0]);
  await clock.advance(400);
  assert.deepEqual(warnings, ["work on a key failed"]);
  isOver = true;
  await clock.advance(1_000);
  const settled = calls;
  await clock.advance(10_000);
  assert.equal(calls, settled);
  stop.abort();
  await running;
});

test("of several times to come again the shortest counts", () => {
  assert.equal(soonest(undefined), undefined);
  assert.deepEqual(soonest(5, undefined, 3), { requeueAfterMs: 3 });
});
