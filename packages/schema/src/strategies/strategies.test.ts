import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeObject } from "../decode.ts";
import type { Draft, ResourceDefinition } from "../resource.ts";
import { createdFrom, goldenTime, resourceOfPath } from "../testdata/golden.ts";
import { treeAt, valueAt, type Tree } from "../tree.ts";

const context = { now: goldenTime };
const pods = resourceOfPath("/api/v1/namespaces/n/pods").definition;
const deployments = resourceOfPath("/apis/apps/v1/namespaces/n/deployments").definition;

function deployment(spec: Tree, metadata: Tree = {}): Tree {
  const template = {
    metadata: { labels: { a: "b" } },
    spec: { containers: [{ name: "c", image: "i" }] },
  };
  return {
    metadata: { name: "x", ...metadata },
    spec: { selector: { matchLabels: { a: "b" } }, template, ...spec },
  };
}

function decoded(definition: ResourceDefinition, body: Tree): Draft {
  const { object } = decodeObject(definition, body);
  definition.strategy.applyDefaults(object);
  return object;
}

test("a change of the desired state raises the generation, one of metadata does not", () => {
  const old = createdFrom(deployments, deployment({}));
  assert.equal(valueAt(old, "metadata", "generation"), 1);
  const labelled = decoded(deployments, deployment({}, { labels: { x: "y" }, generation: 7 }));
  deployments.strategy.prepareForUpdate(labelled, old, context);
  assert.equal(valueAt(labelled, "metadata", "generation"), 1);
  const scaled = decoded(deployments, deployment({ replicas: 3 }));
  deployments.strategy.prepareForUpdate(scaled, old, context);
  assert.equal(valueAt(scaled, "metadata", "generation"), 2);
});

test("an update keeps the status and a status update keeps everything else", () => {
  const old = createdFrom(deployments, deployment({}));
  (old as Tree)["status"] = { replicas: 2 };
  const update = decoded(deployments, { ...deployment({}), status: { replicas: 9 } });
  deployments.strategy.prepareForUpdate(update, old, context);
  assert.deepEqual(update["status"], { replicas: 2 });
  const status = decoded(deployments, { ...deployment({ replicas: 5 }), status: { replicas: 9 } });
  deployments.strategy.prepareForStatusUpdate(status, old, context);
  assert.deepEqual(status["status"], { replicas: 9 });
  assert.equal(valueAt(status, "spec", "replicas"), 1);
});

test("preparing a draft leaves the stored object alone", () => {
  const old = createdFrom(deployments, deployment({}));
  const before = structuredClone(old);
  const draft = decoded(deployments, deployment({}));
  deployments.strategy.prepareForStatusUpdate(draft, old, context);
  const spec = treeAt(draft, "spec");
  assert.ok(spec !== undefined);
  spec["replicas"] = 99;
  assert.deepEqual(old, before);
});

test("a pod's grace period is its own, and none if nobody runs it", () => {
  const pod = (spec: Tree, phase = "Running"): Tree => ({
    metadata: { name: "x" },
    spec: { containers: [], ...spec },
    status: { phase },
  });
  const graceOf = (tree: Tree): number =>
    pods.strategy.defaultGracePeriodSeconds(decoded(pods, tree));
  assert.equal(graceOf(pod({ nodeName: "n" })), 30);
  assert.equal(graceOf(pod({ nodeName: "n", terminationGracePeriodSeconds: 5 })), 5);
  assert.equal(graceOf(pod({})), 0);
  assert.equal(graceOf(pod({ nodeName: "n" }, "Succeeded")), 0);
  const old = createdFrom(deployments, deployment({}));
  assert.equal(deployments.strategy.defaultGracePeriodSeconds(old), 0);
});

test("a pod's class follows from what its containers ask for", () => {
  const classOf = (resources: Tree): unknown =>
    valueAt(
      createdFrom(pods, {
        metadata: { name: "x" },
        spec: { containers: [{ name: "c", image: "i", resources }] },
      }),
      "status",
      "qosClass",
    );
  assert.equal(classOf({}), "BestEffort");
  assert.equal(classOf({ requests: { cpu: "1" } }), "Burstable");
  assert.equal(classOf({ limits: { cpu: "1", memory: "1Gi" } }), "Guaranteed");
});

test("a signing request records who asks, whatever it says itself", () => {
  const requests = resourceOfPath(
    "/apis/certificates.k8s.io/v1/certificatesigningrequests",
  ).definition;
  const draft = decoded(requests, {
    metadata: { name: "x" },
    spec: { username: "root", groups: ["system:masters"] },
  });
  requests.strategy.prepareForCreate(draft, {
    ...context,
    user: { name: "system:node:n", groups: ["system:nodes"] },
  });
  assert.equal(valueAt(draft, "spec", "username"), "system:node:n");
  assert.deepEqual(valueAt(draft, "spec", "groups"), ["system:nodes"]);
});

test("what may be created or overwritten blindly is as upstream has it", () => {
  const leases = resourceOfPath("/apis/coordination.k8s.io/v1/namespaces/n/leases").definition;
  assert.equal(leases.strategy.allowCreateOnUpdate, true);
  assert.equal(leases.strategy.allowUnconditionalUpdate, false);
  assert.equal(pods.strategy.allowCreateOnUpdate, false);
  assert.equal(pods.strategy.allowUnconditionalUpdate, true);
});
