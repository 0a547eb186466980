import assert from "node:assert/strict";
import { mkdtemp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { resources } from "@wherry/client";
import { createMemoryApi } from "@wherry/client/testing";
import type { Node } from "@wherry/machinery";
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
import { CNI_CONFIG_FILE } from "./cni-config.ts";
import { podNetworkConfig } from "./network-config.ts";
import { createPodNetwork, type PodNetwork } from "./pod-network.ts";
import { removePodNetwork } from "./remove-pod-network.ts";
import { eventually } from "./testing/eventually.ts";

const node = (name: string, podCIDR?: string): Node => ({
  apiVersion: "v1",
  kind: "Node",
  metadata: { name },
  spec: podCIDR === undefined ? {} : { podCIDR, podCIDRs: [podCIDR] },
});

/** Passes commands on and remembers those that change something. */
const watched = (run: CommandRunner): CommandRunner & { readonly changes: string[] } => {
  const changes: string[] = [];
  return {
    changes,
    run(command, options) {
      const [program, ...args] = command;
      const reads = args.includes("show") || program === "cat";
      if (!reads)
        changes.push(
          [...command, ...(typeof options?.input === "string" ? [options.input] : [])].join(" "),
        );
      return run.run(command, options);
    },
  };
};

describe(
  "pod network of two nodes",
  { skip: missingForNamespaces(["ip", "bridge", "nft"]) },
  () => {
    const api = createMemoryApi();
    let folder: string;
    let spaces: NetworkNamespace[];
    let probes: NetworkProbe[];
    const running: PodNetwork[] = [];

    const config = (name: string, more: object = {}) =>
      podNetworkConfig.parse({
        nodeName: name,
        cniConfDir: join(folder, name, "net.d"),
        cniBinDir: folder,
        cniLeaseDir: join(folder, name, "leases"),
        ...more,
      });
    const start = async (
      name: string,
      run: CommandRunner,
      more: object = {},
    ): Promise<PodNetwork> => {
      const network = createPodNetwork(config(name, more), {
        api: api.client,
        run,
        clock: systemClock,
        log: silentLogger,
      });
      await network.start(new AbortController().signal);
      running.push(network);
      return network;
    };
    const stopAll = async (): Promise<void> => {
      for (const network of running.splice(0)) await network.stop(new AbortController().signal);
    };
    const space = (index: number): NetworkNamespace => spaces[index] ?? assert.fail();
    const answers = async (): Promise<string> =>
      (await probes[0]?.ask({ address: "10.42.1.1", port: 80, timeoutMs: 300 })) ?? "";

    before(async () => {
      folder = await mkdtemp(join(tmpdir(), "wherry-net-"));
      spaces = await Promise.all([openNamespace(), openNamespace()]);
      await space(0).ip([
        `link add eth0 type veth peer name eth0 netns ${space(1).pid}`,
        "addr add 172.31.0.11/24 dev eth0",
        "link set eth0 up",
        "route add default via 172.31.0.12",
      ]);
      await space(1).ip([
        "addr add 172.31.0.12/24 dev eth0",
        "link set eth0 up",
        "route add default via 172.31.0.11",
      ]);
      probes = await Promise.all(spaces.map((one) => openProbe(one.prefix)));
      api.seed(node("a"), node("b", "10.42.1.0/24"));
    });

    after(async () => {
      await stopAll();
      await Promise.all(probes.map((probe) => probe.close()));
      await Promise.all(spaces.map((one) => one.close()));
      await rm(folder, { recursive: true, force: true });
    });

    test("nothing is set up before the node has its block", async () => {
      const network = await start("a", space(0));
      await eventually("it says what it waits for", () => {
        const health = network.health();
        return health.status === "failing" && health.reason.includes("spec.podCIDR of the Node a");
      });
      const current = api.get<Node>(resources.nodes, "a") ?? assert.fail();
      await api.client.update(resources.nodes, {
        ...current,
        spec: { podCIDR: "10.42.0.0/24", podCIDRs: ["10.42.0.0/24"] },
      });
      await network.whenReady();
      assert.deepEqual(network.health(), { status: "ok" });
    });

    test("the node announces itself as flannel does, and containerd gets its configuration", async () => {
      const annotations = api.get<Node>(resources.nodes, "a")?.metadata.annotations ?? {};
      const data = JSON.parse(annotations["flannel.alpha.coreos.com/backend-data"] ?? "") as {
        VNI: number;
        VtepMAC: string;
      };
      assert.equal(data.VNI, 1);
      assert.match(data.VtepMAC, /^02:/);
      assert.equal(annotations["flannel.alpha.coreos.com/backend-type"], "vxlan");
      assert.equal(annotations["flannel.alpha.coreos.com/public-ip"], "172.31.0.11");
      assert.equal(annotations["flannel.alpha.coreos.com/kube-subnet-manager"], "true");
      const conf = JSON.parse(
        await readFile(join(folder, "a", "net.d", CNI_CONFIG_FILE), "utf8"),
      ) as {
        name: string;
        plugins: {
          type: string;
          bridge: string;
          mtu: number;
          ipam: { ranges: { subnet: string }[][] };
        }[];
      };
      assert.equal(conf.name, "cbr0");
      assert.deepEqual(
        [
          conf.plugins[0]?.type,
          conf.plugins[0]?.bridge,
          conf.plugins[0]?.mtu,
          conf.plugins[0]?.ipam.ranges[0]?.[0]?.subnet,
        ],
        ["bridge", "cni0", 1_450, "10.42.0.0/24"],
      );
    });

    test("two nodes reach each other's pods", async () => {
      await (await start("b", space(1))).whenReady();
      await probes[1]?.listen({ address: "10.42.1.1", port: 80, reply: "b" });
      await eventually("traffic flows", async () => (await answers()) === "b 10.42.0.0");
    });

    test("a restart takes over what is there without changing anything", async () => {
      await stopAll();
      assert.equal(await answers(), "b 10.42.0.0");
      const runs = [watched(space(0)), watched(space(1))];
      await Promise.all(
        ["a", "b"].map(async (name, index) =>
          (await start(name, runs[index] ?? assert.fail())).whenReady(),
        ),
      );
      assert.equal(await answers(), "b 10.42.0.0");
      for (const run of runs)
        assert.deepEqual(
          run.changes.filter((change) => !change.startsWith("nft")),
          [],
        );
    });

    test("a node that leaves loses its route, and gets it again", async () => {
      const left = api.get<Node>(resources.nodes, "b") ?? assert.fail();
      await api.client.delete(resources.nodes, "b");
      await eventually(
        "the route is gone",
        async () => !(await space(0).run(["ip", "route"])).stdout.includes("10.42.1.0/24"),
      );
      api.seed({ ...left, metadata: { name: "b", annotations: left.metadata.annotations ?? {} } });
      await eventually("traffic flows", async () => (await answers()) === "b 10.42.0.0");
    });

    test("a change of the backend replaces the overlay", async () => {
      await stopAll();
      for (const [index, name] of ["a", "b"].entries())
        await (await start(name, space(index), { backend: "host-gw" })).whenReady();
      await eventually("there is a route by the gateway", async () =>
        (await space(0).run(["ip", "route"])).stdout.includes(
          "10.42.1.0/24 via 172.31.0.12 dev eth0",
        ),
      );
      await eventually(
        "traffic flows by the gateway",
        async () => (await answers()) === "b 172.31.0.11",
      );
      assert.doesNotMatch((await space(0).run(["ip", "link"])).stdout, /flannel\.1/);
    });

    test("everything is removed and counted", async () => {
      await stopAll();
      await mkdir(join(folder, "a", "leases", "cbr0"), { recursive: true });
      await writeFile(join(folder, "a", "leases", "cbr0", "10.42.0.2"), "id");
      await space(0).ip([
        "addr add 10.43.0.10/32 dev lo",
        "link add veth9 type veth peer name peer9",
        "link set veth9 master cni0",
      ]);
      const options = {
        cniConfDir: join(folder, "a", "net.d"),
        cniLeaseDir: join(folder, "a", "leases"),
      };
      assert.deepEqual(await removePodNetwork(space(0), options), {
        links: 2,
        routes: 1,
        tables: 1,
        addresses: 1,
        leases: 1,
        files: 1,
      });
      assert.deepEqual(await removePodNetwork(space(0), options), {
        links: 0,
        routes: 0,
        tables: 0,
        addresses: 0,
        leases: 0,
        files: 0,
      });
      assert.equal((await space(0).run(["nft", "list", "ruleset"])).stdout, "");
    });
  },
);

test(
  "a machine without a default route gets a way to service addresses",
  { skip: missingForNamespaces() },
  async () => {
    const api = createMemoryApi();
    api.seed(node("a", "10.42.0.0/24"));
    const folder = await mkdtemp(join(tmpdir(), "wherry-net-"));
    const space = await openNamespace();
    try {
      await space.ip([
        "link add eth0 type veth peer name other",
        "addr add 172.31.0.11/24 dev eth0",
        "link set eth0 up",
        "link set other up",
      ]);
      const more = { nodeName: "a", cniConfDir: folder, cniBinDir: folder, cniLeaseDir: folder };
      const without = createPodNetwork(podNetworkConfig.parse(more), {
        api: api.client,
        run: space,
        clock: systemClock,
        log: silentLogger,
      });
      await assert.rejects(without.start(new AbortController().signal), {
        code: "unsupported-machine",
        message: /--node-ip/,
      });
      await without.stop(new AbortController().signal);
      const network = createPodNetwork(podNetworkConfig.parse({ ...more, nodeIp: "172.31.0.11" }), {
        api: api.client,
        run: space,
        clock: systemClock,
        log: silentLogger,
      });
      await network.start(new AbortController().signal);
      await network.whenReady();
      assert.match(
        (await space.run(["ip", "route", "get", "10.43.0.20"])).stdout,
        /dev lo src 172\.31\.0\.11/,
      );
      await network.stop(new AbortController().signal);
    } finally {
      await space.close();
      await rm(folder, { recursive: true, force: true });
    }
  },
);

test("backend none touches nothing but forwarding", async () => {
  const api = createMemoryApi();
  const run = createRecordingRunner(({ command }) =>
    command[0] === "cat" ? { stdout: "1\n" } : undefined,
  );
  const network = createPodNetwork(
    podNetworkConfig.parse({
      nodeName: "a",
      backend: "none",
      cniConfDir: "/nowhere",
      cniBinDir: "/nowhere",
    }),
    { api: api.client, run, clock: systemClock, log: silentLogger },
  );
  await network.start(new AbortController().signal);
  await network.whenReady();
  assert.deepEqual(network.health(), { status: "ok" });
  assert.deepEqual(
    run.commands.map(({ command }) => command[0]),
    ["cat", "cat"],
  );
  assert.equal(api.requests.length, 0);
  await network.stop(new AbortController().signal);
});
