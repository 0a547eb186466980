import assert from "node:assert/strict";
import { test } from "node:test";
import { resources } from "@wherry/client";
import { createMemoryApi, createSeededRandom } from "@wherry/client/testing";
import type { Deployment, Pod, ReplicaSet } from "@wherry/machinery";
import { createNullMetrics, parseConfig, silentLogger } from "@wherry/service-kit";
import { createManualClock } from "@wherry/service-kit/testing";
import { controllerManagerConfig, createControllerManager } from "../index.ts";
import { planRollout, planScaling, surgeOf } from "./deployment-rollout.ts";
import { deploymentStatus } from "./deployment-status.ts";

const deployment = (
  image: string,
  replicas: number,
  strategy: Deployment["spec"]["strategy"] = {
    type: "RollingUpdate",
    rollingUpdate: { maxSurge: 1, maxUnavailable: 1 },
  },
): Deployment => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name: "web", namespace: "default" },
  spec: {
    replicas,
    selector: { matchLabels: { app: "web" } },
    strategy,
    template: {
      metadata: { labels: { app: "web" } },
      spec: { containers: [{ name: "c", image }] },
    },
  },
});
const set = (name: string, replicas: number, available: number): ReplicaSet => ({
  metadata: { name, namespace: "default" },
  spec: { replicas, selector: {} },
  status: { replicas, availableReplicas: available },
});

test("a rollout grows the new set within the surge and shrinks the old within what may be unavailable", () => {
  const goal = deployment("b", 4);
  assert.deepEqual(surgeOf(goal), { maxSurge: 1, maxUnavailable: 1 });
  const old = set("old", 4, 4);
  const fresh = set("new", 0, 0);
  assert.deepEqual(
    [...planRollout(goal, fresh, [old])].map(([one, size]) => [one.metadata.name, size]),
    [["new", 1]],
  );
  assert.deepEqual(
    [...planRollout(goal, set("new", 1, 0), [old])].map(([one, size]) => [one.metadata.name, size]),
    [["old", 3]],
  );
  assert.deepEqual([...planRollout(goal, set("new", 2, 0), [set("old", 3, 3)])], []);
});

test("Recreate brings the old down to nothing before anything new starts", () => {
  const goal = deployment("b", 2, { type: "Recreate" });
  assert.deepEqual(
    [...planRollout(goal, set("new", 0, 0), [set("old", 2, 2)])].map(([one, size]) => [
      one.metadata.name,
      size,
    ]),
    [["old", 0]],
  );
  assert.deepEqual(
    [...planRollout(goal, set("new", 0, 0), [{ ...set("old", 0, 0), status: { replicas: 1 } }])],
    [],
  );
  assert.deepEqual(
    [...planRollout(goal, set("new", 0, 0), [set("old", 0, 0)])].map(([one, size]) => [
      one.metadata.name,
      size,
    ]),
    [["new", 2]],
  );
});

test("Recreate waits for pods that are still going away", () => {
  const goal = deployment("b", 2, { type: "Recreate" });
  const going: ReplicaSet = {
    ...set("old", 0, 0),
    status: { replicas: 0, terminatingReplicas: 1 },
  };
  assert.equal(planRollout(goal, set("new", 0, 0), [going]).size, 0);
});

test("a resize in the middle of a rollout is spread in proportion", () => {
  const sized = (name: string, replicas: number): ReplicaSet => ({
    ...set(name, replicas, replicas),
    metadata: { name, annotations: { "deployment.kubernetes.io/max-replicas": "13" } },
  });
  const goal = deployment("b", 15, {
    type: "RollingUpdate",
    rollingUpdate: { maxSurge: 3, maxUnavailable: 2 },
  });
  const sizes = planScaling(goal, { newSet: sized("new", 5), oldSets: [sized("old", 8)] });
  assert.deepEqual(
    [...sizes].map(([one, size]) => [one.metadata.name, size]),
    [
      ["old", 11],
      ["new", 7],
    ],
  );
  const none = planScaling(deployment("b", 3), {
    newSet: set("new", 0, 0),
    oldSets: [set("old", 0, 0)],
  });
  assert.deepEqual(
    [...none].map(([one, size]) => [one.metadata.name, size]),
    [["new", 3]],
  );
});

test("a rollout that stands still for too long says so, and one that is through stays so when a pod fails", () => {
  const nowMs = Date.UTC(2026, 0, 1, 1);
  const goal: Deployment = {
    ...deployment("b", 2),
    status: {
      updatedReplicas: 1,
      replicas: 2,
      availableReplicas: 1,
      conditions: [
        {
          type: "Progressing",
          status: "True",
          reason: "ReplicaSetUpdated",
          lastUpdateTime: "2026-01-01T00:00:00Z",
        },
      ],
    },
  };
  const rollout = { newSet: set("new", 1, 0), oldSets: [set("old", 1, 1)] };
  const stuck = deploymentStatus(goal, rollout, nowMs).conditions?.find(
    (one) => one.type === "Progressing",
  );
  assert.deepEqual(
    [stuck?.status, stuck?.reason, stuck?.message],
    ["False", "ProgressDeadlineExceeded", 'ReplicaSet "new" has timed out progressing.'],
  );
  const through: Deployment = {
    ...goal,
    status: {
      conditions: [{ type: "Progressing", status: "True", reason: "NewReplicaSetAvailable" }],
    },
  };
  const later = deploymentStatus(
    through,
    { newSet: set("new", 2, 1), oldSets: [] },
    nowMs,
  ).conditions?.find((one) => one.type === "Progressing");
  assert.equal(later?.reason, "NewReplicaSetAvailable");
  const refused: ReplicaSet = {
    ...set("new", 2, 0),
    status: {
      replicas: 0,
      conditions: [
        { type: "ReplicaFailure", status: "True", reason: "FailedCreate", message: "quota" },
      ],
    },
  };
  assert.equal(
    deploymentStatus(goal, { newSet: refused, oldSets: [] }, nowMs).conditions?.find(
      (one) => one.type === "ReplicaFailure",
    )?.message,
    "quota",
  );
});

async function world(seed: number) {
  const clock = createManualClock();
  const api = createMemoryApi({ clock, watchLag: { seed, maxMs: 40 } });
  const manager = createControllerManager(
    parseConfig(controllerManagerConfig, {
      controllers: ["deployment-controller", "replicaset-controller"],
    }),
    { api: api.client, clock, log: silentLogger, metrics: createNullMetrics() },
  );
  const starting = manager.start(new AbortController().signal);
  await clock.advance(100);
  await starting;
  const livePods = () =>
    api
      .list<Pod>(resources.pods, "default")
      .filter((pod) => pod.metadata.deletionTimestamp === undefined);
  const readiness = async (pod: Pod): Promise<void> => {
    const status = {
      phase: "Running",
      conditions: [{ type: "Ready", status: "True", lastTransitionTime: "2026-01-01T00:00:00Z" }],
    };
    await api.client
      .patch(
        resources.pods,
        pod.metadata.name ?? "",
        "default",
        "merge",
        { status },
        { subresource: "status" },
      )
      .catch(() => {});
  };
  return { clock, api, manager, livePods, readiness };
}

const isUp = (pod: Pod): boolean =>
  pod.status?.conditions?.some((one) => one.type === "Ready" && one.status === "True") === true;

test("from nothing to ready, to a new image and back, with revisions and conditions as kubectl reads them", async () => {
  const { api, clock, manager, livePods, readiness } = await world(1);
  const settle = async (): Promise<void> => {
    for (let round = 0; round < 40; round += 1) {
      for (const pod of livePods()) if (!isUp(pod)) await readiness(pod);
      await clock.advance(100);
    }
  };
  await api.client.create(resources.deployments, deployment("a", 3));
  await settle();
  const now = () => api.get<Deployment>(resources.deployments, "web", "default");
  assert.equal(livePods().length, 3);
  assert.equal(now()?.status?.availableReplicas, 3);
  assert.equal(
    now()?.status?.conditions?.find((one) => one.type === "Progressing")?.reason,
    "NewReplicaSetAvailable",
  );

  await api.client.patch(resources.deployments, "web", "default", "strategic", {
    spec: { template: { spec: { containers: [{ name: "c", image: "b" }] } } },
  });
  await settle();
  assert.deepEqual(
    livePods().map((pod) => pod.spec.containers[0]?.image),
    ["b", "b", "b"],
  );
  assert.equal(now()?.metadata.annotations?.["deployment.kubernetes.io/revision"], "2");
  assert.equal(api.list(resources.replicaSets).length, 2);

  await api.client.patch(resources.deployments, "web", "default", "strategic", {
    spec: { replicas: 5, template: { spec: { containers: [{ name: "c", image: "a" }] } } },
  });
  await settle();
  assert.deepEqual(
    livePods().map((pod) => pod.spec.containers[0]?.image),
    ["a", "a", "a", "a", "a"],
  );
  assert.equal(now()?.metadata.annotations?.["deployment.kubernetes.io/revision"], "3");
  await manager.stop(new AbortController().signal);
});

test("whatever becomes ready when, and however late watches are, a rollout stays within surge and unavailability", async () => {
  for (const seed of [3, 11, 42]) {
    const random = createSeededRandom(seed);
    const { api, clock, manager, livePods, readiness } = await world(seed);
    await api.client.create(resources.deployments, deployment("a", 4));
    const step = async (): Promise<void> => {
      for (const pod of livePods()) if (!isUp(pod) && random() < 0.3) await readiness(pod);
      if (random() < 0.05) api.breakWatches();
      await clock.advance(50);
    };
    for (let round = 0; round < 200 && livePods().filter(isUp).length < 4; round += 1) await step();
    await api.client.patch(resources.deployments, "web", "default", "strategic", {
      spec: { template: { spec: { containers: [{ name: "c", image: "b" }] } } },
    });
    for (let round = 0; round < 400; round += 1) {
      await step();
      assert.ok(livePods().length <= 5, `seed ${seed}: ${livePods().length} pods at once`);
      assert.ok(
        livePods().filter(isUp).length >= 3,
        `seed ${seed}: only ${livePods().filter(isUp).length} pods up`,
      );
    }
    assert.deepEqual(
      livePods().map((pod) => pod.spec.containers[0]?.image),
      ["b", "b", "b", "b"],
      `seed ${seed}`,
    );
    await manager.stop(new AbortController().signal);
  }
});
