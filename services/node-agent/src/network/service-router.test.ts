import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { resources } from "@wherry/client";
import { createMemoryApi, type MemoryApi } from "@wherry/client/testing";
import type { EndpointSlice, Service } from "@wherry/machinery";
import type { CommandRunner } from "@wherry/net";
import {
  createRecordingRunner,
  missingForNamespaces,
  openNamespace,
  openProbe,
  type NetworkNamespace,
  type NetworkProbe,
} from "@wherry/net/testing";
import { silentLogger, systemClock } from "@wherry/service-kit";
import { serviceRouterConfig } from "./network-config.ts";
import { createServiceRouter, type ServiceRouter } from "./service-router.ts";
import { eventually } from "./testing/eventually.ts";

const node = { apiVersion: "v1", kind: "Node", metadata: { name: "here" }, spec: {} };
const service = (
  name: string,
  clusterIP: string,
  more: Partial<Service["spec"]> = {},
): Service => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name, namespace: "default" },
  spec: { clusterIP, clusterIPs: [clusterIP], ports: [{ port: 80, protocol: "TCP" }], ...more },
});
const slice = (name: string, addresses: readonly string[], protocol = "TCP"): EndpointSlice => ({
  apiVersion: "discovery.k8s.io/v1",
  kind: "EndpointSlice",
  metadata: { name, namespace: "default", labels: { "kubernetes.io/service-name": name } },
  addressType: "IPv4",
  ports: [{ name: "", port: 8080, protocol }],
  endpoints: addresses.map((address) => ({
    addresses: [address],
    nodeName: "here",
    conditions: { ready: true },
  })),
});
const start = async (
  api: MemoryApi,
  run: CommandRunner,
  more: object = {},
): Promise<ServiceRouter> => {
  const router = createServiceRouter(
    serviceRouterConfig.parse({ nodeName: "here", gatherMs: 1, ...more }),
    { api: api.client, run, clock: systemClock, log: silentLogger },
  );
  await router.start(new AbortController().signal);
  return router;
};
const stop = (router: ServiceRouter): Promise<void> => router.stop(new AbortController().signal);

describe("service router in a network namespace", { skip: missingForNamespaces() }, () => {
  const api = createMemoryApi();
  let space: NetworkNamespace;
  let probe: NetworkProbe;
  let router: ServiceRouter;

  before(async () => {
    space = await openNamespace();
    await space.ip([
      "link add eth0 type veth peer name other",
      "addr add 192.168.7.1/24 dev eth0",
      "link set eth0 up",
      "link set other up",
      "route add default via 192.168.7.254",
      "addr add 10.42.0.2/32 dev lo",
      "addr add 10.42.0.3/32 dev lo",
    ]);
    probe = await openProbe(space.prefix);
    for (const [address, reply] of [
      ["10.42.0.2", "one"],
      ["10.42.0.3", "two"],
    ] as const) {
      await probe.listen({ address, port: 8080, reply });
      await probe.listen({ protocol: "udp", address, port: 8080, reply });
    }
    api.seed(
      node,
      service("web", "10.43.0.20"),
      slice("web", ["10.42.0.2"]),
      service("kube-dns", "10.43.0.10", { ports: [{ port: 53, protocol: "UDP" }] }),
    );
    router = await start(api, space);
    await router.whenLoaded();
  });

  after(async () => {
    await stop(router);
    await probe.close();
    await space.close();
  });

  const ask = async (
    address: string,
    protocol: "tcp" | "udp" = "tcp",
    more: object = {},
  ): Promise<string> =>
    (await probe.ask({ protocol, address, port: 80, timeoutMs: 400, ...more })).split(" ")[0] ?? "";

  test("what existed at the start is routed", async () => {
    assert.equal(await ask("10.43.0.20"), "one");
    assert.deepEqual(router.health(), { status: "ok" });
  });

  test("endpoints that change are followed, down to none", async () => {
    await api.client.update(resources.endpointSlices, slice("web", ["10.42.0.3"]));
    await eventually("the other endpoint answers", async () => (await ask("10.43.0.20")) === "two");
    await api.client.delete(resources.endpointSlices, "web", "default");
    await eventually(
      "connections are refused",
      async () => (await ask("10.43.0.20")) === "ECONNREFUSED",
    );
  });

  test("the cluster DNS' address is never rejected", async () => {
    const { stdout } = await space.run(["nft", "list", "table", "ip", "wherry"]);
    assert.doesNotMatch(stdout, /10\.43\.0\.10/);
  });

  test("UDP clients leave an endpoint that is gone", async () => {
    api.seed(
      service("udp", "10.43.0.30", { ports: [{ port: 80, protocol: "UDP" }] }),
      slice("udp", ["10.42.0.2"], "UDP"),
    );
    await eventually(
      "it is routed",
      async () => (await ask("10.43.0.30", "udp", { localPort: 4_444 })) === "one",
    );
    await api.client.update(resources.endpointSlices, slice("udp", ["10.42.0.3"], "UDP"));
    await eventually(
      "the same client reaches the other",
      async () => (await ask("10.43.0.30", "udp", { localPort: 4_444 })) === "two",
    );
  });

  test("a table that somebody deleted is made again with the next change", async () => {
    await space.run(["nft", "delete", "table", "ip", "wherry"]);
    api.seed(service("late", "10.43.0.40"), slice("late", ["10.42.0.2"]));
    await eventually("it is routed", async () => (await ask("10.43.0.40")) === "one");
    assert.equal(await ask("10.43.0.20"), "ECONNREFUSED");
  });

  test("rules stay when the router stops, and the next one takes them over and drops what is gone", async () => {
    await stop(router);
    assert.equal(await ask("10.43.0.40"), "one");
    await api.client.delete(resources.services, "late", "default");
    router = await start(api, space);
    await router.whenLoaded();
    const { stdout } = await space.run(["nft", "list", "table", "ip", "wherry"]);
    assert.doesNotMatch(stdout, /10\.43\.0\.40/);
  });

  test("a pod's host port is routed while the pod runs", async () => {
    const pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "p", namespace: "default" },
      spec: {
        nodeName: "here",
        containers: [{ name: "c", ports: [{ containerPort: 8080, hostPort: 8088 }] }],
      },
      status: { phase: "Running", podIP: "10.42.0.3", podIPs: [{ ip: "10.42.0.3" }] },
    };
    api.seed(pod);
    await eventually("it is routed", async () =>
      (await probe.ask({ address: "192.168.7.1", port: 8088 })).startsWith("two"),
    );
    await api.client.delete(resources.pods, "p", "default", { gracePeriodSeconds: 0 });
    await eventually(
      "it is gone",
      async () => (await probe.ask({ address: "192.168.7.1", port: 8088 })) === "ECONNREFUSED",
    );
  });
});

test("a load that fails is tried again from the whole", async () => {
  const api = createMemoryApi();
  api.seed(node, service("web", "10.43.0.20"));
  let failures = 1;
  const run = createRecordingRunner(({ command, input }) =>
    command[0] === "nft" && input.includes("10.43.0.20") && failures-- > 0
      ? { exitCode: 1, stderr: "no" }
      : undefined,
  );
  const router = await start(api, run);
  try {
    await router.whenLoaded();
    const loads = run.commands.filter(({ command }) => command[0] === "nft");
    // In place first, then anew.
    assert.equal(loads.length, 2);
    assert.equal(loads[0]?.input.includes("delete table"), false);
    assert.equal(loads[1]?.input.includes("delete table ip wherry"), true);
  } finally {
    await stop(router);
  }
});

test("a burst of changes is loaded together", async () => {
  const api = createMemoryApi();
  api.seed(node);
  const run = createRecordingRunner();
  const router = await start(api, run, { gatherMs: 30, gatherMaxMs: 3_000 });
  try {
    await router.whenLoaded();
    const before = run.commands.filter(({ command }) => command[0] === "nft").length;
    api.seed(...Array.from({ length: 50 }, (_, index) => service(`s${index}`, `10.43.1.${index}`)));
    await eventually("all are loaded", () =>
      run.commands.some(({ input }) => input.includes("10.43.1.49")),
    );
    assert.ok(run.commands.filter(({ command }) => command[0] === "nft").length - before <= 2);
  } finally {
    await stop(router);
  }
});

test("without service routing only host ports are looked at", async () => {
  const api = createMemoryApi();
  api.seed(node, service("web", "10.43.0.20"));
  const run = createRecordingRunner();
  const router = await start(api, run, { routeServices: false });
  try {
    await router.whenLoaded();
    assert.equal(
      run.commands.some(({ input }) => input.includes("10.43.0.20")),
      false,
    );
    assert.equal(
      api.requests.some((request) => request.includes("/services")),
      false,
    );
  } finally {
    await stop(router);
  }
});
