import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ElementLedger } from "./element-ledger.ts";
import { masqueradeCommands } from "./masquerade-table.ts";
import { applyNft, changeCommands } from "./nft-script.ts";
import {
  hostPortElements,
  serviceElements,
  type RouteEndpoint,
  type ServiceRoute,
} from "./service-route.ts";
import {
  chainCommands,
  chainOfVerdict,
  fullSyncCommands,
  type ServiceTableConfig,
} from "./service-table.ts";
import {
  missingForNamespaces,
  openNamespace,
  openProbe,
  type NetworkNamespace,
  type NetworkProbe,
} from "./testing.ts";

/**
 * One "node" with a bridge and two pods, and one machine outside. The node's table is the product's; every check is traffic.
 */
const config: ServiceTableConfig = {
  table: { family: "ip", name: "wherry" },
  podCidr: "10.42.0.0/16",
};
const NODE = "192.168.7.1";
const POD_1 = "10.42.1.2";
const POD_2 = "10.42.1.3";
const noDns = new Set<string>();

const pod = (address: string, port = 8080): RouteEndpoint => ({ address, port, local: true });
const route = (
  clusterIp: string,
  endpoints: readonly RouteEndpoint[],
  more: Partial<ServiceRoute> = {},
): ServiceRoute => ({
  protocol: "tcp",
  clusterIp,
  port: 80,
  externalIps: [],
  loadBalancerIps: [],
  sourceRanges: [],
  internalLocal: false,
  externalLocal: false,
  clusterEndpoints: endpoints,
  localEndpoints: endpoints.filter((endpoint) => endpoint.local),
  ...more,
});

describe("service table in a network namespace", { skip: missingForNamespaces() }, () => {
  const ledger = new ElementLedger();
  let node: NetworkNamespace;
  let outsideSpace: NetworkNamespace;
  let podSpaces: NetworkNamespace[];
  let host: NetworkProbe;
  let outside: NetworkProbe;
  let pod1: NetworkProbe;
  let pod2: NetworkProbe;

  before(async () => {
    [node, outsideSpace, ...podSpaces] = (await Promise.all([
      openNamespace(),
      openNamespace(),
      openNamespace(),
      openNamespace(),
    ])) as [NetworkNamespace, NetworkNamespace, ...NetworkNamespace[]];
    await node.ip([
      "link add cni0 type bridge",
      "addr add 10.42.1.1/24 dev cni0",
      "link set cni0 up",
      `link add eth0 type veth peer name eth0 netns ${outsideSpace.pid}`,
      `addr add ${NODE}/24 dev eth0`,
      "link set eth0 up",
      "route add default via 192.168.7.2",
    ]);
    await outsideSpace.ip([
      "addr add 192.168.7.2/24 dev eth0",
      "link set eth0 up",
      `route add 10.43.0.0/16 via ${NODE}`,
      `route add 10.99.0.0/16 via ${NODE}`,
      "route add 10.42.0.0/16 via 192.168.7.1",
    ]);
    for (const [index, space] of podSpaces.entries()) {
      await node.ip([
        `link add veth${index} type veth peer name eth0 netns ${space.pid}`,
        `link set veth${index} master cni0 up`,
        `link set veth${index} type bridge_slave hairpin on`,
      ]);
      await space.ip([
        `addr add 10.42.1.${index + 2}/24 dev eth0`,
        "link set eth0 up",
        "route add default via 10.42.1.1",
      ]);
    }
    for (const [key, value] of [
      ["ipv4/ip_forward", "1"],
      ["bridge/bridge-nf-call-iptables", "1"],
      ["ipv4/conf/cni0/route_localnet", "1"],
    ]) {
      await node.run(["tee", `/proc/sys/net/${key}`], { input: `${value}\n` });
    }
    await applyNft(
      node,
      fullSyncCommands(config, () => ledger.elements(), { keepAffinity: true }),
    );
    await applyNft(node, masqueradeCommands({ family: "ip", name: "wherry-masq" }, config.podCidr));
    [host, outside, pod1, pod2] = (await Promise.all(
      [node, outsideSpace, ...podSpaces].map((space) => openProbe(space.prefix)),
    )) as [NetworkProbe, NetworkProbe, NetworkProbe, NetworkProbe];
    for (const protocol of ["tcp", "udp"] as const) {
      await pod1.listen({ protocol, address: POD_1, port: 8080, reply: "one" });
      await pod2.listen({ protocol, address: POD_2, port: 8080, reply: "two" });
    }
    await outside.listen({ address: "192.168.7.2", port: 7000, reply: "world" });
    await host.listen({ address: "127.0.0.1", port: 7001, reply: "private" });
  });

  after(async () => {
    await Promise.all([host, outside, pod1, pod2].map((probe) => probe?.close()));
    await Promise.all([node, outsideSpace, ...(podSpaces ?? [])].map((space) => space?.close()));
  });

  const apply = async (owner: string, ...routes: readonly ServiceRoute[]): Promise<void> => {
    ledger.replace(
      owner,
      routes.flatMap((one) => serviceElements(one, noDns)),
    );
    const changes = ledger.takeChanges();
    const chains = changes.added
      .flatMap((element) => chainOfVerdict(element.value) ?? [])
      .map((spec) => chainCommands(config, spec));
    await applyNft(node, [...chains, ...changeCommands(config.table, changes)]);
  };
  const many = async (
    probe: NetworkProbe,
    address: string,
    port = 80,
    times = 24,
  ): Promise<Set<string>> =>
    new Set(
      await Promise.all(
        Array.from(
          { length: times },
          async () => (await probe.ask({ address, port })).split(" ")[0] ?? "",
        ),
      ),
    );

  test("a cluster IP reaches all endpoints from pods, the node and outside; only pods keep their address", async () => {
    await apply("a/web", route("10.43.0.10", [pod(POD_1), pod(POD_2)]));
    assert.deepEqual([...(await many(host, "10.43.0.10"))].sort(), ["one", "two"]);
    assert.deepEqual([...(await many(outside, "10.43.0.10"))].sort(), ["one", "two"]);
    await apply("a/web", route("10.43.0.10", [pod(POD_2)]));
    assert.equal(await pod1.ask({ address: "10.43.0.10", port: 80 }), `two ${POD_1}`);
    assert.equal(await outside.ask({ address: "10.43.0.10", port: 80 }), "two 10.42.1.1");
  });

  test("a pod reaches itself through its service", async () => {
    await apply("a/self", route("10.43.0.11", [pod(POD_1)]));
    assert.match(await pod1.ask({ address: "10.43.0.11", port: 80 }), /^one 10\.42\.1\.1$/);
  });

  test("UDP is routed like TCP", async () => {
    await apply("a/udp", route("10.43.0.12", [pod(POD_2)], { protocol: "udp" }));
    assert.equal(
      await pod1.ask({ protocol: "udp", address: "10.43.0.12", port: 80 }),
      `two ${POD_1}`,
    );
    assert.match(await host.ask({ protocol: "udp", address: "10.43.0.12", port: 80 }), /^two /);
  });

  test("a service without endpoints refuses at once, TCP and UDP, and so does a port that the service has not", async () => {
    await apply("a/empty", route("10.43.0.13", []), route("10.43.0.13", [], { protocol: "udp" }));
    for (const probe of [host, pod1, outside])
      assert.equal(await probe.ask({ address: "10.43.0.13", port: 80 }), "ECONNREFUSED");
    assert.equal(
      await pod1.ask({ protocol: "udp", address: "10.43.0.13", port: 80 }),
      "ECONNREFUSED",
    );
    assert.equal(await pod1.ask({ address: "10.43.0.10", port: 81 }), "ECONNREFUSED");
  });

  test("a node port answers on the node's address, hides the client with policy Cluster and shows it with policy Local", async () => {
    await apply("a/node-port", route("10.43.0.14", [pod(POD_1)], { nodePort: 30080 }));
    assert.equal(await outside.ask({ address: NODE, port: 30080 }), "one 10.42.1.1");
    assert.match(await host.ask({ address: NODE, port: 30080 }), /^one /);
    assert.match(await pod2.ask({ address: NODE, port: 30080 }), /^one /);
    await apply(
      "a/node-port",
      route("10.43.0.14", [pod(POD_1)], { nodePort: 30080, externalLocal: true }),
    );
    assert.equal(await outside.ask({ address: NODE, port: 30080 }), "one 192.168.7.2");
    assert.match(await host.ask({ address: NODE, port: 30080 }), /^one /);
    assert.equal(await pod2.ask({ address: NODE, port: 30080 }), `one ${POD_2}`);
    await apply("a/node-port");
    assert.equal(await outside.ask({ address: NODE, port: 30080 }), "ECONNREFUSED");
  });

  test("policy Local without local endpoints drops what comes from outside and serves the cluster", async () => {
    const elsewhere = { ...pod(POD_1), local: false };
    await apply(
      "a/far",
      route("10.43.0.15", [elsewhere], {
        nodePort: 30081,
        externalLocal: true,
        loadBalancerIps: ["10.99.0.1"],
      }),
    );
    assert.equal(await outside.ask({ address: NODE, port: 30081, timeoutMs: 300 }), "timeout");
    assert.equal(await outside.ask({ address: "10.99.0.1", port: 80, timeoutMs: 300 }), "timeout");
    assert.equal(await pod2.ask({ address: NODE, port: 30081 }), `one ${POD_2}`);
    assert.equal(await pod2.ask({ address: "10.99.0.1", port: 80 }), `one ${POD_2}`);
    assert.match(await host.ask({ address: "10.99.0.1", port: 80 }), /^one /);
    await apply("a/far", route("10.43.0.15", [elsewhere], { internalLocal: true }));
    assert.equal(await pod2.ask({ address: "10.43.0.15", port: 80, timeoutMs: 300 }), "timeout");
    await apply("a/far", route("10.43.0.15", [], { nodePort: 30081 }));
    assert.equal(await outside.ask({ address: NODE, port: 30081 }), "ECONNREFUSED");
  });

  test("external addresses are routed, and source ranges narrow a load balancer's only", async () => {
    await apply(
      "a/lb",
      route("10.43.0.16", [pod(POD_1)], {
        externalIps: ["10.99.0.3"],
        loadBalancerIps: ["10.99.0.2"],
        sourceRanges: ["172.16.0.0/12", "172.16.5.0/24"],
      }),
    );
    assert.match(await outside.ask({ address: "10.99.0.3", port: 80 }), /^one /);
    assert.equal(await outside.ask({ address: "10.99.0.2", port: 80, timeoutMs: 300 }), "timeout");
    await apply(
      "a/lb",
      route("10.43.0.16", [pod(POD_1)], {
        loadBalancerIps: ["10.99.0.2"],
        sourceRanges: ["192.168.7.0/24"],
      }),
    );
    assert.match(await outside.ask({ address: "10.99.0.2", port: 80 }), /^one /);
  });

  test("a client stays with its endpoint, also when others come, and moves once its endpoint is gone", async () => {
    const keep = { affinity: 600, nodePort: 30082 };
    await apply("a/keep", route("10.43.0.17", [pod(POD_1), pod(POD_2)], keep));
    for (const [probe, address, port] of [
      [pod1, "10.43.0.17", 80],
      [host, "10.43.0.17", 80],
      [outside, NODE, 30082],
    ] as const) {
      const first = await many(probe, address, port, 12);
      assert.equal(first.size, 1);
      await apply("a/keep", route("10.43.0.17", [pod(POD_1), pod(POD_2), pod("10.42.1.77")], keep));
      assert.deepEqual(await many(probe, address, port, 12), first);
      const other = first.has("one") ? "two" : "one";
      await apply("a/keep", route("10.43.0.17", [pod(other === "one" ? POD_1 : POD_2)], keep));
      assert.deepEqual(await many(probe, address, port, 4), new Set([other]));
      await apply("a/keep", route("10.43.0.17", [pod(POD_1), pod(POD_2)], keep));
      assert.deepEqual(await many(probe, address, port, 12), new Set([other]));
    }
  });

  test("a full sync in place keeps what clients are bound to and drops what no owner claims", async () => {
    await apply("a/keep", route("10.43.0.17", [pod(POD_1), pod(POD_2)], { affinity: 600 }));
    const bound = await many(pod2, "10.43.0.17", 80, 12);
    await applyNft(
      node,
      "add element ip wherry services { 10.43.9.9 . tcp . 80 : goto ip-tcp-cluster-1 }",
    );
    await applyNft(
      node,
      fullSyncCommands(config, () => ledger.elements(), { keepAffinity: true }),
    );
    assert.deepEqual(await many(pod2, "10.43.0.17", 80, 12), bound);
    const { stdout } = await node.run(["nft", "list", "map", "ip", "wherry", "services"]);
    assert.doesNotMatch(stdout, /10\.43\.9\.9/);
  });

  test("a full sync replaces a table of another layout", async () => {
    await applyNft(
      node,
      "delete table ip wherry; add table ip wherry; add set ip wherry services { type ipv4_addr ; }",
    );
    await assert.rejects(
      applyNft(
        node,
        fullSyncCommands(config, () => ledger.elements(), { keepAffinity: true }),
      ),
      { code: "command-failed" },
    );
    await applyNft(
      node,
      fullSyncCommands(config, () => ledger.elements(), { keepAffinity: false }),
    );
    assert.match(await pod2.ask({ address: "10.43.0.11", port: 80 }), /^one /);
  });

  test("a host port answers on the node, on loopback too, and does not open the node's loopback to pods", async () => {
    ledger.replace(
      "pod/x",
      hostPortElements({ protocol: "tcp", hostPort: 8088, podIp: POD_1, containerPort: 8080 }),
    );
    ledger.replace(
      "pod/y",
      hostPortElements({
        protocol: "tcp",
        hostPort: 8089,
        hostIp: NODE,
        podIp: POD_2,
        containerPort: 8080,
      }),
    );
    await applyNft(node, changeCommands(config.table, ledger.takeChanges()));
    assert.equal(await outside.ask({ address: NODE, port: 8088 }), "one 192.168.7.2");
    assert.match(await host.ask({ address: NODE, port: 8088 }), /^one /);
    assert.match(await host.ask({ address: "127.0.0.1", port: 8088 }), /^one 10\.42\.1\.1$/);
    assert.match(await pod1.ask({ address: NODE, port: 8088 }), /^one 10\.42\.1\.1$/);
    assert.equal(await outside.ask({ address: NODE, port: 8089 }), "two 192.168.7.2");
    assert.equal(await host.ask({ address: "127.0.0.1", port: 8089 }), "ECONNREFUSED");
    await podSpaces[0]
      ?.ip([
        "route add 127.0.0.1/32 via 10.42.1.1 table 9",
        "rule add to 127.0.0.1 lookup 9 pref 1",
      ])
      .catch(() => {});
    assert.equal(await host.ask({ address: "127.0.0.1", port: 7001 }), "private 127.0.0.1");
  });

  test("what pods send out of the cluster carries the node's address", async () => {
    assert.equal(await pod1.ask({ address: "192.168.7.2", port: 7000 }), `world ${NODE}`);
  });
});

test("the program loads for IPv6", { skip: missingForNamespaces() }, async () => {
  const space = await openNamespace();
  try {
    const table = { family: "ip6", name: "wherry" } as const;
    const elements = serviceElements(
      route("fd00:43::10", [{ address: "fd00:42::2", port: 8080, local: true }], {
        nodePort: 30080,
        externalLocal: true,
        loadBalancerIps: ["fd00:99::1"],
        sourceRanges: ["fd00::/8"],
      }),
      noDns,
    );
    await applyNft(
      space,
      fullSyncCommands({ table, podCidr: "fd00:42::/56" }, () => elements, { keepAffinity: true }),
    );
    await applyNft(
      space,
      masqueradeCommands({ family: "ip6", name: "wherry-masq" }, "fd00:42::/56"),
    );
  } finally {
    await space.close();
  }
});
