import assert from "node:assert/strict";
import { test } from "node:test";
import { resources } from "@wherry/client";
import type { KubeObject, Node, Pod } from "@wherry/machinery";
import { createPodGcController } from "./pod-gc-controller.ts";
import { surplusEnded } from "./pod-gc-plan.ts";
import {
  startControllers,
  testNode,
  testPod,
  type ControllerSetup,
  type ControllerSetupOptions,
} from "./testing/controller-setup.ts";

const start = (
  seed: readonly KubeObject[],
  options: ControllerSetupOptions = {},
  endedPodsMax?: number,
): Promise<ControllerSetup> =>
  startControllers(
    (context) => [
      createPodGcController(context, endedPodsMax === undefined ? {} : { endedPodsMax }),
    ],
    { seed, ...options },
  );
const names = ({ api }: ControllerSetup): readonly string[] =>
  api
    .list(resources.pods)
    .map(({ metadata }) => metadata.name ?? "")
    .sort();

test("pods of a node that is deleted go after a quarantine, and are marked as failed before", async () => {
  for (const seed of [1, 2, 3]) {
    const setup = await start(
      [
        testNode("n1"),
        testNode("n2"),
        testPod("lost"),
        testPod("stays", { spec: { nodeName: "n2" } }),
      ],
      { watchLag: { seed, maxMs: 300 } },
    );
    let failed: string | undefined;
    setup.api.intercept(({ method, path, body }) => {
      if (method === "PATCH" && path.includes("/pods/lost/status"))
        failed = Buffer.from(body ?? []).toString();
      return undefined;
    });
    await setup.api.client.delete(resources.nodes, "n1");
    await setup.settle(39_000);
    assert.deepEqual(names(setup), ["lost", "stays"]);
    await setup.settle(3_000);
    assert.deepEqual(names(setup), ["stays"]);
    assert.match(
      failed ?? "",
      /"phase":"Failed".*"reason":"DeletionByPodGC","message":"PodGC: node no longer exists"/,
    );
    await setup.stop();
  }
});

test("a node that comes back within its quarantine keeps its pods", async () => {
  const setup = await start([testPod("early")]);
  await setup.settle(30_000);
  setup.api.seed(testNode("n1"));
  await setup.settle(60_000);
  assert.deepEqual(names(setup), ["early"]);
  await setup.stop();
});

test("an unscheduled pod under deletion goes at once", async () => {
  const stuck: Pod = {
    ...testPod("stuck", { spec: { nodeName: "" } }),
    metadata: {
      name: "stuck",
      namespace: "default",
      deletionTimestamp: "2026-01-01T00:00:00Z",
      deletionGracePeriodSeconds: 30,
    },
  };
  const setup = await start([stuck, testPod("waits", { spec: { nodeName: "" } })]);
  await setup.settle(1_000);
  assert.deepEqual(names(setup), ["waits"]);
  await setup.stop();
});

test("pods under deletion on a node that is out of service go, the others stay", async () => {
  const setup = await start([testNode("n1"), testPod("terminating"), testPod("running")]);
  await setup.api.client.delete(resources.pods, "terminating", "default");
  await setup.settle(1_000);
  assert.deepEqual(names(setup), ["running", "terminating"]);
  const node = setup.api.get<Node>(resources.nodes, "n1");
  assert.ok(node);
  await setup.api.client.update(resources.nodes, {
    ...node,
    spec: { taints: [{ key: "node.kubernetes.io/out-of-service", effect: "NoExecute" }] },
  });
  await setup.api.client.patch(
    resources.nodes,
    "n1",
    undefined,
    "merge",
    { status: { conditions: [{ type: "Ready", status: "Unknown" }] } },
    { subresource: "status" },
  );
  await setup.settle(1_000);
  assert.deepEqual(names(setup), ["running"]);
  await setup.stop();
});

test("of too many ended pods the evicted and the oldest go", async () => {
  const ended = (name: string, second: number, reason?: string): Pod => ({
    ...testPod(name),
    metadata: { name, namespace: "default", creationTimestamp: `2026-01-01T00:00:0${second}Z` },
    status: {
      phase: reason === undefined ? "Succeeded" : "Failed",
      ...(reason === undefined ? {} : { reason }),
    },
  });
  const pods = [ended("c", 3), ended("a", 1), ended("evicted", 9, "Evicted"), ended("b", 2)];
  assert.deepEqual(surplusEnded(pods, 4), []);
  assert.deepEqual(
    surplusEnded(pods, 2).map(({ metadata }) => metadata.name),
    ["evicted", "a"],
  );
  const setup = await start([testNode("n1"), ...pods, testPod("running")], {}, 2);
  await setup.settle(1_000);
  assert.deepEqual(names(setup), ["b", "c", "running"]);
  await setup.stop();
});
