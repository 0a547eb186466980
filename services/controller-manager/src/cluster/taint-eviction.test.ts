import assert from "node:assert/strict";
import { test } from "node:test";
import { resources } from "@wherry/client";
import type { Node, Pod, Taint, Toleration } from "@wherry/machinery";
import { createTaintEvictionController } from "./taint-eviction-controller.ts";
import { planEviction } from "./taint-eviction-plan.ts";
import {
  startControllers,
  testNode,
  testPod,
  type ControllerSetup,
} from "./testing/controller-setup.ts";

const unreachable: Taint = { key: "node.kubernetes.io/unreachable", effect: "NoExecute" };
const other: Taint = { key: "other", value: "x", effect: "NoExecute" };
const toleration = (key: string, tolerationSeconds?: number): Toleration => ({
  key,
  operator: "Exists",
  effect: "NoExecute",
  ...(tolerationSeconds === undefined ? {} : { tolerationSeconds }),
});

test("the shortest toleration decides; a taint without one does at once", () => {
  assert.deepEqual(planEviction([], [unreachable]), { kind: "leave", afterMs: 0 });
  assert.deepEqual(planEviction([toleration(unreachable.key, 300)], [unreachable]), {
    kind: "leave",
    afterMs: 300_000,
  });
  assert.deepEqual(
    planEviction([toleration(unreachable.key, 300), toleration("other", 10)], [unreachable, other]),
    { kind: "leave", afterMs: 10_000 },
  );
  assert.deepEqual(
    planEviction([toleration(unreachable.key), toleration("other", 10)], [unreachable, other]),
    { kind: "leave", afterMs: 10_000 },
  );
  assert.deepEqual(planEviction([toleration(unreachable.key)], [unreachable]), { kind: "stay" });
  assert.deepEqual(planEviction([toleration(unreachable.key, -1)], [unreachable]), {
    kind: "leave",
    afterMs: 0,
  });
  assert.deepEqual(planEviction([toleration(unreachable.key, 300)], [unreachable, other]), {
    kind: "leave",
    afterMs: 0,
  });
});

const isLeaving = ({ api }: ControllerSetup, name: string): boolean =>
  api.get<Pod>(resources.pods, name, "default")?.metadata.deletionTimestamp !== undefined;
const setTaints = ({ api }: ControllerSetup, taints: readonly Taint[]): Promise<Node> =>
  api.client.patch<Node>(resources.nodes, "n1", undefined, "merge", {
    spec: { taints: taints.map((taint) => ({ ...taint })) },
  });

test("pods leave a tainted node when their time is up, and stay when the taint goes before", async () => {
  for (const seed of [1, 2, 3]) {
    const setup = await startControllers((context) => [createTaintEvictionController(context)], {
      seed: [
        testNode("n1"),
        testPod("now"),
        testPod("later", { spec: { tolerations: [toleration(unreachable.key, 60)] } }),
        testPod("ever", { spec: { tolerations: [toleration(unreachable.key)] } }),
        testPod("elsewhere", { spec: { nodeName: "n2" } }),
      ],
      watchLag: { seed, maxMs: 200 },
    });
    await setTaints(setup, [unreachable]);
    await setup.settle(30_000);
    assert.equal(isLeaving(setup, "now"), true);
    assert.equal(isLeaving(setup, "later"), false);
    const condition = setup.api
      .get<Pod>(resources.pods, "now", "default")
      ?.status?.conditions?.find((one) => one.type === "DisruptionTarget");
    assert.deepEqual(
      [condition?.status, condition?.reason, condition?.message],
      ["True", "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint"],
    );
    assert.ok(
      setup.events().includes("TaintManagerEviction: Marking for deletion Pod default/now"),
    );

    await setTaints(setup, []);
    await setup.settle(60_000);
    assert.equal(isLeaving(setup, "later"), false);
    assert.ok(
      setup.events().includes("TaintManagerEviction: Cancelling deletion of Pod default/later"),
    );

    await setTaints(setup, [unreachable]);
    await setup.settle(59_000);
    assert.equal(isLeaving(setup, "later"), false);
    await setup.settle(2_000);
    assert.equal(isLeaving(setup, "later"), true);
    assert.equal(isLeaving(setup, "ever"), false);
    assert.equal(isLeaving(setup, "elsewhere"), false);
    await setup.stop();
  }
});

test("a pod that comes to a tainted node leaves it, and a shorter toleration counts from when the eviction began", async () => {
  const setup = await startControllers((context) => [createTaintEvictionController(context)], {
    seed: [testNode("n1", { spec: { taints: [unreachable] } })],
  });
  await setup.api.client.create(
    resources.pods,
    testPod("p", { spec: { tolerations: [toleration(unreachable.key, 100)] } }),
  );
  await setup.settle(40_000);
  await setup.api.client.patch(resources.pods, "p", "default", "merge", {
    spec: { tolerations: [{ ...toleration(unreachable.key, 50) }] },
  });
  await setup.settle(5_000);
  assert.equal(isLeaving(setup, "p"), false);
  await setup.settle(6_000);
  assert.equal(isLeaving(setup, "p"), true);
  await setup.stop();
});
