import assert from "node:assert/strict";
import { test } from "node:test";
import type { DaemonSet, Node, Pod, StatefulSet } from "@wherry/machinery";
import { daemonStatus, planDaemons } from "./daemon-set.ts";
import { REVISION_LABEL } from "./revisions.ts";
import { keepsRevision, ordinalOf, planStateful, statefulStatus } from "./stateful-set.ts";

const nowMs = Date.UTC(2026, 0, 1);
const pod = (
  name: string,
  changes: {
    hash?: string;
    ready?: boolean;
    node?: string;
    phase?: string;
    deleting?: boolean;
  } = {},
): Pod => ({
  metadata: {
    name,
    uid: name,
    labels: { [REVISION_LABEL]: changes.hash ?? "new" },
    ...(changes.deleting === true ? { deletionTimestamp: "2026-01-01T00:00:00Z" } : {}),
  },
  spec: { containers: [], ...(changes.node === undefined ? {} : { nodeName: changes.node }) },
  status: {
    phase: changes.phase ?? "Running",
    conditions: [
      {
        type: "Ready",
        status: changes.ready === false ? "False" : "True",
        lastTransitionTime: "2025-01-01T00:00:00Z",
      },
    ],
  },
});
const names = (pods: readonly Pod[]): (string | undefined)[] =>
  pods.map((one) => one.metadata.name);

const stateful = (spec: Partial<StatefulSet["spec"]> = {}): StatefulSet => ({
  metadata: { name: "db", namespace: "default" },
  spec: {
    replicas: 3,
    selector: { matchLabels: { app: "db" } },
    template: { spec: { containers: [] } },
    ...spec,
  },
});

test("an ordered set starts one at a time, each after the one before is ready", () => {
  assert.deepEqual(planStateful(stateful(), [], "new", nowMs).create, [0]);
  assert.deepEqual(
    planStateful(stateful(), [pod("db-0", { ready: false })], "new", nowMs).create,
    [],
  );
  assert.deepEqual(planStateful(stateful(), [pod("db-0")], "new", nowMs).create, [1]);
  assert.deepEqual(
    planStateful(stateful({ podManagementPolicy: "Parallel" }), [pod("db-1")], "new", nowMs).create,
    [0, 2],
  );
});

test("it shrinks from the highest, and updates from the highest down to the partition", () => {
  const all = ["db-0", "db-1", "db-2"].map((name) => pod(name, { hash: "old" }));
  assert.deepEqual(names(planStateful(stateful({ replicas: 1 }), all, "old", nowMs).remove), [
    "db-2",
  ]);
  assert.deepEqual(names(planStateful(stateful(), all, "new", nowMs).remove), ["db-2"]);
  const updated = [
    pod("db-0", { hash: "old" }),
    pod("db-1", { hash: "old" }),
    pod("db-2", { ready: false }),
  ];
  assert.deepEqual(
    names(
      planStateful(stateful({ podManagementPolicy: "Parallel" }), updated, "new", nowMs).remove,
    ),
    [],
  );
  const partitioned = stateful({
    updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 2 } },
  });
  assert.deepEqual(
    names(
      planStateful(
        partitioned,
        [pod("db-0", { hash: "old" }), pod("db-1", { hash: "old" }), pod("db-2")],
        "new",
        nowMs,
      ).remove,
    ),
    [],
  );
});

test("its status names the revisions, and other pods are not its own", () => {
  assert.equal(ordinalOf(stateful(), pod("db-01")), undefined);
  const status = statefulStatus(
    stateful({ replicas: 2 }),
    [pod("db-0"), pod("db-1")],
    { name: "db-x", hash: "new" },
    nowMs,
  );
  assert.equal(status.currentRevision, "db-x");
  assert.equal(status.updatedReplicas, 2);
});

const node = (
  name: string,
  changes: { labels?: Record<string, string>; taint?: string } = {},
): Node => ({
  metadata: { name, labels: changes.labels ?? {} },
  spec:
    changes.taint === undefined ? {} : { taints: [{ key: changes.taint, effect: "NoSchedule" }] },
});
const daemon = (spec: Partial<DaemonSet["spec"]> = {}): DaemonSet => ({
  metadata: { name: "d" },
  spec: { selector: {}, template: { spec: { containers: [] } }, ...spec },
});

test("one daemon runs on each node that admits it, and none elsewhere", () => {
  const nodes = [
    node("a"),
    node("b", { taint: "dedicated" }),
    node("c", { taint: "node.kubernetes.io/unschedulable" }),
  ];
  const plan = planDaemons(daemon(), nodes, [pod("on-gone", { node: "gone" })], "new", nowMs);
  assert.deepEqual(plan.create, ["a", "c"]);
  assert.deepEqual(names(plan.remove), ["on-gone"]);
  const selective = daemon({
    template: { spec: { containers: [], nodeSelector: { disk: "ssd" } } },
  });
  assert.deepEqual(
    planDaemons(selective, [node("a"), node("s", { labels: { disk: "ssd" } })], [], "new", nowMs)
      .create,
    ["s"],
  );
});

test("old daemons are replaced within maxUnavailable, ended ones at once, and never two side by side", () => {
  const nodes = [node("a"), node("b")];
  const old = [pod("pa", { node: "a", hash: "old" }), pod("pb", { node: "b", hash: "old" })];
  assert.deepEqual(names(planDaemons(daemon(), nodes, old, "new", nowMs).remove), ["pa"]);
  const going = [
    pod("pa", { node: "a", hash: "old", deleting: true }),
    pod("pb", { node: "b", hash: "old" }),
  ];
  assert.deepEqual(planDaemons(daemon(), nodes, going, "new", nowMs), {
    create: [],
    remove: [],
    ended: [],
  });
  assert.deepEqual(
    names(
      planDaemons(daemon({ updateStrategy: { type: "OnDelete" } }), nodes, old, "new", nowMs)
        .remove,
    ),
    [],
  );
  const failing = planDaemons(
    daemon(),
    nodes,
    [pod("pa", { node: "a", phase: "Failed" }), pod("pb", { node: "b" })],
    "new",
    nowMs,
  );
  assert.deepEqual([names(failing.ended), failing.create], [["pa"], []]);
  assert.equal(daemonStatus(daemon(), nodes, old, "new", nowMs).updatedNumberScheduled, 0);
});

test("with a surge the new daemon starts beside the old one, which goes when the new one is up", () => {
  const nodes = [node("a"), node("b")];
  const surging = daemon({
    updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
  });
  const old = [pod("pa", { node: "a", hash: "old" }), pod("pb", { node: "b", hash: "old" })];
  assert.deepEqual(planDaemons(surging, nodes, old, "new", nowMs), {
    create: ["a"],
    remove: [],
    ended: [],
  });
  assert.deepEqual(
    planDaemons(surging, nodes, [...old, pod("na", { node: "a", ready: false })], "new", nowMs),
    { create: [], remove: [], ended: [] },
  );
  const up = planDaemons(surging, nodes, [...old, pod("na", { node: "a" })], "new", nowMs);
  assert.deepEqual([up.create, names(up.remove)], [["b"], ["pa"]]);
});

test("below the partition a stateful set keeps its revision; more than one pod may be down if allowed", () => {
  const rolling = (rollingUpdate: { partition?: number; maxUnavailable?: number }): StatefulSet =>
    stateful({ updateStrategy: { type: "RollingUpdate", rollingUpdate } });
  assert.deepEqual(
    [
      keepsRevision(rolling({ partition: 2 }), 1),
      keepsRevision(rolling({ partition: 2 }), 2),
      keepsRevision(stateful(), 0),
    ],
    [true, false, false],
  );
  const all = ["db-0", "db-1", "db-2"].map((name) => pod(name, { hash: "old" }));
  assert.deepEqual(names(planStateful(rolling({ maxUnavailable: 2 }), all, "new", nowMs).remove), [
    "db-2",
    "db-1",
  ]);
});
