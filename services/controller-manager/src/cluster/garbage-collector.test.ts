import assert from "node:assert/strict";
import { test } from "node:test";
import { resources } from "@wherry/client";
import { createSeededRandom } from "@wherry/client/testing";
import type { KubeObject, OwnerReference } from "@wherry/machinery";
import { createGarbageCollector } from "./garbage-collector.ts";
import {
  startControllers,
  testPod,
  type ControllerSetup,
  type ControllerSetupOptions,
} from "./testing/controller-setup.ts";
import { testCatalog } from "./testing/test-catalog.ts";

type Policy = "Orphan" | "Background" | "Foreground";
const start = (
  seed: readonly KubeObject[],
  options: ControllerSetupOptions = {},
): Promise<ControllerSetup> =>
  startControllers(
    (context) => [
      createGarbageCollector(context, { catalog: () => Promise.resolve(testCatalog()) }),
    ],
    { seed, ...options },
  );
const owner = (name: string, changes: Partial<OwnerReference> = {}): OwnerReference => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  name,
  uid: name,
  blockOwnerDeletion: true,
  ...changes,
});
const map = (
  name: string,
  owners: readonly OwnerReference[] = [],
  metadata: Partial<KubeObject["metadata"]> = {},
): KubeObject => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: {
    name,
    namespace: "a",
    uid: name,
    ...(owners.length === 0 ? {} : { ownerReferences: owners }),
    ...metadata,
  },
});
const names = ({ api }: ControllerSetup): readonly string[] =>
  api
    .list(resources.configMaps)
    .map(({ metadata }) => metadata.name ?? "")
    .sort();
const remove = ({ api }: ControllerSetup, name: string, propagationPolicy: Policy): Promise<void> =>
  api.client.delete(resources.configMaps, name, "a", { propagationPolicy });

test("a deployment takes its replica sets and pods with it, whatever the policy but orphan", async () => {
  for (const [policy, seed] of [
    ["Background", 1],
    ["Foreground", 2],
    ["Background", 3],
    ["Foreground", 4],
  ] as const) {
    const of = (kind: string, name: string): OwnerReference => ({
      apiVersion: "apps/v1",
      kind,
      name,
      uid: name,
      controller: true,
      blockOwnerDeletion: true,
    });
    const setup = await start(
      [
        {
          apiVersion: "apps/v1",
          kind: "Deployment",
          metadata: { name: "web", namespace: "default", uid: "web" },
        },
        {
          apiVersion: "apps/v1",
          kind: "ReplicaSet",
          metadata: {
            name: "web-1",
            namespace: "default",
            uid: "web-1",
            ownerReferences: [of("Deployment", "web")],
          },
        },
        ...[1, 2, 3].map((index) =>
          testPod(`web-1-${index}`, {
            spec: { nodeName: "" },
            metadata: { uid: `p${index}`, ownerReferences: [of("ReplicaSet", "web-1")] },
          }),
        ),
        testPod("alone", { metadata: { uid: "alone" } }),
      ],
      { watchLag: { seed, maxMs: 300 } },
    );
    await setup.api.client.delete(resources.deployments, "web", "default", {
      propagationPolicy: policy,
    });
    await setup.settle(10_000);
    assert.deepEqual(setup.api.list(resources.deployments), []);
    assert.deepEqual(setup.api.list(resources.replicaSets), []);
    assert.deepEqual(
      setup.api.list(resources.pods).map(({ metadata }) => metadata.name),
      ["alone"],
    );
    await setup.stop();
  }
});

test("a foreground deletion waits for dependents that block, and only for those", async () => {
  const setup = await start([
    map("owner"),
    map("blocks", [owner("owner")], { finalizers: ["example.org/hold"] }),
    map("free", [owner("owner", { blockOwnerDeletion: false })], {
      finalizers: ["example.org/hold"],
    }),
  ]);
  await remove(setup, "owner", "Foreground");
  await setup.settle(1_000);
  assert.deepEqual(names(setup), ["blocks", "free", "owner"]);
  await setup.api.client.patch(resources.configMaps, "blocks", "a", "merge", {
    metadata: { finalizers: null },
  });
  await setup.settle(1_000);
  assert.deepEqual(names(setup), ["free"]);
  await setup.api.client.patch(resources.configMaps, "free", "a", "merge", {
    metadata: { finalizers: null },
  });
  await setup.settle(1_000);
  assert.deepEqual(names(setup), []);
  await setup.stop();
});

test("orphaned dependents stay, without the reference", async () => {
  const setup = await start([
    map("owner"),
    map("child", [owner("owner")]),
    map("shared", [owner("owner"), owner("other")]),
    map("other"),
  ]);
  await remove(setup, "owner", "Orphan");
  await setup.settle(1_000);
  assert.deepEqual(names(setup), ["child", "other", "shared"]);
  assert.deepEqual(
    setup.api.get(resources.configMaps, "child", "a")?.metadata.ownerReferences ?? [],
    [],
  );
  assert.deepEqual(
    setup.api
      .get(resources.configMaps, "shared", "a")
      ?.metadata.ownerReferences?.map(({ uid }) => uid),
    ["other"],
  );
  await setup.stop();
});

test("an object with another living owner only loses the reference", async () => {
  const setup = await start([map("one"), map("two"), map("child", [owner("one"), owner("two")])]);
  await remove(setup, "one", "Background");
  await setup.settle(1_000);
  assert.deepEqual(names(setup), ["child", "two"]);
  assert.deepEqual(
    setup.api
      .get(resources.configMaps, "child", "a")
      ?.metadata.ownerReferences?.map(({ uid }) => uid),
    ["two"],
  );
  await remove(setup, "two", "Foreground");
  await setup.settle(1_000);
  assert.deepEqual(names(setup), []);
  await setup.stop();
});

test("an owner that is gone before the start, or has come again under its name, owns nothing", async () => {
  const setup = await start([
    map("child", [owner("gone")]),
    map("owner", [], { uid: "new-uid" }),
    map("late", [owner("owner", { uid: "old-uid" })]),
    map("keeps", [owner("owner", { uid: "new-uid" })]),
  ]);
  await setup.settle(1_000);
  assert.deepEqual(names(setup), ["keeps", "owner"]);
  await setup.stop();
});

test("an owner in another namespace is no owner, and that is told", async () => {
  const setup = await start([map("owner", [], { namespace: "b" }), map("child", [owner("owner")])]);
  await setup.settle(1_000);
  assert.deepEqual(names(setup), ["owner"]);
  assert.deepEqual(setup.events(), [
    'OwnerRefInvalidNamespace: ownerRef [v1/ConfigMap, namespace: a, name: owner, uid: owner] does not exist in namespace "a"',
  ]);
  await setup.stop();
});

test("references to kinds that are not served, and of cluster-scoped objects into a namespace, are left alone", async () => {
  const role: KubeObject = {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "ClusterRole",
    metadata: { name: "r", uid: "r", ownerReferences: [owner("owner")] },
  };
  const setup = await start([
    map("child", [owner("x", { apiVersion: "example.org/v1", kind: "Thing" })]),
    role,
  ]);
  await setup.settle(1_000);
  assert.deepEqual(names(setup), ["child"]);
  assert.ok(setup.api.get(resources.clusterRoles, "r"));
  await setup.stop();
});

test("a circle of owners goes in the foreground too", async () => {
  const setup = await start([
    map("x", [owner("z")]),
    map("y", [owner("x")]),
    map("z", [owner("y")]),
  ]);
  await remove(setup, "x", "Foreground");
  await setup.settle(5_000);
  assert.deepEqual(names(setup), []);
  await setup.stop();
});

test("a collector that is at rest asks for nothing", async () => {
  const setup = await start([map("owner"), map("child", [owner("owner")])]);
  await setup.settle(10_000);
  const before = setup.api.requests.length;
  await setup.settle(250_000);
  assert.equal(setup.api.requests.length, before);
  await setup.stop();
});

/** What is left of a world of objects and owners when one of them is deleted, told without queues, finalizers and caches. */
function deleteIn(world: Map<string, Set<string>>, name: string, policy: Policy): void {
  if (!world.delete(name)) return;
  for (const [child, owners] of world) {
    if (!owners.delete(name) || owners.size > 0 || policy === "Orphan") continue;
    deleteIn(world, child, "Background");
  }
}

test("after any history of deletions what is left is what a simple model says (seeded worlds with lag)", async () => {
  for (let seed = 1; seed <= 25; seed += 1) {
    const random = createSeededRandom(seed);
    const pick = (count: number): number => Math.floor(random() * count);
    const all = Array.from({ length: 12 }, (_, index) => `o${index}`);
    const world = new Map<string, Set<string>>();
    for (const [index, name] of all.entries()) {
      const owners = new Set<string>();
      for (let count = pick(3); count > 0 && index > 0; count -= 1)
        owners.add(all[pick(index)] ?? "");
      world.set(name, owners);
    }
    const objects = [...world].map(([name, owners]) =>
      map(
        name,
        [...owners].map((one) => owner(one, { blockOwnerDeletion: random() < 0.5 })),
      ),
    );
    const setup = await start(objects, { watchLag: { seed, maxMs: 200 } });
    for (let step = 0; step < 4; step += 1) {
      const alive = [...world.keys()];
      const victim = alive[pick(alive.length)];
      const policy = (["Orphan", "Background", "Foreground"] as const)[pick(3)] ?? "Background";
      if (victim === undefined) break;
      await remove(setup, victim, policy);
      deleteIn(world, victim, policy);
      if (random() < 0.3) setup.api.breakWatches();
      await setup.settle(60_000);
      assert.deepEqual(
        names(setup),
        [...world.keys()].sort(),
        `seed ${seed}, step ${step}: ${policy} of ${victim}`,
      );
      for (const [name, owners] of world) {
        const left = (
          setup.api.get(resources.configMaps, name, "a")?.metadata.ownerReferences ?? []
        ).map(({ uid }) => uid);
        assert.deepEqual(left.sort(), [...owners].sort(), `seed ${seed}, owners of ${name}`);
      }
    }
    await setup.stop();
  }
});
