import assert from "node:assert/strict";
import { test } from "node:test";
import {
  readAddresses,
  readForwardingEntries,
  readLink,
  readNeighbours,
  readRoutes,
} from "./links.ts";
import { runChecked } from "./command-runner.ts";
import {
  diffOverlay,
  planHostGateway,
  planVxlan,
  type OverlayObserved,
  type OverlayPlan,
  type VxlanSelf,
} from "./overlay-plan.ts";
import {
  missingForNamespaces,
  openNamespace,
  openProbe,
  type NetworkNamespace,
} from "./testing.ts";

const self: VxlanSelf = {
  device: "flannel.1",
  vni: 1,
  port: 8472,
  parent: "eth0",
  localAddress: "172.31.0.11",
  mac: "02:42:00:00:00:01",
  mtu: 1450,
  podCidr: "10.42.1.0/24",
};
const peer = {
  name: "b",
  podCidr: "10.42.2.0/24",
  publicAddress: "172.31.0.12",
  mac: "02:42:00:00:00:02",
};
const nothing: OverlayObserved = {
  deviceAddresses: [],
  neighbours: [],
  forwarding: [],
  routes: [],
};

/** What the machine shows after a plan was carried out. */
const settled = (plan: OverlayPlan): OverlayObserved => ({
  ...(plan.device === undefined
    ? {}
    : {
        device: {
          name: plan.device.name,
          index: 9,
          mtu: plan.device.mtu,
          mac: plan.device.mac,
          up: true,
          kind: "vxlan",
          vxlan: {
            vni: plan.device.vni,
            port: plan.device.port,
            local: plan.device.localAddress,
            parent: plan.device.parent,
          },
        },
      }),
  deviceAddresses: plan.device === undefined ? [] : [`${plan.device.address}/32`],
  neighbours: plan.neighbours.map((entry) => ({ ...entry, permanent: true })),
  forwarding: plan.forwarding,
  routes: plan.routes.map((route) => ({ ...route, metric: 0 })),
});

test("a peer is a neighbour, a forwarding entry and a route", () => {
  const plan = planVxlan(self, [peer]);
  assert.deepEqual(plan.neighbours, [{ address: "10.42.2.0", mac: "02:42:00:00:00:02" }]);
  assert.deepEqual(plan.forwarding, [{ mac: "02:42:00:00:00:02", destination: "172.31.0.12" }]);
  assert.deepEqual(plan.routes, [
    { destination: "10.42.2.0/24", gateway: "10.42.2.0", link: "flannel.1", onlink: true },
  ]);
  assert.equal(diffOverlay(plan, nothing).commands.length, 3);
});

test("nothing is done when all is right, and only what differs otherwise", () => {
  const plan = planVxlan(self, [peer]);
  assert.deepEqual(diffOverlay(plan, settled(plan)), {
    commands: [],
    ipLines: [],
    bridgeLines: [],
  });
  const moved = diffOverlay(
    planVxlan(self, [{ ...peer, publicAddress: "172.31.0.99" }]),
    settled(plan),
  );
  assert.deepEqual(moved, {
    commands: [],
    ipLines: [],
    bridgeLines: ["fdb replace 02:42:00:00:00:02 dev flannel.1 dst 172.31.0.99 self permanent"],
  });
  const left = diffOverlay(planVxlan(self, []), settled(plan));
  assert.deepEqual(left.ipLines, [
    "neigh del 10.42.2.0 dev flannel.1",
    "route del 10.42.2.0/24 dev flannel.1",
  ]);
  assert.deepEqual(left.bridgeLines, [
    "fdb del 02:42:00:00:00:02 dev flannel.1 dst 172.31.0.12 self",
  ]);
});

test("a device with other parameters is made anew with all its entries", () => {
  const plan = planVxlan(self, [peer]);
  const changes = diffOverlay(planVxlan({ ...self, vni: 2 }, [peer]), settled(plan));
  assert.deepEqual(changes.commands[0], ["ip", "link", "delete", "flannel.1"]);
  assert.equal(changes.ipLines.length, 2);
  const resized = diffOverlay(
    planVxlan({ ...self, mtu: 1400, mac: "02:42:00:00:00:09" }, [peer]),
    settled(plan),
  );
  assert.deepEqual(resized.commands, [
    ["ip", "link", "set", "flannel.1", "address", "02:42:00:00:00:09"],
    ["ip", "link", "set", "flannel.1", "mtu", "1400"],
  ]);
});

test("two nodes with one block: the first by name has it, and this node's own is never taken", () => {
  const plan = planHostGateway({ parent: "eth0", podCidr: "10.42.1.0/24" }, [
    { name: "c", podCidr: "10.42.2.0/24", publicAddress: "172.31.0.13" },
    { name: "b", podCidr: "10.42.2.0/24", publicAddress: "172.31.0.12" },
    { name: "d", podCidr: "10.42.1.0/24", publicAddress: "172.31.0.14" },
  ]);
  assert.deepEqual(plan.routes, [
    { destination: "10.42.2.0/24", gateway: "172.31.0.12", link: "eth0", onlink: false },
  ]);
});

test(
  "two machines reach each other's blocks over VXLAN and over host-gw",
  { skip: missingForNamespaces(["ip", "bridge"]) },
  async () => {
    const spaces = await Promise.all([openNamespace(), openNamespace()]);
    const [one, two] = spaces;
    const observe = async (space: NetworkNamespace): Promise<OverlayObserved> => {
      const device = await readLink(space, "flannel.1");
      return {
        ...(device === undefined ? {} : { device }),
        deviceAddresses: (await readAddresses(space))
          .filter((address) => address.link === "flannel.1" && address.family === 4)
          .map((address) => `${address.address}/${address.prefix}`),
        neighbours: device === undefined ? [] : await readNeighbours(space, "flannel.1"),
        forwarding: device === undefined ? [] : await readForwardingEntries(space, "flannel.1"),
        routes: (await readRoutes(space)).filter((route) => route.destination.startsWith("10.42.")),
      };
    };
    const carryOut = async (space: NetworkNamespace, plan: OverlayPlan): Promise<void> => {
      const changes = diffOverlay(plan, await observe(space));
      for (const command of changes.commands) await runChecked(space, command);
      await runChecked(space, ["ip", "-batch", "-"], {
        input: changes.ipLines.map((line) => `${line}\n`).join(""),
      });
      await runChecked(space, ["bridge", "-batch", "-"], {
        input: changes.bridgeLines.map((line) => `${line}\n`).join(""),
      });
      assert.deepEqual(diffOverlay(plan, await observe(space)), {
        commands: [],
        ipLines: [],
        bridgeLines: [],
      });
    };
    try {
      await one.ip([
        `link add eth0 type veth peer name eth0 netns ${two.pid}`,
        "addr add 172.31.0.11/24 dev eth0",
        "link set eth0 up",
        "addr add 10.42.1.1/32 dev lo",
      ]);
      await two.ip([
        "addr add 172.31.0.12/24 dev eth0",
        "link set eth0 up",
        "addr add 10.42.2.1/32 dev lo",
      ]);
      const [first, second] = await Promise.all(spaces.map((space) => openProbe(space.prefix)));
      try {
        await second?.listen({ address: "10.42.2.1", port: 80, reply: "two" });
        const other: VxlanSelf = {
          ...self,
          localAddress: "172.31.0.12",
          mac: peer.mac,
          podCidr: peer.podCidr,
        };
        await carryOut(one, planVxlan(self, [peer]));
        await carryOut(
          two,
          planVxlan(other, [
            { name: "a", podCidr: self.podCidr, publicAddress: self.localAddress, mac: self.mac },
          ]),
        );
        assert.equal(await first?.ask({ address: "10.42.2.1", port: 80 }), "two 10.42.1.0");
        await runChecked(one, ["ip", "link", "delete", "flannel.1"]);
        await carryOut(one, planHostGateway({ parent: "eth0", podCidr: self.podCidr }, [peer]));
        await runChecked(two, ["ip", "link", "delete", "flannel.1"]);
        await carryOut(
          two,
          planHostGateway({ parent: "eth0", podCidr: peer.podCidr }, [
            { name: "a", podCidr: self.podCidr, publicAddress: self.localAddress },
          ]),
        );
        assert.equal(await first?.ask({ address: "10.42.2.1", port: 80 }), "two 172.31.0.11");
      } finally {
        await Promise.all([first?.close(), second?.close()]);
      }
    } finally {
      await Promise.all(spaces.map((space) => space.close()));
    }
  },
);
