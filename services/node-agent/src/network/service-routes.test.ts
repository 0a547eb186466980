import assert from "node:assert/strict";
import { test } from "node:test";
import type { Endpoint, EndpointSlice, Pod, Service } from "@wherry/machinery";
import { hostPortRoutes, serviceRoutes } from "./service-routes.ts";

// The choice of endpoints is kube-proxy's (CategorizeEndpoints).

const scope = { nodeName: "here", zone: "z1" };
const service = (spec: Partial<Service["spec"]>, more: Partial<Service> = {}): Service => ({
  metadata: { name: "web", namespace: "default" },
  spec: {
    clusterIP: "10.43.0.20",
    clusterIPs: ["10.43.0.20"],
    ports: [{ name: "http", port: 80 }],
    ...spec,
  },
  ...more,
});
const slice = (
  endpoints: readonly Endpoint[],
  more: Partial<EndpointSlice> = {},
): EndpointSlice => ({
  metadata: {
    name: "web-1",
    namespace: "default",
    labels: { "kubernetes.io/service-name": "web" },
  },
  addressType: "IPv4",
  ports: [{ name: "http", port: 8080, protocol: "TCP" }],
  endpoints,
  ...more,
});
const at = (address: string, nodeName: string, more: Partial<Endpoint> = {}): Endpoint => ({
  addresses: [address],
  nodeName,
  ...more,
});
const addresses = (endpoints: readonly { readonly address: string }[] | undefined): string[] =>
  (endpoints ?? []).map(({ address }) => address);
const routed = (
  endpoints: readonly Endpoint[],
  spec: Partial<Service["spec"]> = {},
): { cluster: string[]; local: string[] } => {
  const [route] = serviceRoutes(service(spec), [slice(endpoints)], scope);
  return { cluster: addresses(route?.clusterEndpoints), local: addresses(route?.localEndpoints) };
};

test("ready endpoints are used, and those without a word about it are ready", () => {
  const endpoints = [
    at("10.42.0.2", "here"),
    at("10.42.1.2", "there", { conditions: { ready: true } }),
    at("10.42.1.3", "there", { conditions: { ready: false } }),
  ];
  assert.deepEqual(routed(endpoints), {
    cluster: ["10.42.0.2", "10.42.1.2"],
    local: ["10.42.0.2"],
  });
});

test("endpoints that shut down but serve are used while there is no ready one, in each of the two lists for itself", () => {
  const leaving = { conditions: { ready: false, serving: true, terminating: true } };
  assert.deepEqual(routed([at("10.42.0.2", "here", leaving), at("10.42.1.2", "there")]), {
    cluster: ["10.42.1.2"],
    local: ["10.42.0.2"],
  });
  assert.deepEqual(routed([at("10.42.0.2", "here", leaving), at("10.42.1.2", "there", leaving)]), {
    cluster: ["10.42.0.2", "10.42.1.2"],
    local: ["10.42.0.2"],
  });
  assert.deepEqual(
    routed([
      at("10.42.0.2", "here", { conditions: { ready: false, serving: false, terminating: true } }),
    ]),
    { cluster: [], local: [] },
  );
});

test("hints keep traffic in the zone when every endpoint has one and the zone has some", () => {
  const zone = (name: string): Partial<Endpoint> => ({ hints: { forZones: [{ name }] } });
  assert.deepEqual(
    routed([at("10.42.0.2", "a", zone("z1")), at("10.42.0.3", "b", zone("z2"))]).cluster,
    ["10.42.0.2"],
  );
  assert.deepEqual(routed([at("10.42.0.2", "a", zone("z1")), at("10.42.0.3", "b")]).cluster, [
    "10.42.0.2",
    "10.42.0.3",
  ]);
  assert.deepEqual(
    routed([at("10.42.0.2", "a", zone("z3")), at("10.42.0.3", "b", zone("z2"))]).cluster,
    ["10.42.0.2", "10.42.0.3"],
  );
  assert.deepEqual(
    routed([
      at("10.42.0.2", "here", {
        hints: { forNodes: [{ name: "here" }], forZones: [{ name: "z1" }] },
      }),
      at("10.42.0.3", "b", { hints: { forNodes: [{ name: "b" }], forZones: [{ name: "z1" }] } }),
    ]).cluster,
    ["10.42.0.2"],
  );
});

test("ports are matched by name and protocol", () => {
  const both = service({
    ports: [
      { name: "http", port: 80 },
      { name: "dns", port: 53, protocol: "UDP" },
    ],
  });
  const routes = serviceRoutes(
    both,
    [
      slice([at("10.42.0.2", "here")], {
        ports: [
          { name: "dns", port: 5353, protocol: "UDP" },
          { name: "http", port: 8080 },
        ],
      }),
    ],
    scope,
  );
  assert.deepEqual(
    routes.map((route) => [route.protocol, route.port, route.clusterEndpoints[0]?.port]),
    [
      ["tcp", 80, 8080],
      ["udp", 53, 5353],
    ],
  );
});

test("policies, addresses and affinity are carried over", () => {
  const [route] = serviceRoutes(
    service(
      {
        type: "LoadBalancer",
        ports: [{ name: "http", port: 80, nodePort: 30_080 }],
        externalIPs: ["1.2.3.4", "fd00::1"],
        externalTrafficPolicy: "Local",
        internalTrafficPolicy: "Local",
        sessionAffinity: "ClientIP",
        loadBalancerSourceRanges: ["10.0.0.0/8"],
      },
      {
        status: {
          loadBalancer: {
            ingress: [{ ip: "5.6.7.8" }, { ip: "9.9.9.9", ipMode: "Proxy" }, { hostname: "x" }],
          },
        },
      },
    ),
    [],
    scope,
  );
  assert.deepEqual(route, {
    protocol: "tcp",
    clusterIp: "10.43.0.20",
    port: 80,
    nodePort: 30_080,
    externalIps: ["1.2.3.4"],
    loadBalancerIps: ["5.6.7.8"],
    sourceRanges: ["10.0.0.0/8"],
    internalLocal: true,
    externalLocal: true,
    affinity: 10_800,
    clusterEndpoints: [],
    localEndpoints: [],
  });
});

test("what is not this proxy's is not routed", () => {
  for (const spec of [
    { clusterIP: "None", clusterIPs: ["None"] },
    { type: "ExternalName", externalName: "x" },
    { clusterIP: "fd00::1", clusterIPs: ["fd00::1"] },
  ])
    assert.deepEqual(serviceRoutes(service(spec), [], scope), []);
  const foreign = service(
    {},
    {
      metadata: {
        name: "web",
        namespace: "default",
        labels: { "service.kubernetes.io/service-proxy-name": "other" },
      },
    },
  );
  assert.deepEqual(serviceRoutes(foreign, [], scope), []);
  const headless = slice([at("10.42.0.2", "here")], {
    metadata: {
      name: "x",
      namespace: "default",
      labels: { "kubernetes.io/service-name": "web", "service.kubernetes.io/headless": "" },
    },
  });
  assert.deepEqual(
    addresses(serviceRoutes(service({}), [headless], scope)[0]?.clusterEndpoints),
    [],
  );
});

test("host ports are those of running pods with an address of their own", () => {
  const pod = (phase: string, hostNetwork = false): Pod => ({
    metadata: { name: "p", namespace: "default" },
    spec: {
      hostNetwork,
      containers: [
        {
          name: "c",
          ports: [
            { containerPort: 80, hostPort: 8080 },
            { containerPort: 53, hostPort: 53, protocol: "UDP", hostIP: "127.0.0.1" },
            { containerPort: 9 },
          ],
        },
      ],
    },
    status: { phase, podIP: "10.42.0.2", podIPs: [{ ip: "10.42.0.2" }] },
  });
  assert.deepEqual(hostPortRoutes(pod("Running")), [
    { protocol: "tcp", hostPort: 8080, podIp: "10.42.0.2", containerPort: 80 },
    { protocol: "udp", hostPort: 53, hostIp: "127.0.0.1", podIp: "10.42.0.2", containerPort: 53 },
  ]);
  assert.deepEqual(hostPortRoutes(pod("Succeeded")), []);
  assert.deepEqual(hostPortRoutes(pod("Running", true)), []);
});
