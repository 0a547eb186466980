import assert from "node:assert/strict";
import { test } from "node:test";
import { statusOf, type KubeObject } from "@wherry/machinery";
import { createManualClock } from "@wherry/service-kit/testing";
import { createObjectStoreFake } from "../auth/object-store-fake.ts";
import { resourceIds } from "../auth/resource-ids.ts";
import { createBindingHandlers } from "./binding.ts";
import { createCertificateApprovalHandler } from "./certificate-approval.ts";
import { createEvictionHandler } from "./eviction.ts";
import { createNamespaceFinalizeHandler } from "./namespace-finalize.ts";
import { createPodSpecPartHandlers } from "./pod-spec-parts.ts";
import { createScaleHandlers } from "./scale.ts";
import { createBareOperations, createSubresourceCaller } from "./subresource-requests.ts";

interface StoredPod extends KubeObject {
  readonly spec: {
    readonly nodeName?: string;
    readonly containers?: unknown;
    readonly ephemeralContainers?: unknown;
  };
  readonly status?: object;
}

function setUp() {
  const clock = createManualClock();
  const store = createObjectStoreFake();
  const operations = createBareOperations(store);
  const caller = createSubresourceCaller([
    ...createBindingHandlers(store, clock),
    createEvictionHandler({ store, operations, clock }),
    ...createScaleHandlers(operations),
    createNamespaceFinalizeHandler(store),
    ...createPodSpecPartHandlers(store),
    createCertificateApprovalHandler(store, clock),
  ]);
  const putPod = (spec: object = {}, rest: object = {}): KubeObject =>
    store.put(resourceIds.pods, {
      metadata: { namespace: "n", name: "x", labels: { a: "b" }, generation: 1 },
      spec: { containers: [{ name: "c" }], ...spec },
      ...rest,
    } as KubeObject);
  const pod = (): StoredPod => store.peek<StoredPod>(resourceIds.pods, "n", "x")!;
  return { clock, store, caller, putPod, pod };
}

const success = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 };
const binding = (name = "x", node = "n1"): object => ({
  metadata: { name },
  target: { kind: "Node", name: node },
});

test("a binding sets the node and marks the pod scheduled", async () => {
  const { caller, putPod, pod } = setUp();
  putPod({}, { status: { phase: "Pending", nominatedNodeName: "n9" } });
  assert.deepEqual(await caller.create("pods/n/x/binding", binding()), success);
  assert.equal(pod().spec.nodeName, "n1");
  assert.deepEqual(pod().status, {
    phase: "Pending",
    conditions: [
      { type: "PodScheduled", status: "True", lastTransitionTime: "2026-01-01T00:00:00Z" },
    ],
  });
});

test("the old form of a binding does the same", async () => {
  const { caller, putPod, pod } = setUp();
  putPod();
  await caller.create("bindings/n//", binding());
  assert.equal(pod().spec.nodeName, "n1");
});

// The answers are those recorded as verbs/binding-*.
test("a binding that cannot be is refused as upstream refuses it", async () => {
  const { caller, putPod } = setUp();
  putPod({ nodeName: "n" });
  const conflict = (await caller.refusal(caller.create("pods/n/x/binding", binding()))).status;
  assert.deepEqual(
    [conflict.code, conflict.message, conflict.details],
    [
      409,
      'Operation cannot be fulfilled on pods/binding "x": pod x is already assigned to node "n"',
      { name: "x", kind: "pods/binding" },
    ],
  );
  putPod({ schedulingGates: [{ name: "a" }] });
  assert.match(
    (await caller.refusal(caller.create("pods/n/x/binding", binding()))).message,
    /pod x has non-empty \.spec\.schedulingGates$/,
  );
  assert.equal(
    (await caller.refusal(caller.create("pods/n/x/binding", binding("y")))).message,
    "name in URL does not match name in Binding object",
  );
  const nameless = statusOf(
    await caller.refusal(caller.create("pods/n/x/binding", binding("x", ""))),
  );
  assert.deepEqual(
    [nameless.code, nameless.reason, nameless.message],
    [500, undefined, "target.name: Required value"],
  );
});

test("two bindings at once: one wins and the other is told", async () => {
  const { store, caller, putPod, pod } = setUp();
  putPod();
  store.beforeWrite = () => putPod({ nodeName: "n2" });
  assert.match(
    (await caller.refusal(caller.create("pods/n/x/binding", binding()))).message,
    /already assigned to node "n2"/,
  );
  assert.equal(pod().spec.nodeName, "n2");
});

const budget = (name: string, status: object = {}, spec: object = {}): KubeObject =>
  ({
    metadata: { namespace: "n", name, generation: 1 },
    spec: { minAvailable: 1, selector: { matchLabels: { a: "b" } }, ...spec },
    status,
  }) as unknown as KubeObject;
const running = { status: { phase: "Running", conditions: [{ type: "Ready", status: "True" }] } };

test("an eviction deletes the pod and takes from the budget", async () => {
  const { store, caller, putPod } = setUp();
  putPod({}, running);
  store.put(
    resourceIds.podDisruptionBudgets,
    budget("x", { observedGeneration: 1, disruptionsAllowed: 1 }),
  );
  assert.deepEqual(await caller.create("pods/n/x/eviction", { metadata: { name: "x" } }), success);
  assert.equal(store.peek(resourceIds.pods, "n", "x"), undefined);
  const { status } = store.peek(resourceIds.podDisruptionBudgets, "n", "x") as unknown as {
    status: Record<string, unknown>;
  };
  assert.deepEqual(
    [status["disruptionsAllowed"], status["disruptedPods"]],
    [0, { x: "2026-01-01T00:00:00Z" }],
  );
});

test("a budget that allows nothing refuses with 429 and says why", async () => {
  const { store, caller, putPod } = setUp();
  putPod({}, running);
  store.put(
    resourceIds.podDisruptionBudgets,
    budget("x", {
      observedGeneration: 1,
      disruptionsAllowed: 0,
      desiredHealthy: 1,
      currentHealthy: 1,
    }),
  );
  const { status } = await caller.refusal(
    caller.create("pods/n/x/eviction", { metadata: { name: "x" } }),
  );
  assert.deepEqual(
    [status.code, status.message, status.details],
    [
      429,
      "Cannot evict pod as it would violate the pod's disruption budget.",
      {
        causes: [
          {
            reason: "DisruptionBudget",
            message: "The disruption budget x needs 1 healthy pods and has 1 currently",
          },
        ],
      },
    ],
  );
  store.put(resourceIds.podDisruptionBudgets, budget("x", { disruptionsAllowed: 1 }));
  const unseen = (
    await caller.refusal(caller.create("pods/n/x/eviction", { metadata: { name: "x" } }))
  ).status;
  assert.deepEqual(
    [unseen.details?.retryAfterSeconds, unseen.details?.causes?.[0]?.message],
    [10, "The disruption budget x is still being processed by the server."],
  );
});

test("pending pods go without a budget, unready ones by its policy, and two budgets are one too many", async () => {
  const { store, caller, putPod } = setUp();
  const evict = (): Promise<unknown> =>
    caller.create("pods/n/x/eviction", { metadata: { name: "x" } });
  store.put(
    resourceIds.podDisruptionBudgets,
    budget("x", {
      observedGeneration: 1,
      disruptionsAllowed: 0,
      desiredHealthy: 1,
      currentHealthy: 1,
    }),
  );
  putPod({}, { status: { phase: "Pending" } });
  await evict();
  putPod({}, { status: { phase: "Running" } });
  await evict();
  store.put(resourceIds.podDisruptionBudgets, budget("y"));
  putPod({}, running);
  // As recorded: verbs/evict-two-pdbs.
  const status = statusOf(await caller.refusal(evict()));
  assert.deepEqual(
    [status.code, status.message],
    [
      500,
      "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
    ],
  );
});

const deployments = { group: "apps", resource: "deployments" };

test("a scale shows and changes the replicas of its object", async () => {
  const { store, caller } = setUp();
  const object = store.put(deployments, {
    metadata: { namespace: "n", name: "x", creationTimestamp: "2026-01-01T00:00:00Z" },
    spec: { replicas: 1, selector: { matchLabels: { a: "b" } }, paused: true },
  } as KubeObject);
  // As recorded: verbs/scale-get-deployment.
  assert.deepEqual(await caller.get("deployments.apps/n/x/scale"), {
    kind: "Scale",
    apiVersion: "autoscaling/v1",
    metadata: {
      name: "x",
      namespace: "n",
      uid: object.metadata.uid,
      resourceVersion: "1",
      creationTimestamp: "2026-01-01T00:00:00Z",
    },
    spec: { replicas: 1 },
    status: { replicas: 0, selector: "a=b" },
  });
  const scaled = (await caller.put("deployments.apps/n/x/scale", {
    metadata: { name: "x" },
    spec: { replicas: 3 },
  })) as KubeObject & { readonly spec: object };
  assert.deepEqual(scaled.spec, { replicas: 3 });
  assert.deepEqual((store.peek(deployments, "n", "x") as unknown as { spec: object }).spec, {
    replicas: 3,
    selector: { matchLabels: { a: "b" } },
    paused: true,
  });
});

test("a stale or negative scale is refused in upstream's words", async () => {
  const { store, caller } = setUp();
  store.put(deployments, {
    metadata: { namespace: "n", name: "x" },
    spec: { replicas: 1 },
  } as KubeObject);
  assert.equal(
    (
      await caller.refusal(
        caller.put("deployments.apps/n/x/scale", {
          metadata: { name: "x", resourceVersion: "99" },
          spec: { replicas: 3 },
        }),
      )
    ).message,
    'Operation cannot be fulfilled on deployments.apps "x": the object has been modified; please apply your changes to the latest version and try again',
  );
  assert.equal(
    (
      await caller.refusal(
        caller.put("deployments.apps/n/x/scale", {
          metadata: { name: "x" },
          spec: { replicas: -1 },
        }),
      )
    ).message,
    'Scale.autoscaling "x" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0',
  );
});

test("a replication controller's selector is a plain map", async () => {
  const { store, caller } = setUp();
  store.put({ group: "", resource: "replicationcontrollers" }, {
    metadata: { namespace: "n", name: "x" },
    spec: { replicas: 0, selector: { b: "2", a: "1" } },
  } as KubeObject);
  const scale = (await caller.get("replicationcontrollers/n/x/scale")) as unknown as {
    spec: object;
    status: object;
  };
  assert.deepEqual([scale.spec, scale.status], [{}, { replicas: 0, selector: "a=1,b=2" }]);
});

test("the last finalizer of a deleted namespace takes it away", async () => {
  const { store, caller } = setUp();
  store.put(resourceIds.namespaces, {
    metadata: { name: "x", deletionTimestamp: "2026-01-01T00:00:00Z" },
    spec: { finalizers: ["kubernetes", "example.com/f"] },
  } as KubeObject);
  await caller.put("namespaces//x/finalize", {
    metadata: { name: "x" },
    spec: { finalizers: ["example.com/f"] },
  });
  assert.deepEqual(
    (store.peek(resourceIds.namespaces, "", "x") as unknown as { spec: object }).spec,
    { finalizers: ["example.com/f"] },
  );
  await caller.put("namespaces//x/finalize", { metadata: { name: "x" }, spec: {} });
  assert.equal(store.peek(resourceIds.namespaces, "", "x"), undefined);
});

test("a namespace that is not deleted stays without finalizers", async () => {
  const { store, caller } = setUp();
  store.put(resourceIds.namespaces, {
    metadata: { name: "x" },
    spec: { finalizers: ["kubernetes"] },
  } as KubeObject);
  await caller.put("namespaces//x/finalize", { metadata: { name: "x" }, spec: {} });
  assert.notEqual(store.peek(resourceIds.namespaces, "", "x"), undefined);
});

test("a resize takes resources and nothing else, and keeps the class of service", async () => {
  const { caller, putPod, pod } = setUp();
  putPod({ containers: [{ name: "c", image: "a", resources: { requests: { cpu: "1" } } }] });
  await caller.put("pods/n/x/resize", {
    metadata: { name: "x" },
    spec: { containers: [{ name: "c", image: "b", resources: { requests: { cpu: "2" } } }] },
  });
  assert.deepEqual(pod().spec.containers, [
    { name: "c", image: "a", resources: { requests: { cpu: "2" } } },
  ]);
  assert.equal(pod().metadata.generation, 2);
  const { message } = await caller.refusal(
    caller.put("pods/n/x/resize", {
      metadata: { name: "x" },
      spec: { containers: [{ name: "c", resources: {} }] },
    }),
  );
  assert.match(
    message,
    /spec: Invalid value: "BestEffort": Pod QOS Class may not change as a result of resizing/,
  );
});

test("ephemeral containers are added and never taken away", async () => {
  const { caller, putPod, pod } = setUp();
  putPod();
  await caller.put("pods/n/x/ephemeralcontainers", {
    metadata: { name: "x" },
    spec: { ephemeralContainers: [{ name: "d", image: "x" }] },
  });
  assert.deepEqual(pod().spec.ephemeralContainers, [{ name: "d", image: "x" }]);
  assert.match(
    (
      await caller.refusal(
        caller.put("pods/n/x/ephemeralcontainers", { metadata: { name: "x" }, spec: {} }),
      )
    ).message,
    /existing ephemeral containers "d" may not be removed/,
  );
});

test("an approval takes its conditions, with times, and stays", async () => {
  const { store, caller } = setUp();
  const requests = { group: "certificates.k8s.io", resource: "certificatesigningrequests" };
  store.put(requests, {
    metadata: { name: "x" },
    spec: { signerName: "example.com/s" },
  } as KubeObject);
  const approve = (conditions: readonly object[]): Promise<KubeObject> =>
    caller.put("certificatesigningrequests.certificates.k8s.io//x/approval", {
      metadata: { name: "x" },
      status: { conditions },
    });
  const time = "2026-01-01T00:00:00Z";
  const approved = (await approve([
    { type: "Approved", status: "True", reason: "r", message: "m" },
  ])) as unknown as { status: object };
  assert.deepEqual(approved.status, {
    conditions: [
      {
        type: "Approved",
        status: "True",
        reason: "r",
        message: "m",
        lastUpdateTime: time,
        lastTransitionTime: time,
      },
    ],
  });
  // As recorded: validation-update/certificatesigningrequest-approve-false.
  assert.equal(
    (await caller.refusal(approve([{ type: "Approved", status: "False" }]))).message,
    'CertificateSigningRequest.certificates.k8s.io "x" is invalid: status.conditions[0].status: Unsupported value: "False": supported values: "True"',
  );
  assert.match(
    (await caller.refusal(approve([]))).message,
    /updates may not remove a condition of type "Approved"/,
  );
});
