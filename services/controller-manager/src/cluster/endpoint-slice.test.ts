import assert from "node:assert/strict";
import { test } from "node:test";
import { resources } from "@wherry/client";
import type { Endpoint, EndpointSlice, Pod, Service } from "@wherry/machinery";
import fc from "fast-check";
import { createEndpointSliceController } from "./endpoint-slice-controller.ts";
import {
  endpointSliceManager,
  planEndpointSlices,
  type EndpointSlicePlan,
} from "./endpoint-slice-plan.ts";
import {
  startControllers,
  testNode,
  testPod,
  testService,
  type ControllerSetup,
} from "./testing/controller-setup.ts";

const node = testNode("n1", {});
const zoned = testNode("n1", {
  metadata: { name: "n1", labels: { "topology.kubernetes.io/zone": "z1" } },
});
const service = (changes: Partial<Service["spec"]> = {}): Service =>
  testService("web", changes, { uid: "svc-uid", labels: { team: "a" } });
const plan = (
  one: Service,
  pods: readonly Pod[],
  slices: readonly EndpointSlice[] = [],
  known = node,
): EndpointSlicePlan =>
  planEndpointSlices({
    service: one,
    pods,
    slices,
    nodeOf: (name) => (name === "n1" ? known : undefined),
  });
const only = (changes: EndpointSlicePlan): EndpointSlice => {
  assert.equal(changes.creates.length, 1);
  const [slice] = changes.creates;
  assert.ok(slice);
  return slice;
};
/** What the server makes of a plan. */
const applied = (
  slices: readonly EndpointSlice[],
  { creates, updates, deletes }: EndpointSlicePlan,
  serial = { next: 0 },
): EndpointSlice[] => {
  const gone = new Set([...deletes, ...updates].map(({ metadata }) => metadata.name));
  const made = creates.map((slice) => ({
    ...slice,
    metadata: { ...slice.metadata, name: `web-${(serial.next += 1)}` },
  }));
  return [...slices.filter(({ metadata }) => !gone.has(metadata.name)), ...updates, ...made];
};
const pod = (name: string, ip: string, changes: Parameters<typeof testPod>[1] = {}): Pod =>
  testPod(name, { ip, ...changes, metadata: { uid: `${name}-uid`, ...changes?.metadata } });

test("a slice names the service, its manager and owner, and where its pods are", () => {
  const slice = only(plan(service(), [pod("p1", "10.42.0.2")], [], zoned));
  assert.deepEqual(slice.metadata, {
    generateName: "web-",
    namespace: "default",
    labels: {
      team: "a",
      "kubernetes.io/service-name": "web",
      "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    },
    ownerReferences: [
      {
        apiVersion: "v1",
        kind: "Service",
        name: "web",
        uid: "svc-uid",
        controller: true,
        blockOwnerDeletion: true,
      },
    ],
  });
  assert.equal(slice.addressType, "IPv4");
  assert.deepEqual(slice.ports, [{ name: "", port: 8080, protocol: "TCP" }]);
  assert.deepEqual(slice.endpoints, [
    {
      addresses: ["10.42.0.2"],
      conditions: { ready: true, serving: true, terminating: false },
      targetRef: { kind: "Pod", namespace: "default", name: "p1", uid: "p1-uid" },
      nodeName: "n1",
      zone: "z1",
    },
  ]);
});

test("conditions follow readiness, termination and publishNotReadyAddresses", () => {
  const deletionTimestamp = "2026-01-01T00:01:00Z";
  const table: readonly (readonly [boolean, boolean, boolean, readonly boolean[]])[] = [
    [true, false, false, [true, true, false]],
    [false, false, false, [false, false, false]],
    [true, true, false, [false, true, true]],
    [false, true, false, [false, false, true]],
    [false, false, true, [true, false, false]],
    [true, true, true, [true, true, true]],
  ];
  for (const [ready, terminating, publishNotReadyAddresses, expected] of table) {
    const one = pod("p", "10.42.0.2", {
      ready,
      metadata: terminating ? { deletionTimestamp } : {},
    });
    const conditions = only(plan(service({ publishNotReadyAddresses }), [one])).endpoints?.[0]
      ?.conditions;
    assert.deepEqual([conditions?.ready, conditions?.serving, conditions?.terminating], expected);
  }
});

test("pods without address, ended pods and pods on unknown nodes are left out", () => {
  const pods = [
    testPod("none"),
    pod("done", "10.42.0.3", { phase: "Succeeded" }),
    pod("lost", "10.42.0.4", { spec: { nodeName: "n9" } }),
  ];
  const changes = plan(service(), pods);
  assert.deepEqual(only(changes).endpoints, []);
  assert.deepEqual(changes.missingNodes, ["n9"]);
  assert.equal(only(plan(service({ publishNotReadyAddresses: true }), pods)).endpoints?.length, 1);
});

test("pods that give a port name different numbers stand in slices of their own; a port that none names is left out", () => {
  const with9090 = pod("q", "10.42.0.3", {
    spec: {
      containers: [{ name: "c", image: "i", ports: [{ name: "http", containerPort: 9090 }] }],
    },
  });
  const slices = plan(service(), [pod("p", "10.42.0.2"), with9090]).creates;
  assert.deepEqual(
    slices.map((slice) => slice.ports?.map(({ port }) => port)),
    [[8080], [9090]],
  );
  const two = service({
    ports: [
      { name: "web", port: 80, targetPort: "http" },
      { name: "gone", port: 81, targetPort: "none" },
      { name: "num", port: 82, targetPort: 1234, protocol: "UDP", appProtocol: "h2c" },
    ],
  });
  assert.deepEqual(only(plan(two, [pod("p", "10.42.0.2")])).ports, [
    { name: "web", port: 8080, protocol: "TCP" },
    { name: "num", port: 1234, protocol: "UDP", appProtocol: "h2c" },
  ]);
});

test("a sidecar's port counts, that of an init container does not", () => {
  const init = (restartPolicy?: string): Pod =>
    pod("p", "10.42.0.2", {
      spec: {
        containers: [{ name: "c", image: "i" }],
        initContainers: [
          {
            name: "s",
            image: "i",
            ports: [{ name: "http", containerPort: 7 }],
            ...(restartPolicy === undefined ? {} : { restartPolicy }),
          },
        ],
      },
    });
  assert.deepEqual(
    only(plan(service(), [init("Always")])).ports?.map(({ port }) => port),
    [7],
  );
  assert.deepEqual(only(plan(service(), [init()])).ports, []);
});

test("headless services are labelled, need no ports, and know their pods' hostnames", () => {
  const headless = service({ clusterIP: "None", ports: [] });
  const slice = only(
    plan(headless, [
      pod("web-0", "10.42.0.2", { spec: { hostname: "web-0", subdomain: "web" } }),
      pod("x", "10.42.0.3", { spec: { hostname: "x", subdomain: "other" } }),
    ]),
  );
  assert.equal(slice.metadata.labels?.["service.kubernetes.io/headless"], "");
  assert.deepEqual(slice.ports, []);
  assert.deepEqual(
    slice.endpoints?.map(({ hostname }) => hostname),
    ["web-0", undefined],
  );
});

test("a dual-stack service has slices of both families", () => {
  const dual = service({ ipFamilies: ["IPv4", "IPv6"] });
  const one: Pod = {
    ...pod("p", "10.42.0.2"),
    status: { phase: "Running", podIPs: [{ ip: "10.42.0.2" }, { ip: "fd42::2" }] },
  };
  const slices = plan(dual, [one]).creates;
  assert.deepEqual(
    slices.map((slice) => [slice.addressType, slice.endpoints?.[0]?.addresses]),
    [
      ["IPv4", ["10.42.0.2"]],
      ["IPv6", ["fd42::2"]],
    ],
  );
});

test("traffic distribution gives hints to ready endpoints", () => {
  const hints = (trafficDistribution: string, ready = true): Endpoint["hints"] =>
    only(plan(service({ trafficDistribution }), [pod("p", "10.42.0.2", { ready })], [], zoned))
      .endpoints?.[0]?.hints;
  assert.deepEqual(hints("PreferClose"), { forZones: [{ name: "z1" }] });
  assert.deepEqual(hints("PreferSameNode"), {
    forZones: [{ name: "z1" }],
    forNodes: [{ name: "n1" }],
  });
  assert.equal(hints("PreferSameZone", false), undefined);
});

test("a service without endpoints keeps one empty slice, and it is used again", () => {
  const empty = applied([], plan(service(), []));
  assert.equal(empty.length, 1);
  assert.deepEqual(plan(service(), [], empty), {
    creates: [],
    updates: [],
    deletes: [],
    missingNodes: [],
  });
  const filled = plan(service(), [pod("p", "10.42.0.2")], empty);
  assert.deepEqual(
    [
      filled.creates.length,
      filled.updates.map(({ metadata }) => metadata.name),
      filled.deletes.length,
    ],
    [0, ["web-1"], 0],
  );
});

test("slices of a service of the same name that is gone are replaced, and a service that goes gets no new ones", () => {
  const old = applied(
    [],
    planEndpointSlices({
      service: { ...service(), metadata: { ...service().metadata, uid: "old" } },
      pods: [pod("p", "10.42.0.2")],
      slices: [],
      nodeOf: () => node,
    }),
  );
  const changes = plan(service(), [pod("p", "10.42.0.2")], old);
  assert.deepEqual(
    [changes.creates.length, changes.updates.length, changes.deletes.length],
    [1, 0, 1],
  );
  const going: Service = {
    ...service(),
    metadata: { ...service().metadata, deletionTimestamp: "2026-01-01T00:00:00Z" },
  };
  assert.deepEqual(plan(going, [pod("p", "10.42.0.2")]).creates, []);
});

test("after any history the slices hold each endpoint once, at most a hundred each, and a second plan changes nothing", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 350 }), { minLength: 1, maxLength: 6 }),
      fc.integer({ min: 1, max: 5 }),
      (sizes, stride) => {
        let slices: EndpointSlice[] = [];
        const serial = { next: 0 };
        for (const [round, size] of sizes.entries()) {
          const pods = Array.from({ length: size }, (_, index) => {
            const id = index * stride + round;
            return pod(`p${id}`, `10.42.${Math.floor(id / 250)}.${id % 250}`);
          });
          slices = applied(slices, plan(service(), pods, slices), serial);
          const held = slices.flatMap((slice) =>
            (slice.endpoints ?? []).map(({ targetRef }) => targetRef?.name ?? ""),
          );
          assert.deepEqual(held.sort(), pods.map(({ metadata }) => metadata.name ?? "").sort());
          assert.ok(
            slices.length > 0 && slices.every((slice) => (slice.endpoints?.length ?? 0) <= 100),
          );
          assert.deepEqual(plan(service(), pods, slices), {
            creates: [],
            updates: [],
            deletes: [],
            missingNodes: [],
          });
        }
      },
    ),
    { seed: 11, numRuns: 25 },
  );
});

const slicesOf = ({ api }: ControllerSetup, name: string): readonly EndpointSlice[] =>
  api
    .list<EndpointSlice>(resources.endpointSlices, "default")
    .filter(({ metadata }) => metadata.labels?.["kubernetes.io/service-name"] === name);
const readyPods = (setup: ControllerSetup, name: string): readonly string[] =>
  slicesOf(setup, name)
    .flatMap((slice) => slice.endpoints ?? [])
    .filter(({ conditions }) => conditions?.ready === true)
    .map(({ targetRef }) => targetRef?.name ?? "")
    .sort();

test("slices follow pods, services and nodes, with a watch that lags and breaks", async () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    const setup = await startControllers((context) => [createEndpointSliceController(context)], {
      seed: [testNode("n1")],
      watchLag: { seed, maxMs: 800 },
    });
    const { api, settle } = setup;
    await api.client.create(resources.services, testService("web"));
    await api.client.create(resources.pods, testPod("p0"));
    for (const index of [1, 2, 3]) api.seed(testPod(`p${index}`, { ip: `10.42.0.${index}` }));
    api.seed(
      testPod("late", { ip: "10.42.1.1", spec: { nodeName: "n2" } }),
      testPod("unready", { ip: "10.42.0.9", ready: false }),
    );
    await settle(30_000);
    assert.deepEqual(readyPods(setup, "web"), ["p1", "p2", "p3"]);
    assert.equal(slicesOf(setup, "web").length, 1);
    assert.equal(
      slicesOf(setup, "web")[0]?.metadata.labels?.["endpointslice.kubernetes.io/managed-by"],
      endpointSliceManager,
    );

    api.breakWatches();
    api.seed(testNode("n2"));
    await api.client.patch(resources.pods, "p2", "default", "merge", {
      metadata: { labels: { app: "other" } },
    });
    await api.client.delete(resources.pods, "p3", "default", { gracePeriodSeconds: 0 });
    await settle(60_000);
    assert.deepEqual(readyPods(setup, "web"), ["late", "p1"]);

    const [slice] = slicesOf(setup, "web");
    await api.client.delete(resources.endpointSlices, slice?.metadata.name ?? "", "default");
    await settle(30_000);
    assert.deepEqual(readyPods(setup, "web"), ["late", "p1"]);
    assert.equal(slicesOf(setup, "web").length, 1);
    await setup.stop();
  }
});

test("services without selector and external names get no slices", async () => {
  const setup = await startControllers((context) => [createEndpointSliceController(context)], {
    seed: [
      testNode("n1"),
      testService("none", { selector: {} }),
      testService("ext", { type: "ExternalName", externalName: "example.org" }),
      testPod("p", { ip: "10.42.0.2" }),
    ],
  });
  await setup.settle(1_000);
  assert.deepEqual(setup.api.list(resources.endpointSlices), []);
  await setup.stop();
});

test("a cache that is behind makes no second slice", async () => {
  const setup = await startControllers((context) => [createEndpointSliceController(context)], {
    seed: [testNode("n1")],
    watchLag: { seed: 3, maxMs: 1_000 },
  });
  await setup.api.client.create(resources.services, testService("web"));
  for (let index = 0; index < 20; index += 1) {
    setup.api.seed(testPod(`p${index}`, { ip: `10.42.0.${index + 1}` }));
    await setup.settle(100);
  }
  await setup.settle(10_000);
  assert.equal(readyPods(setup, "web").length, 20);
  assert.equal(
    setup.api.requests.filter(
      (request) => request.startsWith("POST") && request.includes("endpointslices"),
    ).length,
    1,
  );
  await setup.stop();
});
