import assert from "node:assert/strict";
import { test } from "node:test";
import { builtinResources } from "./builtin-resources.ts";
import { createResourceRegistry } from "./registry.ts";

test("a resource is found by its plural, its kind, its singular and its short name", () => {
  const registry = createResourceRegistry(builtinResources());
  const deployments = registry.find({ group: "apps", version: "v1", resource: "deployments" });
  assert.equal(deployments?.kind, "Deployment");
  assert.equal(
    registry.findByKind({ group: "apps", version: "v1", kind: "Deployment" }),
    deployments,
  );
  assert.equal(registry.findByName("deploy"), deployments);
  assert.equal(registry.findByName("deployment"), deployments);
  assert.equal(registry.findByName("po")?.resource, "pods");
  assert.equal(registry.findByName("ev")?.group, "");
});

test("every change raises the generation and is announced", () => {
  const [first, second] = builtinResources();
  assert.ok(first !== undefined && second !== undefined);
  const registry = createResourceRegistry([first]);
  const seen: number[] = [];
  const stop = registry.onChange((generation) => seen.push(generation));
  registry.register(second);
  assert.equal(registry.unregister(second), true);
  assert.equal(registry.unregister(second), false);
  stop();
  registry.registerAll([second]);
  assert.deepEqual(seen, [1, 2]);
  assert.equal(registry.generation, 3);
  assert.deepEqual([...registry], [first, second]);
});

test("objects lie where an existing cluster has them", () => {
  const registry = createResourceRegistry(builtinResources());
  const prefixOf = (group: string, resource: string, version = "v1"): string | undefined =>
    registry.find({ group, version, resource })?.storagePrefix;
  assert.equal(prefixOf("", "nodes"), "minions");
  assert.equal(prefixOf("", "services"), "services/specs");
  assert.equal(prefixOf("", "endpoints"), "services/endpoints");
  assert.equal(prefixOf("", "replicationcontrollers"), "controllers");
  assert.equal(prefixOf("apps", "deployments"), "deployments");
  assert.equal(prefixOf("networking.k8s.io", "ingresses"), "ingress");
  assert.equal(
    prefixOf("apiregistration.k8s.io", "apiservices"),
    "apiregistration.k8s.io/apiservices",
  );
  assert.equal(prefixOf("authorization.k8s.io", "subjectaccessreviews"), undefined);
});

test("events and autoscalers are stored in another version than some are served in", () => {
  const registry = createResourceRegistry(builtinResources());
  const events = registry.find({ group: "events.k8s.io", version: "v1", resource: "events" });
  assert.equal(events?.storageVersion, "v1");
  const event = { metadata: { name: "e" }, regarding: { kind: "Pod" }, note: "text" };
  const stored = events?.conversion?.toStorage(event);
  assert.deepEqual(stored, {
    apiVersion: "v1",
    metadata: { name: "e" },
    involvedObject: { kind: "Pod" },
    message: "text",
  });
  const autoscalers = registry.find({
    group: "autoscaling",
    version: "v1",
    resource: "horizontalpodautoscalers",
  });
  assert.equal(autoscalers?.storageVersion, "autoscaling/v2");
});
