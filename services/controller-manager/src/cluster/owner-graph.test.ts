import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeObject, OwnerReference } from "@wherry/machinery";
import { decideCollect, type OwnerState } from "./collect-decision.ts";
import {
  blockingDependents,
  createOwnerGraph,
  type GraphNode,
  type GraphWork,
} from "./owner-graph.ts";

const ref = (uid: string, changes: Partial<OwnerReference> = {}): OwnerReference => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  name: uid,
  uid,
  ...changes,
});
const object = (
  uid: string,
  owners: readonly OwnerReference[] = [],
  metadata: Partial<KubeObject["metadata"]> = {},
): KubeObject => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name: uid, namespace: "a", uid, ownerReferences: owners, ...metadata },
});
const view = ({ collect, verify, orphan }: GraphWork): readonly (readonly string[])[] => [
  [...collect],
  [...verify],
  [...orphan],
];
const deleted = (...finalizers: readonly string[]): Partial<KubeObject["metadata"]> => ({
  deletionTimestamp: "2026-01-01T00:00:00Z",
  finalizers,
});

test("an owner that is not seen yet is to be verified; seen, it is left alone", () => {
  const graph = createOwnerGraph();
  assert.deepEqual(view(graph.observe(object("child", [ref("owner")]))), [[], ["owner"], []]);
  assert.equal(graph.get("owner")?.observed, false);
  assert.deepEqual(view(graph.observe(object("owner"))), [[], [], []]);
  assert.equal(graph.get("owner")?.observed, true);
  assert.equal(graph.get("owner")?.dependents.size, 1);
});

test("when an owner goes its dependents are looked at, and it is remembered as absent", () => {
  const graph = createOwnerGraph();
  graph.observe(object("owner"));
  graph.observe(object("child", [ref("owner")]));
  assert.deepEqual(view(graph.remove(object("owner"))), [["child"], [], []]);
  assert.equal(
    graph.isAbsent({
      apiVersion: "v1",
      kind: "ConfigMap",
      name: "owner",
      namespace: "a",
      uid: "owner",
    }),
    true,
  );
  assert.equal(
    graph.isAbsent({
      apiVersion: "v1",
      kind: "ConfigMap",
      name: "owner",
      namespace: "b",
      uid: "owner",
    }),
    false,
  );
});

test("a reference into another namespace, or by a wrong name, brings the dependent up for examination", () => {
  const graph = createOwnerGraph();
  graph.observe(object("owner", [], { namespace: "b" }));
  const across = graph.observe(object("child", [ref("owner")]));
  assert.deepEqual([[...across.collect], across.invalid.length], [["child"], 1]);
  graph.observe(object("real"));
  assert.deepEqual(view(graph.observe(object("misnamed", [ref("real", { name: "other" })]))), [
    ["misnamed"],
    [],
    [],
  ]);
});

test("a dependent that named its owner wrongly is examined when the owner is seen", () => {
  const graph = createOwnerGraph();
  graph.observe(object("bad", [ref("owner", { kind: "Secret" })]));
  const work = graph.observe(object("owner"));
  assert.deepEqual([...work.collect], ["bad"]);
  assert.equal(graph.get("owner")?.identity.kind, "ConfigMap");
});

test("of two names for an absent owner the other one is verified next", () => {
  const graph = createOwnerGraph();
  graph.observe(object("bad", [ref("owner", { kind: "Secret" })]));
  graph.observe(object("good", [ref("owner")]));
  const first = graph.get("owner");
  assert.ok(first);
  assert.deepEqual(view(graph.foundAbsent({ ...first.identity })), [["bad"], ["owner"], []]);
  assert.equal(graph.get("owner")?.identity.kind, "ConfigMap");
  assert.deepEqual(view(graph.foundAbsent({ ...first.identity, kind: "ConfigMap" })), [
    ["good", "bad"],
    [],
    [],
  ]);
});

test("a cluster-scoped owner serves dependents of every namespace", () => {
  const graph = createOwnerGraph();
  graph.observe(object("a-child", [ref("node", { kind: "Node" })]));
  const { namespace: _namespace, ...metadata } = object("node").metadata;
  assert.deepEqual(view(graph.observe({ apiVersion: "v1", kind: "Node", metadata })), [[], [], []]);
  assert.deepEqual(
    view(graph.observe(object("b-child", [ref("node", { kind: "Node" })], { namespace: "b" }))),
    [[], [], []],
  );
});

test("a foreground deletion calls for its dependents, and for itself when one that blocks is gone or lets go", () => {
  const graph = createOwnerGraph();
  graph.observe(object("owner"));
  graph.observe(object("x", [ref("owner", { blockOwnerDeletion: true })]));
  graph.observe(object("y", [ref("owner", { blockOwnerDeletion: true })]));
  graph.observe(object("free", [ref("owner")]));
  const work = graph.observe(object("owner", [], deleted("foregroundDeletion")));
  assert.deepEqual([...work.collect].sort(), ["free", "owner", "x", "y"]);
  const owner = graph.get("owner");
  assert.ok(owner);
  assert.deepEqual(
    blockingDependents(owner).map(({ identity }) => identity.name),
    ["x", "y"],
  );
  assert.deepEqual([...graph.remove(object("x")).collect], ["owner"]);
  assert.deepEqual([...graph.observe(object("y", [ref("owner")])).collect], ["owner"]);
  assert.deepEqual(blockingDependents(owner), []);
  assert.deepEqual(view(graph.observe(object("owner", [], deleted("foregroundDeletion")))), [
    [],
    [],
    [],
  ]);
});

test("a deletion that orphans calls for that once", () => {
  const graph = createOwnerGraph();
  graph.observe(object("owner"));
  assert.deepEqual(view(graph.observe(object("owner", [], deleted("orphan")))), [
    [],
    [],
    ["owner"],
  ]);
  assert.deepEqual(view(graph.observe(object("owner", [], deleted("orphan")))), [[], [], []]);
});

test("what becomes of an object follows from the state of its owners", () => {
  const node = (dependents: readonly Partial<GraphNode>[] = []): GraphNode => ({
    identity: { apiVersion: "v1", kind: "ConfigMap", name: "x", namespace: "a", uid: "x" },
    owners: [],
    dependents: new Set(dependents as GraphNode[]),
    observed: true,
    beingDeleted: false,
    deletingDependents: false,
  });
  const decide = (
    states: readonly OwnerState[],
    one = node(),
    metadata: Partial<KubeObject["metadata"]> = {},
  ): unknown =>
    decideCollect(
      one,
      object("x", [], metadata),
      states.map((state, index) => ({ reference: ref(`o${index}`), state })),
    );
  assert.deepEqual(decide([]), { kind: "keep" });
  assert.deepEqual(decide(["solid", "solid"]), { kind: "keep" });
  assert.deepEqual(decide(["solid", "absent", "waiting"]), {
    kind: "unlink",
    owners: new Set(["o1", "o2"]),
  });
  assert.deepEqual(decide(["absent", "absent"]), {
    kind: "delete",
    policy: "Background",
    unblockFirst: false,
  });
  assert.deepEqual(decide(["absent", "waiting"]), {
    kind: "delete",
    policy: "Background",
    unblockFirst: false,
  });
  assert.deepEqual(decide(["waiting"], node([{}])), {
    kind: "delete",
    policy: "Foreground",
    unblockFirst: false,
  });
  assert.deepEqual(decide(["waiting"], node([{ deletingDependents: true }])), {
    kind: "delete",
    policy: "Foreground",
    unblockFirst: true,
  });
  assert.deepEqual(decide(["absent"], node(), { finalizers: ["orphan"] }), {
    kind: "delete",
    policy: "Orphan",
    unblockFirst: false,
  });
  assert.deepEqual(decide(["absent"], node(), { finalizers: ["foregroundDeletion"] }), {
    kind: "delete",
    policy: "Foreground",
    unblockFirst: false,
  });
});
