import assert from "node:assert/strict";
import { test } from "node:test";
import { resources } from "@wherry/client";
import type { KubeObject, Namespace } from "@wherry/machinery";
import { createNamespaceController } from "./namespace-controller.ts";
import { namespaceConditions, type NamespaceOutcome } from "./namespace-conditions.ts";
import {
  startControllers,
  testNamespace,
  testPod,
  type ControllerSetup,
  type ControllerSetupOptions,
} from "./testing/controller-setup.ts";
import { testCatalog } from "./testing/test-catalog.ts";

const start = (
  seed: readonly KubeObject[],
  options: ControllerSetupOptions = {},
  failures?: ReadonlyMap<string, string>,
): Promise<ControllerSetup> =>
  startControllers(
    (context) => [
      createNamespaceController(context, { catalog: () => Promise.resolve(testCatalog(failures)) }),
    ],
    { seed, ...options },
  );
const configMap = (
  name: string,
  namespace: string,
  finalizers: readonly string[] = [],
): KubeObject => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, namespace, finalizers },
});
const inNamespace = (pod: KubeObject, namespace: string): KubeObject => ({
  ...pod,
  metadata: { ...pod.metadata, namespace },
});
const conditionsOf = ({ api }: ControllerSetup, name: string): Readonly<Record<string, string>> =>
  Object.fromEntries(
    (api.get<Namespace>(resources.namespaces, name)?.status?.conditions ?? [])
      .filter(({ status }) => status === "True")
      .map(({ type, reason, message }) => [type, `${reason}: ${message}`]),
  );

test("a deleted namespace loses all its content and goes; others keep theirs", async () => {
  for (const seed of [1, 2, 3]) {
    const setup = await start(
      [
        testNamespace("a"),
        testNamespace("b"),
        configMap("x", "a"),
        configMap("y", "a"),
        configMap("x", "b"),
        inNamespace(testPod("p", { spec: { nodeName: "" } }), "a"),
      ],
      { watchLag: { seed, maxMs: 400 } },
    );
    await setup.api.client.delete(resources.namespaces, "a");
    await setup.settle(10_000);
    assert.equal(setup.api.get(resources.namespaces, "a"), undefined);
    assert.deepEqual(
      setup.api.list(resources.configMaps).map(({ metadata }) => metadata.namespace),
      ["b"],
    );
    assert.deepEqual(setup.api.list(resources.pods), []);
    assert.ok(setup.api.get(resources.namespaces, "b"));
    await setup.stop();
  }
});

test("pods stop before anything else goes, and the last one's end is noticed at once", async () => {
  const setup = await start([
    testNamespace("a"),
    configMap("needed", "a"),
    inNamespace(testPod("p"), "a"),
  ]);
  await setup.api.client.delete(resources.namespaces, "a");
  await setup.settle(20_000);
  assert.ok(setup.api.get(resources.configMaps, "needed", "a"));
  assert.deepEqual(conditionsOf(setup, "a"), {
    NamespaceContentRemaining:
      "SomeResourcesRemain: Some resources are remaining: pods. has 1 resource instances",
  });
  await setup.api.client.delete(resources.pods, "p", "a", { gracePeriodSeconds: 0 });
  await setup.settle(10);
  assert.equal(setup.api.get(resources.namespaces, "a"), undefined);
  await setup.stop();
});

test("what a finalizer holds is told in the conditions until it is let go", async () => {
  const setup = await start([
    testNamespace("a"),
    configMap("held", "a", ["example.org/keep"]),
    configMap("also", "a", ["example.org/keep"]),
  ]);
  await setup.api.client.delete(resources.namespaces, "a");
  await setup.settle(5_000);
  assert.deepEqual(conditionsOf(setup, "a"), {
    NamespaceContentRemaining:
      "SomeResourcesRemain: Some resources are remaining: configmaps. has 2 resource instances",
    NamespaceFinalizersRemaining:
      "SomeFinalizersRemain: Some content in the namespace has finalizers remaining: example.org/keep in 2 resource instances",
  });
  for (const name of ["held", "also"])
    await setup.api.client.patch(resources.configMaps, name, "a", "merge", {
      metadata: { finalizers: null },
    });
  await setup.settle(20_000);
  assert.equal(setup.api.get(resources.namespaces, "a"), undefined);
  await setup.stop();
});

test("a namespace stays while a group cannot be discovered, since it may hold something there", async () => {
  const failures = new Map([["metrics.k8s.io/v1beta1", "no answer"]]);
  const setup = await start([testNamespace("a"), configMap("x", "a")], {}, failures);
  await setup.api.client.delete(resources.namespaces, "a");
  await setup.settle(5_000);
  assert.deepEqual(setup.api.list(resources.configMaps), []);
  assert.deepEqual(conditionsOf(setup, "a"), {
    NamespaceDeletionDiscoveryFailure:
      "DiscoveryFailed: Discovery failed for some groups, 1 failing: unable to retrieve the complete list of server APIs: metrics.k8s.io/v1beta1: no answer",
  });
  failures.clear();
  await setup.settle(20_000);
  assert.equal(setup.api.get(resources.namespaces, "a"), undefined);
  await setup.stop();
});

test("a resource whose deletion fails is told, and tried again", async () => {
  const setup = await start([testNamespace("a"), configMap("x", "a")]);
  const pass = setup.api.intercept(({ method, path }) =>
    method === "DELETE" && path.includes("configmaps") ? new Error("connection lost") : undefined,
  );
  await setup.api.client.delete(resources.namespaces, "a");
  await setup.settle(3_000);
  assert.match(
    conditionsOf(setup, "a")["NamespaceDeletionContentFailure"] ?? "",
    /^ContentDeletionFailed: Failed to delete all resource types, 1 remaining: .*connection lost/,
  );
  pass();
  await setup.settle(20_000);
  assert.equal(setup.api.get(resources.namespaces, "a"), undefined);
  await setup.stop();
});

test("conditions that turn good say so, and an unchanged outcome changes nothing", () => {
  const none: NamespaceOutcome = {
    undiscovered: new Map(),
    deleteErrors: [],
    remaining: new Map(),
    finalizers: new Map(),
  };
  const bad = namespaceConditions(
    [],
    { ...none, remaining: new Map([["pods.", 1]]) },
    "2026-01-01T00:00:00Z",
  );
  assert.equal(bad.length, 5);
  const good = namespaceConditions(bad, none, "2026-01-01T00:00:09Z");
  const content = good.find(({ type }) => type === "NamespaceContentRemaining");
  assert.deepEqual(
    [content?.status, content?.reason, content?.lastTransitionTime],
    ["False", "ContentRemoved", "2026-01-01T00:00:09Z"],
  );
  assert.equal(namespaceConditions(good, none, "2026-01-01T00:01:00Z"), good);
});
