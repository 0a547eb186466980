import assert from "node:assert/strict";
import { test } from "node:test";
import { resources } from "@wherry/client";
import {
  formatMicroTime,
  type KubeObject,
  type Lease,
  type Node,
  type Pod,
  type Taint,
} from "@wherry/machinery";
import { judgeDisruption, disruptionDefaults, zoneOf } from "./node-disruption.ts";
import { planNodeHealth } from "./node-health.ts";
import { createNodeLifecycleController } from "./node-lifecycle-controller.ts";
import { planTaints } from "./node-taints.ts";
import {
  startControllers,
  testNode,
  testPod,
  type ControllerSetup,
  type ControllerSetupOptions,
} from "./testing/controller-setup.ts";

const now = "2026-01-01T00:10:00Z";
const conditioned = (...pairs: readonly (readonly [string, string])[]): Node =>
  testNode("n1", { status: { conditions: pairs.map(([type, status]) => ({ type, status })) } });
const names = (taints: readonly Taint[] | undefined): readonly string[] | undefined =>
  taints?.map(({ key, effect }) => `${key.replace("node.kubernetes.io/", "")}:${effect}`);

test("conditions become taints", () => {
  const table: readonly (readonly [Node, readonly string[] | undefined])[] = [
    [conditioned(["Ready", "True"]), undefined],
    [conditioned(["Ready", "False"]), ["not-ready:NoSchedule", "not-ready:NoExecute"]],
    [conditioned(["Ready", "Unknown"]), ["unreachable:NoSchedule", "unreachable:NoExecute"]],
    [
      conditioned(["Ready", "True"], ["MemoryPressure", "True"], ["DiskPressure", "True"]),
      ["memory-pressure:NoSchedule", "disk-pressure:NoSchedule"],
    ],
    [
      conditioned(["Ready", "True"], ["PIDPressure", "True"], ["NetworkUnavailable", "True"]),
      ["pid-pressure:NoSchedule", "network-unavailable:NoSchedule"],
    ],
    [conditioned(["Ready", "True"], ["MemoryPressure", "Unknown"]), undefined],
    [
      { ...conditioned(["Ready", "True"]), spec: { unschedulable: true } },
      ["unschedulable:NoSchedule"],
    ],
  ];
  for (const [node, expected] of table)
    assert.deepEqual(names(planTaints(node, "evict", now)), expected);
});

test("taints of others stay, those of the controller go with their condition", () => {
  const taints = [
    { key: "dedicated", value: "db", effect: "NoSchedule" },
    { key: "node.kubernetes.io/not-ready", effect: "NoSchedule" },
    { key: "node.kubernetes.io/not-ready", effect: "NoExecute" },
    { key: "node.kubernetes.io/out-of-service", effect: "NoExecute" },
  ];
  const ready = { ...conditioned(["Ready", "True"]), spec: { taints } };
  assert.deepEqual(names(planTaints(ready, "evict", now)), [
    "dedicated:NoSchedule",
    "out-of-service:NoExecute",
  ]);
  const unknown = { ...conditioned(["Ready", "Unknown"]), spec: { taints } };
  assert.deepEqual(names(planTaints(unknown, "keep", now)), [
    "dedicated:NoSchedule",
    "out-of-service:NoExecute",
    "unreachable:NoSchedule",
    "unreachable:NoExecute",
  ]);
  assert.deepEqual(names(planTaints(unknown, "spare", now)), [
    "dedicated:NoSchedule",
    "out-of-service:NoExecute",
    "unreachable:NoSchedule",
  ]);
  const fresh = conditioned(["Ready", "False"]);
  assert.deepEqual(names(planTaints(fresh, "keep", now)), ["not-ready:NoSchedule"]);
});

test("a silent node is unknown after its grace, and what its kubelet said with it", () => {
  const node = conditioned(["Ready", "True"], ["NetworkUnavailable", "False"]);
  const state = { node, graceMs: 50_000, startupGraceMs: 60_000, now };
  assert.deepEqual(planNodeHealth({ ...state, silentMs: 50_000 }), {
    kind: "healthy",
    checkAfterMs: 1,
  });
  const plan = planNodeHealth({ ...state, silentMs: 50_001 });
  assert.ok(plan.kind === "unknown" && plan.wasReady);
  const view = plan.conditions.map(({ type, status, reason = "", message = "" }) => [
    type,
    status,
    reason,
    message,
  ]);
  assert.deepEqual(view, [
    ["Ready", "Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status."],
    ["NetworkUnavailable", "False", "", ""],
    ["MemoryPressure", "Unknown", "NodeStatusNeverUpdated", "Kubelet never posted node status."],
    ["DiskPressure", "Unknown", "NodeStatusNeverUpdated", "Kubelet never posted node status."],
    ["PIDPressure", "Unknown", "NodeStatusNeverUpdated", "Kubelet never posted node status."],
  ]);
  assert.equal(planNodeHealth({ ...state, node: conditioned(), silentMs: 55_000 }).kind, "healthy");
  assert.equal(planNodeHealth({ ...state, node: conditioned(), silentMs: 60_001 }).kind, "unknown");
  assert.equal(
    planNodeHealth({ ...state, node: conditioned(["Ready", "Unknown"]), silentMs: 60_001 }).kind,
    "known",
  );
});

test("the pace of evictions follows how much of a zone is gone", () => {
  const zone = (name: string, ready: number, lost: number): Node[] =>
    Array.from({ length: ready + lost }, (_, index) => ({
      ...conditioned(["Ready", index < ready ? "True" : "Unknown"]),
      metadata: { name: `${name}${index}`, labels: { "topology.kubernetes.io/zone": name } },
    }));
  const rate = (nodes: readonly Node[]): number => {
    const [first] = nodes;
    assert.ok(first);
    return judgeDisruption(nodes, disruptionDefaults).rateOf(zoneOf(first));
  };
  assert.equal(rate(zone("a", 3, 2)), 0.1);
  assert.equal(rate(zone("a", 2, 3)), 0);
  assert.equal(rate(zone("a", 20, 40)), 0.01);
  assert.equal(rate(zone("a", 0, 5)), 0.1);
  assert.equal(
    judgeDisruption([...zone("a", 0, 2), ...zone("b", 0, 1)], disruptionDefaults).everywhere,
    true,
  );
  assert.equal(
    judgeDisruption([...zone("a", 0, 2), ...zone("b", 1, 1)], disruptionDefaults).everywhere,
    false,
  );
  assert.equal(judgeDisruption([], disruptionDefaults).everywhere, false);
});

const lease = (name: string): Lease => ({
  apiVersion: "coordination.k8s.io/v1",
  kind: "Lease",
  metadata: { name, namespace: "kube-node-lease" },
  spec: { holderIdentity: name },
});
const start = (
  seed: readonly KubeObject[],
  options: ControllerSetupOptions = {},
): Promise<ControllerSetup> =>
  startControllers((context) => [createNodeLifecycleController(context, {})], { seed, ...options });
const renew = async ({ api, clock }: ControllerSetup, name: string): Promise<void> => {
  await api.client.patch(resources.leases, name, "kube-node-lease", "merge", {
    spec: { renewTime: formatMicroTime(clock.now()) },
  });
};
const statusOf = (setup: ControllerSetup, name: string): string | undefined =>
  setup.api
    .get<Node>(resources.nodes, name)
    ?.status?.conditions?.find((one) => one.type === "Ready")?.status;
const taintsOf = (setup: ControllerSetup, name: string): readonly string[] =>
  names(setup.api.get<Node>(resources.nodes, name)?.spec.taints) ?? [];

test("a node whose lease stands still becomes unreachable, its pods unready; one that renews stays", async () => {
  for (const seed of [1, 2, 3]) {
    const setup = await start(
      [testNode("n1"), testNode("n2"), lease("n1"), lease("n2"), testPod("p", { ip: "10.42.0.2" })],
      { watchLag: { seed, maxMs: 300 } },
    );
    for (let second = 0; second < 100; second += 10) {
      await renew(setup, "n2");
      if (second < 30) await renew(setup, "n1");
      await setup.settle(10_000);
      assert.equal(statusOf(setup, "n1"), second < 70 ? "True" : "Unknown", `second ${second}`);
    }
    assert.equal(statusOf(setup, "n2"), "True");
    assert.deepEqual(taintsOf(setup, "n1"), ["unreachable:NoSchedule", "unreachable:NoExecute"]);
    assert.deepEqual(taintsOf(setup, "n2"), []);
    const ready = setup.api
      .get<Pod>(resources.pods, "p", "default")
      ?.status?.conditions?.find((one) => one.type === "Ready");
    assert.equal(ready?.status, "False");
    assert.ok(setup.events().includes("NodeNotReady: Node n1 status is now: NodeNotReady"));
    assert.ok(
      setup.events().includes("RegisteredNode: Node n1 event: Registered Node n1 in Controller"),
    );
    assert.ok(setup.events().includes("NodeNotReady: Node is not ready"));

    const back = { type: "Ready", status: "True", lastHeartbeatTime: "2026-01-01T00:05:00Z" };
    await setup.api.client.patch(
      resources.nodes,
      "n1",
      undefined,
      "merge",
      { status: { conditions: [back] } },
      { subresource: "status" },
    );
    await setup.settle(5_000);
    assert.deepEqual(taintsOf(setup, "n1"), []);
    await setup.stop();
  }
});

test("the only node of a cluster is not emptied when it stops answering", async () => {
  const setup = await start([testNode("n1"), lease("n1")]);
  await setup.settle(120_000);
  assert.equal(statusOf(setup, "n1"), "Unknown");
  assert.deepEqual(taintsOf(setup, "n1"), ["unreachable:NoSchedule"]);
  await setup.stop();
});

test("nodes of a zone are tainted for eviction one in ten seconds", async () => {
  const nodes = ["n1", "n2", "n3", "n4", "n5"].map((name) => testNode(name));
  const setup = await start([...nodes, ...nodes.map(({ metadata }) => lease(metadata.name ?? ""))]);
  const evicted = (): number =>
    nodes.filter(({ metadata }) =>
      taintsOf(setup, metadata.name ?? "").includes("unreachable:NoExecute"),
    ).length;
  for (let second = 0; second < 52; second += 2) {
    for (const name of ["n3", "n4", "n5"]) await renew(setup, name);
    await setup.settle(2_000);
  }
  assert.equal(evicted(), 1);
  for (const name of ["n3", "n4", "n5"]) await renew(setup, name);
  await setup.settle(10_000);
  assert.equal(evicted(), 2);
  await setup.stop();
});

test("a node that has just been made has a minute for its first status, and its old labels follow the stable ones", async () => {
  const setup = await start([testNode("ok")]);
  await setup.api.client.create(resources.nodes, {
    metadata: {
      name: "new",
      labels: { "kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64" },
    },
    spec: {},
  });
  await setup.settle(55_000);
  assert.equal(statusOf(setup, "new"), undefined);
  assert.equal(
    setup.api.get<Node>(resources.nodes, "new")?.metadata.labels?.["beta.kubernetes.io/arch"],
    "arm64",
  );
  await setup.settle(10_000);
  assert.equal(statusOf(setup, "new"), "Unknown");
  await setup.stop();
});

test("an idle cluster with live nodes writes nothing and keeps one timer for each node", async () => {
  const setup = await start([testNode("n1"), lease("n1")]);
  const before = setup.api.requests.filter((request) => !request.startsWith("GET")).length;
  for (let round = 0; round < 30; round += 1) {
    await renew(setup, "n1");
    await setup.settle(10_000);
  }
  assert.equal(
    setup.api.requests.filter((request) => !request.startsWith("GET")).length - before,
    30,
  );
  await setup.stop();
});
