import assert from "node:assert/strict";
import { test } from "node:test";
import { resources } from "@wherry/client";
import type { Endpoints, EndpointSlice, EndpointSubset, Pod, Service } from "@wherry/machinery";
import { createEndpointMirrorController } from "./endpoint-mirror-controller.ts";
import { planEndpointMirror } from "./endpoint-mirror-plan.ts";
import { createEndpointsController } from "./endpoints-controller.ts";
import { planEndpoints } from "./endpoints-plan.ts";
import { startControllers, testPod, testService } from "./testing/controller-setup.ts";
import { createTriggerTimes } from "./trigger-time.ts";

const pod = (name: string, ip: string, changes: Parameters<typeof testPod>[1] = {}): Pod =>
  testPod(name, { ip, ...changes, metadata: { uid: `${name}-uid`, ...changes?.metadata } });
const plan = (service: Service, pods: readonly Pod[], current?: Endpoints): Endpoints | undefined =>
  planEndpoints({ service, pods, current, triggerTime: "2026-01-01T00:00:00Z" });
const subsetsOf = (service: Service, pods: readonly Pod[]): readonly EndpointSubset[] =>
  plan(service, pods)?.subsets ?? [];
const ips = (subset: EndpointSubset | undefined): readonly unknown[] => [
  subset?.addresses?.map(({ ip }) => ip),
  subset?.notReadyAddresses?.map(({ ip }) => ip),
  subset?.ports?.map(({ port }) => port),
];

test("endpoints carry the service's labels, its manager and the time that they answer", () => {
  const made = plan(testService("web", {}, { labels: { team: "a" } }), [pod("p", "10.42.0.2")]);
  assert.deepEqual(made?.metadata, {
    name: "web",
    namespace: "default",
    labels: { team: "a", "endpoints.kubernetes.io/managed-by": "endpoint-controller" },
    annotations: { "endpoints.kubernetes.io/last-change-trigger-time": "2026-01-01T00:00:00Z" },
  });
  assert.deepEqual(made?.subsets, [
    {
      addresses: [
        {
          ip: "10.42.0.2",
          nodeName: "n1",
          targetRef: { kind: "Pod", namespace: "default", name: "p", uid: "p-uid" },
        },
      ],
      ports: [{ port: 8080, protocol: "TCP" }],
    },
  ]);
  assert.equal(
    plan(testService("web", {}, { labels: { team: "a" } }), [pod("p", "10.42.0.2")], made),
    undefined,
  );
});

test("addresses stand with the ports that they offer, ready apart from unready, terminating ones not at all", () => {
  const deletionTimestamp = "2026-01-01T00:01:00Z";
  const pods = [
    pod("a", "10.42.0.2"),
    pod("b", "10.42.0.3", { ready: false }),
    pod("c", "10.42.0.4", { metadata: { deletionTimestamp } }),
  ];
  const [subset] = subsetsOf(
    testService("web", {
      ports: [
        { name: "a", port: 80, targetPort: 8080 },
        { name: "b", port: 81, targetPort: 9090 },
      ],
    }),
    pods,
  );
  assert.deepEqual(ips(subset), [["10.42.0.2"], ["10.42.0.3"], [8080, 9090]]);
  const published = subsetsOf(testService("web", { publishNotReadyAddresses: true }), pods);
  assert.deepEqual(ips(published[0]), [["10.42.0.2", "10.42.0.3", "10.42.0.4"], undefined, [8080]]);
});

test("a headless service without ports lists addresses only, and is labelled", () => {
  const made = plan(testService("web", { clusterIP: "None", ports: [] }), [
    pod("web-0", "10.42.0.2", { spec: { hostname: "web-0", subdomain: "web" } }),
  ]);
  assert.equal(made?.metadata.labels?.["service.kubernetes.io/headless"], "");
  assert.deepEqual(
    made?.subsets?.[0]?.addresses?.map(({ ip, hostname }) => [ip, hostname]),
    [["10.42.0.2", "web-0"]],
  );
  assert.equal(made?.subsets?.[0]?.ports, undefined);
});

test("more than a thousand addresses are cut, unready ones first, and that is said", () => {
  const pods = Array.from({ length: 1_100 }, (_, index) =>
    pod(`p${index}`, `10.${42 + Math.floor(index / 250)}.0.${index % 250}`, { ready: index < 950 }),
  );
  const made = plan(testService("web"), pods);
  assert.equal(made?.metadata.annotations?.["endpoints.kubernetes.io/over-capacity"], "truncated");
  assert.deepEqual(
    [made?.subsets?.[0]?.addresses?.length, made?.subsets?.[0]?.notReadyAddresses?.length],
    [950, 50],
  );
  assert.equal(plan(testService("web"), pods, made), undefined);
  const fewer = plan(testService("web"), pods.slice(0, 10), made);
  assert.equal(fewer?.metadata.annotations?.["endpoints.kubernetes.io/over-capacity"], undefined);
});

test("the trigger time is the service's creation first, then the earliest new readiness change", () => {
  const times = createTriggerTimes();
  const service = testService("web", {}, { creationTimestamp: "2026-01-01T00:00:00Z" });
  assert.equal(times.compute("k", service, [pod("a", "10.42.0.2")]), "2026-01-01T00:00:00Z");
  assert.equal(times.compute("k", service, [pod("a", "10.42.0.2")]), undefined);
  const later = {
    ...pod("a", "10.42.0.2"),
    status: {
      conditions: [{ type: "Ready", status: "False", lastTransitionTime: "2026-01-01T00:01:00Z" }],
    },
  };
  assert.equal(times.compute("k", service, [later, pod("b", "10.42.0.3")]), "2026-01-01T00:00:05Z");
  assert.equal(times.compute("k", service, [later]), undefined);
});

test("endpoints follow their service, come back, and go with it", async () => {
  for (const seed of [1, 2, 3]) {
    const setup = await startControllers((context) => [createEndpointsController(context)], {
      seed: [testService("web"), testPod("p1", { ip: "10.42.0.2" })],
      watchLag: { seed, maxMs: 500 },
    });
    const { api, settle } = setup;
    const current = (): Endpoints | undefined =>
      api.get<Endpoints>(resources.endpoints, "web", "default");
    await settle(5_000);
    assert.deepEqual(ips(current()?.subsets?.[0]), [["10.42.0.2"], undefined, [8080]]);
    api.seed(testPod("p2", { ip: "10.42.0.3" }));
    await settle(5_000);
    assert.deepEqual(ips(current()?.subsets?.[0]), [["10.42.0.2", "10.42.0.3"], undefined, [8080]]);
    await api.client.delete(resources.endpoints, "web", "default");
    await settle(5_000);
    assert.ok(current());
    await api.client.delete(resources.services, "web", "default");
    await settle(5_000);
    assert.equal(current(), undefined);
    await setup.stop();
  }
});

test("at the start only the controller's own leftovers are removed", async () => {
  const left = (name: string, labels: Record<string, string>): Endpoints => ({
    apiVersion: "v1",
    kind: "Endpoints",
    metadata: { name, namespace: "default", labels },
  });
  const setup = await startControllers((context) => [createEndpointsController(context)], {
    seed: [
      left("ours", { "endpoints.kubernetes.io/managed-by": "endpoint-controller" }),
      left("theirs", {}),
    ],
  });
  await setup.settle(1_000);
  assert.deepEqual(
    setup.api.list(resources.endpoints).map(({ metadata }) => metadata.name),
    ["theirs"],
  );
  await setup.stop();
});

const manual: Endpoints = {
  apiVersion: "v1",
  kind: "Endpoints",
  metadata: {
    name: "db",
    namespace: "default",
    uid: "ep-uid",
    labels: { a: "b" },
    annotations: { note: "x", "endpoints.kubernetes.io/last-change-trigger-time": "t" },
  },
  subsets: [
    {
      addresses: [{ ip: "192.0.2.1" }, { ip: "2001:db8::1" }, { ip: "nonsense" }],
      notReadyAddresses: [{ ip: "192.0.2.2", hostname: "h" }],
      ports: [{ port: 5432 }],
    },
  ],
};

test("a mirror has a slice for each family and leaves invalid addresses out", () => {
  const { creates, invalidAddresses } = planEndpointMirror(manual, []);
  assert.equal(invalidAddresses, 1);
  assert.deepEqual(
    creates.map((slice) => [slice.addressType, slice.ports, slice.endpoints]),
    [
      [
        "IPv4",
        [{ name: "", port: 5432, protocol: "TCP" }],
        [
          { addresses: ["192.0.2.1"], conditions: { ready: true } },
          { addresses: ["192.0.2.2"], conditions: { ready: false }, hostname: "h" },
        ],
      ],
      [
        "IPv6",
        [{ name: "", port: 5432, protocol: "TCP" }],
        [{ addresses: ["2001:db8::1"], conditions: { ready: true } }],
      ],
    ],
  );
  const [slice] = creates;
  assert.deepEqual(slice?.metadata.labels, {
    a: "b",
    "kubernetes.io/service-name": "db",
    "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
  });
  assert.deepEqual(slice?.metadata.annotations, { note: "x" });
  assert.equal(slice?.metadata.ownerReferences?.[0]?.kind, "Endpoints");
  const again = planEndpointMirror(
    manual,
    creates.map((one, index) => ({ ...one, metadata: { ...one.metadata, name: `s${index}` } })),
  );
  assert.deepEqual([again.creates, again.updates, again.deletes], [[], [], []]);
});

test("endpoints of services without a selector are mirrored, others and the API server's own are not", async () => {
  for (const seed of [1, 2, 3]) {
    const { uid: _uid, ...metadata } = manual.metadata;
    const named = (name: string, labels: Record<string, string> = {}): Endpoints => ({
      ...manual,
      metadata: { ...metadata, name, labels },
    });
    const setup = await startControllers((context) => [createEndpointMirrorController(context)], {
      seed: [
        ...["db", "kubernetes", "skipped"].map((name) => testService(name, { selector: {} })),
        testService("web"),
        ...["db", "kubernetes", "web"].map((name) => named(name)),
        named("skipped", { "endpointslice.kubernetes.io/skip-mirror": "true" }),
      ],
      watchLag: { seed, maxMs: 500 },
    });
    const { api, settle } = setup;
    const mirrored = (): readonly string[] =>
      api
        .list<EndpointSlice>(resources.endpointSlices)
        .map(
          ({ metadata: { labels }, endpoints }) =>
            `${labels?.["kubernetes.io/service-name"]} ${endpoints?.length}`,
        )
        .sort();
    await settle(10_000);
    assert.deepEqual(mirrored(), ["db 1", "db 2"]);
    assert.ok(
      setup
        .events()
        .includes(
          "InvalidIPAddress: Skipped 1 invalid IP addresses when mirroring to EndpointSlices",
        ),
    );
    await api.client.patch(resources.endpoints, "db", "default", "merge", {
      subsets: [{ addresses: [{ ip: "192.0.2.9" }], ports: [{ port: 1 }] }],
    });
    await settle(10_000);
    assert.deepEqual(mirrored(), ["db 1"]);
    await api.client.patch(resources.services, "db", "default", "merge", {
      spec: { selector: { app: "db" } },
    });
    await settle(10_000);
    assert.deepEqual(mirrored(), []);
    await setup.stop();
  }
});
