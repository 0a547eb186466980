import assert from "node:assert/strict";
import { test } from "node:test";
import type { ApiError, KubeObject } from "@wherry/machinery";
import type { Draft } from "@wherry/schema";
import { createManualClock } from "@wherry/service-kit/testing";
import { createObjectStoreFake } from "../auth/object-store-fake.ts";
import { resourceIds } from "../auth/resource-ids.ts";
import type { AdmissionRequest } from "../chain.ts";
import { createServiceAllocator } from "./service-allocator.ts";
import type { ServiceSpec, ServiceSpecDraft } from "./service-spec.ts";

function setUp(
  options: { readonly serviceCidrs?: readonly string[]; readonly nodePortLast?: number } = {},
) {
  const store = createObjectStoreFake();
  const allocator = createServiceAllocator({
    serviceCidrs: options.serviceCidrs ?? ["10.43.0.0/16"],
    nodePortFirst: 30_000,
    nodePortLast: options.nodePortLast ?? 32_767,
    store,
    clock: createManualClock(),
    random: () => 0,
  });
  allocator.start();
  let made = 0;
  /** Admits and, unless told otherwise, stores a service. */
  const write = (
    spec: object,
    old?: KubeObject,
    name = `s${(made += 1)}`,
    dryRun = false,
  ): ServiceSpec => {
    const draft = {
      metadata: { name, namespace: "default" },
      spec: structuredClone(spec),
    } as unknown as Draft;
    const request = {
      operation: old === undefined ? "CREATE" : "UPDATE",
      definition: { group: "", resource: "services" },
      subresource: "",
      namespace: "default",
      name,
      user: { name: "u", groups: [] },
      dryRun,
      draft,
      old,
    } as unknown as AdmissionRequest;
    void allocator.mutate?.(request);
    if (!dryRun) store.put(resourceIds.services, draft);
    return draft["spec"] as ServiceSpecDraft;
  };
  const stored = (name: string): KubeObject => store.peek(resourceIds.services, "default", name)!;
  return { store, allocator, write, stored };
}

const ports = [{ protocol: "TCP", port: 80 }];
const messageOf = (action: () => unknown): string => {
  try {
    action();
  } catch (error) {
    return (error as ApiError).message;
  }
  return "";
};

test("a service gets the first address behind the static band and the cluster's family", () => {
  const { write } = setUp();
  const spec = write({ type: "ClusterIP", ports });
  assert.deepEqual(
    {
      ip: spec.clusterIP,
      ips: spec.clusterIPs,
      families: spec.ipFamilies,
      policy: spec.ipFamilyPolicy,
      nodePort: spec.ports?.[0]?.nodePort,
    },
    {
      ip: "10.43.1.1",
      ips: ["10.43.1.1"],
      families: ["IPv4"],
      policy: "SingleStack",
      nodePort: undefined,
    },
  );
  assert.equal(write({ type: "ClusterIP", ports }).clusterIP, "10.43.1.2");
});

test("what stored services hold is known from the beginning and free after their deletion", async () => {
  const { store, write } = setUp();
  write({ type: "ClusterIP", ports, clusterIP: "10.43.0.10" }, undefined, "dns");
  assert.equal(
    messageOf(() => write({ type: "ClusterIP", ports, clusterIP: "10.43.0.10" }, undefined, "x")),
    'Service "x" is invalid: spec.clusterIPs: Invalid value: ["10.43.0.10"]: failed to allocate IP 10.43.0.10: provided IP is already allocated',
  );
  await store.delete(resourceIds.services, "default", "dns");
  assert.equal(
    write({ type: "ClusterIP", ports, clusterIP: "10.43.0.10" }).clusterIP,
    "10.43.0.10",
  );
});

test("an address of another network is refused", () => {
  const { write } = setUp();
  assert.equal(
    messageOf(() => write({ type: "ClusterIP", ports, clusterIP: "192.168.1.1" }, undefined, "x")),
    'Service "x" is invalid: spec.clusterIPs: Invalid value: ["192.168.1.1"]: failed to allocate IP 192.168.1.1: the provided network does not match the current range',
  );
});

test("headless and external services get no address", () => {
  const { write } = setUp();
  assert.deepEqual(
    write({ type: "ClusterIP", clusterIP: "None", selector: { a: "b" }, ports }).clusterIPs,
    ["None"],
  );
  const selectorless = write({ type: "ClusterIP", clusterIP: "None", ports });
  assert.deepEqual(
    [selectorless.ipFamilies, selectorless.ipFamilyPolicy],
    [["IPv4", "IPv6"], "RequireDualStack"],
  );
  assert.equal(write({ type: "ExternalName", externalName: "example.com" }).clusterIP, undefined);
});

test("node ports are given, shared by the protocols of a port, and refused twice", () => {
  const { write } = setUp();
  const spec = write({
    type: "NodePort",
    ports: [
      { name: "a", protocol: "TCP", port: 53 },
      { name: "b", protocol: "UDP", port: 53 },
      { name: "c", protocol: "TCP", port: 80 },
    ],
  });
  const given = spec.ports?.map((port) => port.nodePort);
  assert.deepEqual(given, [30_086, 30_086, 30_087]);
  assert.equal(
    messageOf(() =>
      write(
        { type: "NodePort", ports: [{ protocol: "TCP", port: 80, nodePort: 30_086 }] },
        undefined,
        "x",
      ),
    ),
    'Service "x" is invalid: spec.ports[0].nodePort: Invalid value: 30086: provided port is already allocated',
  );
  // As recorded: validation-create/service-nodeport-range.
  assert.equal(
    messageOf(() =>
      write(
        { type: "NodePort", ports: [{ protocol: "TCP", port: 80, nodePort: 80 }] },
        undefined,
        "x",
      ),
    ),
    'Service "x" is invalid: spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767',
  );
});

test("a load balancer gets a health check port for local traffic, and node ports unless it declines", () => {
  const { write } = setUp();
  const local = write({ type: "LoadBalancer", ports, externalTrafficPolicy: "Local" });
  assert.notEqual(local.healthCheckNodePort, undefined);
  assert.notEqual(local.healthCheckNodePort, local.ports?.[0]?.nodePort);
  const bare = write({
    type: "LoadBalancer",
    ports,
    externalTrafficPolicy: "Cluster",
    allocateLoadBalancerNodePorts: false,
  });
  assert.equal(bare.ports?.[0]?.nodePort, undefined);
  assert.equal(bare.healthCheckNodePort, undefined);
});

test("an update that leaves allocated values out keeps them", () => {
  const { write, stored } = setUp();
  const before = structuredClone(write({ type: "NodePort", ports }, undefined, "web"));
  const after = write({ type: "NodePort", ports, selector: { x: "y" } }, stored("web"), "web");
  assert.deepEqual(
    [after.clusterIP, after.clusterIPs, after.ipFamilies, after.ports],
    [before.clusterIP, before.clusterIPs, before.ipFamilies, before.ports],
  );
});

test("a change of type releases what the new type has no use for", () => {
  const { write, stored } = setUp({ nodePortLast: 30_000 });
  const before = structuredClone(write({ type: "NodePort", ports }, undefined, "web"));
  assert.equal(before.ports?.[0]?.nodePort, 30_000);
  const after = write({ ...before, type: "ClusterIP" }, stored("web"), "web");
  assert.equal(after.ports?.[0]?.nodePort, undefined);
  assert.equal(write({ type: "NodePort", ports }).ports?.[0]?.nodePort, 30_000);
  const external = write(
    { ...after, type: "ExternalName", externalName: "example.com" },
    stored("web"),
    "web",
  );
  assert.deepEqual(
    [external.clusterIP, external.clusterIPs, external.ipFamilies],
    [undefined, undefined, undefined],
  );
});

test("a full range is an internal error, and a dry run takes nothing", () => {
  const { write } = setUp({ nodePortLast: 30_000 });
  assert.equal(
    write({ type: "NodePort", ports }, undefined, "dry", true).ports?.[0]?.nodePort,
    30_000,
  );
  write({ type: "NodePort", ports });
  assert.equal(
    messageOf(() => write({ type: "NodePort", ports })),
    "Internal error occurred: failed to allocate a nodePort: range is full",
  );
});

test("a family that the cluster lacks is refused, and a second one is taken where there is one", () => {
  const single = setUp();
  assert.equal(
    messageOf(() =>
      single.write({ type: "ClusterIP", ports, ipFamilies: ["IPv6"] }, undefined, "x"),
    ),
    'Service "x" is invalid: spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster',
  );
  assert.match(
    messageOf(() => single.write({ type: "ClusterIP", ports, ipFamilyPolicy: "RequireDualStack" })),
    /this cluster is not configured for dual-stack services/,
  );
  assert.deepEqual(
    single.write({ type: "ClusterIP", ports, ipFamilyPolicy: "PreferDualStack" }).ipFamilies,
    ["IPv4"],
  );
  const dual = setUp({ serviceCidrs: ["10.43.0.0/16", "fd00:43::/112"] });
  assert.deepEqual(
    dual.write({ type: "ClusterIP", ports, ipFamilyPolicy: "PreferDualStack" }).clusterIPs,
    ["10.43.1.1", "fd00:43::101"],
  );
});

test("an address that validation will refuse is left to it", () => {
  const { write } = setUp();
  assert.equal(write({ type: "ClusterIP", ports, clusterIP: "x" }).clusterIP, "x");
  assert.deepEqual(
    write({ type: "ClusterIP", ports, clusterIP: "10.43.7.7", clusterIPs: ["10.43.7.8"] })
      .ipFamilies,
    undefined,
  );
});
