/** The workload controllers against an API whose watches lag: nothing is made twice, nothing is left behind. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { resources } from "@wherry/client";
import type { MemoryApi } from "@wherry/client/testing";
import {
  controllerOf,
  type ControllerRevision,
  type DaemonSet,
  type Deployment,
  type Job,
  type KubeObject,
  type PersistentVolumeClaim,
  type Pod,
  type PodTemplateSpec,
  type ReplicaSet,
  type ReplicationController,
  type StatefulSet,
} from "@wherry/machinery";
import {
  startControllers,
  testNode,
  type ControllerSetup,
} from "../cluster/testing/controller-setup.ts";
import { createDaemonSetController } from "./daemon-set.ts";
import { createDeploymentController } from "./deployment.ts";
import { createJobController } from "./job.ts";
import { createReplicaSetController } from "./replica-set.ts";
import { createReplicationControllerController } from "./replication-controller.ts";
import { createStatefulSetController } from "./stateful-set.ts";

const watchLag = { seed: 7, maxMs: 60 };
const template = (image = "a"): PodTemplateSpec => ({
  metadata: { labels: { app: "web" } },
  spec: { restartPolicy: "Never", containers: [{ name: "c", image }] },
});
const selector = { matchLabels: { app: "web" } };
const metadata = { name: "web", namespace: "default" };
const podsIn = (api: MemoryApi): readonly Pod[] => api.list<Pod>(resources.pods, "default");
const livePods = (api: MemoryApi): readonly Pod[] =>
  podsIn(api).filter((pod) => pod.metadata.deletionTimestamp === undefined);

async function setStatus(
  api: MemoryApi,
  pod: Pod,
  status: NonNullable<Pod["status"]>,
): Promise<void> {
  await api.client.patch(
    resources.pods,
    pod.metadata.name ?? "",
    "default",
    "merge",
    { status: status as never },
    { subresource: "status" },
  );
}

async function makeReady({ api }: ControllerSetup): Promise<void> {
  for (const pod of livePods(api))
    await setStatus(api, pod, {
      phase: "Running",
      conditions: [{ type: "Ready", status: "True", lastTransitionTime: "2025-12-31T00:00:00Z" }],
    });
}

const replicaSet = (replicas: number): ReplicaSet => ({
  apiVersion: "apps/v1",
  kind: "ReplicaSet",
  metadata,
  spec: { replicas, selector, template: template() },
});

test("a replica set makes no pod twice, adopts an orphan, lets go what no longer matches, and shrinks", async () => {
  const orphan: Pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "orphan", namespace: "default", labels: { app: "web" } },
    spec: template().spec,
    status: { phase: "Running" },
  };
  const setup = await startControllers((context) => [createReplicaSetController(context)], {
    seed: [orphan],
    watchLag,
  });
  const { api } = setup;
  await api.client.create(resources.replicaSets, replicaSet(4));
  for (let round = 0; round < 20; round += 1) {
    await setup.settle(50);
    assert.ok(podsIn(api).length <= 4, `${podsIn(api).length} pods`);
  }
  assert.equal(podsIn(api).filter((pod) => controllerOf(pod)?.name === "web").length, 4);
  assert.equal(api.list<ReplicaSet>(resources.replicaSets)[0]?.status?.replicas, 4);
  await api.client.patch(resources.pods, "orphan", "default", "merge", {
    metadata: { labels: { app: "other" } },
  });
  await setup.settle(500);
  assert.equal(
    controllerOf(api.get<Pod>(resources.pods, "orphan", "default") ?? orphan),
    undefined,
  );
  assert.equal(livePods(api).length, 5);
  await api.client.patch(resources.replicaSets, "web", "default", "merge", {
    spec: { replicas: 1 },
  });
  await setup.settle(500);
  assert.equal(livePods(api).length, 2);
  const events = setup.events();
  assert.equal(
    events.filter((one) => one.startsWith("SuccessfulCreate: Created pod: web-")).length,
    4,
  );
  assert.equal(
    events.filter((one) => one.startsWith("SuccessfulDelete: Deleted pod: web-")).length,
    3,
  );
  await setup.stop();
});

test("a replication controller is served by the same loop", async () => {
  const setup = await startControllers((context) => [
    createReplicationControllerController(context),
  ]);
  const owner: ReplicationController = {
    apiVersion: "v1",
    kind: "ReplicationController",
    metadata,
    spec: { replicas: 2, selector: { app: "web" }, template: template() },
  };
  await setup.api.client.create(resources.replicationControllers, owner);
  await setup.settle(500);
  await makeReady(setup);
  await setup.settle(500);
  const { status } = await setup.api.client.get<ReplicationController>(
    resources.replicationControllers,
    "web",
    "default",
  );
  assert.deepEqual(
    [
      status?.replicas,
      status?.availableReplicas,
      status !== undefined && "terminatingReplicas" in status,
    ],
    [2, 2, false],
  );
  await setup.stop();
});

test("a paused deployment is resized but not rolled out, and its history is cut to the limit", async () => {
  const setup = await startControllers(
    (context) => [createDeploymentController(context), createReplicaSetController(context)],
    { watchLag },
  );
  const { api } = setup;
  const deployment: Deployment = {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata,
    spec: { replicas: 2, revisionHistoryLimit: 1, selector, template: template() },
  };
  await api.client.create(resources.deployments, deployment);
  const settle = async (): Promise<void> => {
    for (let round = 0; round < 12; round += 1) {
      await setup.settle(100);
      await makeReady(setup);
    }
  };
  await settle();
  const patch = (spec: object) =>
    api.client.patch(resources.deployments, "web", "default", "merge", { spec: spec as never });
  await patch({
    paused: true,
    replicas: 0,
    template: { spec: { containers: [{ name: "c", image: "b" }] } },
  });
  await settle();
  assert.equal(api.list(resources.replicaSets).length, 1);
  await patch({ replicas: 3 });
  await settle();
  assert.deepEqual(
    livePods(api).map((pod) => pod.spec.containers[0]?.image),
    ["a", "a", "a"],
  );
  assert.equal(
    (
      await api.client.get<Deployment>(resources.deployments, "web", "default")
    ).status?.conditions?.find((one) => one.type === "Progressing")?.reason,
    "DeploymentPaused",
  );
  await patch({ paused: false });
  await settle();
  for (const image of ["c", "d"]) {
    await api.client.patch(resources.deployments, "web", "default", "merge", {
      metadata: { annotations: { "kubernetes.io/change-cause": `to ${image}` } },
      spec: { template: { spec: { containers: [{ name: "c", image }] } } },
    });
    await settle();
  }
  assert.deepEqual(
    livePods(api).map((pod) => pod.spec.containers[0]?.image),
    ["d", "d", "d"],
  );
  const sets = api.list<ReplicaSet>(resources.replicaSets);
  assert.deepEqual(
    new Set(sets.map((one) => one.metadata.annotations?.["deployment.kubernetes.io/revision"])),
    new Set(["3", "4"]),
  );
  assert.equal(
    sets.find((one) => one.spec.replicas === 3)?.metadata.annotations?.[
      "kubernetes.io/change-cause"
    ],
    "to d",
  );
  await setup.stop();
});

const job = (spec: Partial<Job["spec"]> = {}): Job => ({
  apiVersion: "batch/v1",
  kind: "Job",
  metadata,
  spec: { completions: 3, parallelism: 2, backoffLimit: 6, template: template(), ...spec },
});
const jobNow = (api: MemoryApi): Job | undefined => api.get<Job>(resources.jobs, "web", "default");

test("a job counts every pod once however late the watches are, and frees them all", async () => {
  for (const seed of [1, 5, 9]) {
    const setup = await startControllers((context) => [createJobController(context)], {
      watchLag: { seed, maxMs: 80 },
    });
    const { api } = setup;
    await api.client.create(resources.jobs, job());
    for (let round = 0; round < 60; round += 1) {
      await setup.settle(40);
      for (const pod of livePods(api))
        if (pod.status?.phase === "Pending") await setStatus(api, pod, { phase: "Succeeded" });
      if (round % 7 === 3) api.breakWatches();
      assert.ok(podsIn(api).length <= 3, `seed ${seed}: ${podsIn(api).length} pods`);
    }
    await setup.settle(60_000);
    const { status } = jobNow(api) ?? job();
    assert.deepEqual(
      [status?.succeeded, status?.failed, status?.uncountedTerminatedPods],
      [3, undefined, {}],
      `seed ${seed}`,
    );
    assert.deepEqual(
      status?.conditions?.map((one) => one.type),
      ["SuccessCriteriaMet", "Complete"],
    );
    assert.deepEqual(
      podsIn(api).flatMap((pod) => pod.metadata.finalizers ?? []),
      [],
    );
    await setup.stop();
  }
});

test("a job that has failed leaves no pod behind its finalizer, not even one that never ran", async () => {
  const setup = await startControllers((context) => [createJobController(context)], { watchLag });
  const { api } = setup;
  await api.client.create(resources.jobs, job({ backoffLimit: 0 }));
  await setup.settle(500);
  const [first] = livePods(api);
  assert.ok(first);
  await setStatus(api, first, { phase: "Failed" });
  await setup.settle(2_000);
  assert.deepEqual(
    jobNow(api)?.status?.conditions?.map((one) => [one.type, one.reason]),
    [
      ["FailureTarget", "BackoffLimitExceeded"],
      ["Failed", "BackoffLimitExceeded"],
    ],
  );
  assert.equal(jobNow(api)?.status?.failed, 2);
  assert.deepEqual(
    podsIn(api).map((pod) => pod.metadata.name),
    [first.metadata.name],
  );
  await setup.stop();
});

test("a job is removed when its time to live is over, and pods whose job is gone are freed", async () => {
  const setup = await startControllers((context) => [createJobController(context)], { watchLag });
  const { api } = setup;
  await api.client.create(resources.jobs, job({ completions: 1, ttlSecondsAfterFinished: 30 }));
  await setup.settle(500);
  for (const pod of livePods(api)) await setStatus(api, pod, { phase: "Succeeded" });
  await setup.settle(2_000);
  assert.ok(jobNow(api));
  await setup.settle(40_000);
  assert.notEqual(jobNow(api)?.metadata.deletionTimestamp, undefined);
  await api.client.patch(resources.jobs, "web", "default", "merge", {
    metadata: { finalizers: null },
  });
  const stray: Pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: "stray",
      namespace: "default",
      finalizers: ["batch.kubernetes.io/job-tracking"],
      ownerReferences: [
        { apiVersion: "batch/v1", kind: "Job", name: "web", uid: "of-old", controller: true },
      ],
    },
    spec: template().spec,
  };
  await api.client.create(resources.pods, stray);
  await setup.settle(2_000);
  assert.equal(jobNow(api), undefined);
  assert.deepEqual(
    podsIn(api).flatMap((pod) => pod.metadata.finalizers ?? []),
    [],
  );
  await setup.stop();
});

test("a daemon set follows nodes and templates, and replaces a pod that keeps failing ever more slowly", async () => {
  const node = (name: string): KubeObject => testNode(name);
  const setup = await startControllers((context) => [createDaemonSetController(context)], {
    seed: [node("n1"), node("n2")],
    watchLag,
  });
  const { api } = setup;
  const set: DaemonSet = {
    apiVersion: "apps/v1",
    kind: "DaemonSet",
    metadata,
    spec: {
      selector,
      template: template(),
      updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 1 } },
    },
  };
  await api.client.create(resources.daemonSets, set);
  const settle = async (rounds = 10): Promise<void> => {
    for (let round = 0; round < rounds; round += 1) {
      await setup.settle(100);
      await makeReady(setup);
      assert.ok(livePods(api).length <= 3);
    }
  };
  await settle();
  await api.client.create(resources.nodes, node("n3"));
  await settle();
  assert.deepEqual(
    new Set(
      livePods(api).map(
        (pod) =>
          pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution
            ?.nodeSelectorTerms[0]?.matchFields?.[0]?.values?.[0],
      ),
    ),
    new Set(["n1", "n2", "n3"]),
  );
  await api.client.patch(resources.daemonSets, "web", "default", "merge", {
    spec: { template: { spec: { containers: [{ name: "c", image: "b" }] } } },
  });
  await settle(30);
  const now = () => api.client.get<DaemonSet>(resources.daemonSets, "web", "default");
  const { status } = await now();
  assert.deepEqual(
    [status?.desiredNumberScheduled, status?.updatedNumberScheduled, status?.numberAvailable],
    [3, 3, 3],
  );
  assert.deepEqual(
    new Set(api.list<ControllerRevision>(resources.controllerRevisions).map((one) => one.revision)),
    new Set([1, 2]),
  );
  let failures = 0;
  for (let round = 0; round < 60; round += 1) {
    const [pod] = livePods(api).filter(
      (one) =>
        one.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution
          ?.nodeSelectorTerms[0]?.matchFields?.[0]?.values?.[0] === "n1",
    );
    if (pod !== undefined && pod.status?.phase !== "Failed") {
      failures += 1;
      await setStatus(api, pod, { phase: "Failed" });
    }
    await setup.settle(500);
  }
  assert.ok(failures >= 4 && failures <= 7, `${failures} pods in 30 s`);
  assert.ok(
    setup
      .events()
      .some((one) => one.startsWith("FailedDaemonPod: Found failed daemon pod default/web-")),
  );
  await setup.stop();
});

test("a stateful set starts in order with its claims, and below the partition a lost pod comes back as it was", async () => {
  const setup = await startControllers((context) => [createStatefulSetController(context)], {
    watchLag,
  });
  const { api } = setup;
  const claim = {
    metadata: { name: "data" },
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } },
  } as PersistentVolumeClaim;
  const set: StatefulSet = {
    apiVersion: "apps/v1",
    kind: "StatefulSet",
    metadata,
    spec: {
      replicas: 2,
      serviceName: "web",
      selector,
      template: template(),
      volumeClaimTemplates: [claim],
      persistentVolumeClaimRetentionPolicy: { whenScaled: "Delete", whenDeleted: "Retain" },
      updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 0 } },
    },
  };
  await api.client.create(resources.statefulSets, set);
  await setup.settle(1_000);
  assert.deepEqual(
    livePods(api).map((pod) => pod.metadata.name),
    ["web-0"],
  );
  const settle = async (): Promise<void> => {
    for (let round = 0; round < 15; round += 1) {
      await makeReady(setup);
      await setup.settle(100);
    }
  };
  await settle();
  assert.deepEqual(
    livePods(api).map((pod) => [
      pod.metadata.name,
      pod.spec.volumes?.[0]?.persistentVolumeClaim?.claimName,
    ]),
    [
      ["web-0", "data-web-0"],
      ["web-1", "data-web-1"],
    ],
  );
  await api.client.patch(resources.statefulSets, "web", "default", "merge", {
    spec: {
      template: { spec: { containers: [{ name: "c", image: "b" }] } },
      updateStrategy: { rollingUpdate: { partition: 1 } },
    },
  });
  await settle();
  const images = (): unknown => livePods(api).map((pod) => pod.spec.containers[0]?.image);
  assert.deepEqual(images(), ["a", "b"]);
  await api.client.delete(resources.pods, "web-0", "default", { gracePeriodSeconds: 0 });
  await settle();
  assert.deepEqual(images(), ["a", "b"]);
  await api.client.patch(resources.statefulSets, "web", "default", "merge", {
    spec: { replicas: 1, updateStrategy: { rollingUpdate: { partition: 0 } } },
  });
  await settle();
  assert.deepEqual(images(), ["b"]);
  const owners = api.get<PersistentVolumeClaim>(
    resources.persistentVolumeClaims,
    "data-web-1",
    "default",
  )?.metadata.ownerReferences;
  assert.deepEqual(
    owners?.map((one) => [one.kind, one.name]),
    [["Pod", "web-1"]],
  );
  const { status } = await api.client.get<StatefulSet>(resources.statefulSets, "web", "default");
  assert.deepEqual(
    [status?.replicas, status?.updatedReplicas, status?.currentRevision === status?.updateRevision],
    [1, 1, true],
  );
  assert.ok(
    setup.events().includes("SuccessfulCreate: create Pod web-0 in StatefulSet web successful"),
  );
  assert.ok(
    setup
      .events()
      .includes("SuccessfulCreate: create Claim data-web-0 Pod web-0 in StatefulSet web success"),
  );
  await setup.stop();
});
