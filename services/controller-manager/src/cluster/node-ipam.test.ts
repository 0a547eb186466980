import assert from "node:assert/strict";
import { test } from "node:test";
import { resources } from "@wherry/client";
import type { Node } from "@wherry/machinery";
import fc from "fast-check";
import { createNodeIpamController } from "./node-ipam-controller.ts";
import { createPodCidrPool } from "./pod-cidr-pool.ts";
import { startControllers, testNode } from "./testing/controller-setup.ts";

test("a pool gives each block once, in turn, and knows its end", () => {
  const pool = createPodCidrPool("10.42.0.0/22", 24);
  assert.equal(pool.occupy("10.42.1.0/24"), true);
  assert.equal(pool.occupy("192.168.0.0/24"), false);
  assert.deepEqual(
    [pool.allocate(), pool.allocate(), pool.allocate(), pool.allocate()],
    ["10.42.0.0/24", "10.42.2.0/24", "10.42.3.0/24", undefined],
  );
  pool.release("10.42.2.0/24");
  assert.equal(pool.allocate(), "10.42.2.0/24");
});

test("a wider block occupies all that lies in it", () => {
  const pool = createPodCidrPool("10.42.0.0/22", 24);
  pool.occupy("10.42.2.0/23");
  assert.deepEqual(
    [pool.allocate(), pool.allocate(), pool.allocate()],
    ["10.42.0.0/24", "10.42.1.0/24", undefined],
  );
});

test("no sequence of allocations and releases gives a block to two owners", () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 60 }), (steps) => {
      const pool = createPodCidrPool("10.42.0.0/20", 24);
      const held: string[] = [];
      for (const isTake of steps) {
        if (!isTake) {
          const freed = held.shift();
          if (freed !== undefined) pool.release(freed);
          continue;
        }
        const block = pool.allocate();
        assert.equal(block === undefined, held.length === 16);
        if (block === undefined) continue;
        assert.ok(!held.includes(block));
        held.push(block);
      }
    }),
    { seed: 5, numRuns: 100 },
  );
});

const cidrOf = (node: Node | undefined): string | undefined => node?.spec.podCIDR;

test("nodes get blocks of their own, those that have one keep it, whatever the lag of the watch", async () => {
  for (const seed of [1, 2, 3, 4]) {
    const old = testNode("old", { spec: { podCIDR: "10.42.0.0/24", podCIDRs: ["10.42.0.0/24"] } });
    const setup = await startControllers(
      (context) => [createNodeIpamController(context, { clusterCidr: "10.42.0.0/16" })],
      { seed: [old, testNode("a")], watchLag: { seed, maxMs: 2_000 } },
    );
    for (const name of ["b", "c", "d"])
      await setup.api.client.create(resources.nodes, testNode(name));
    await setup.settle(20_000);
    const nodes = setup.api.list<Node>(resources.nodes);
    const blocks = nodes.map(cidrOf);
    assert.equal(new Set(blocks).size, 5, JSON.stringify(blocks));
    assert.ok(!blocks.includes(undefined));
    assert.equal(cidrOf(setup.api.get(resources.nodes, "old")), "10.42.0.0/24");
    for (const { spec } of nodes) assert.deepEqual(spec.podCIDRs, [spec.podCIDR]);
    await setup.stop();
  }
});

test("a node that finds no block is told so, and gets the one of a node that goes", async () => {
  const setup = await startControllers(
    (context) => [createNodeIpamController(context, { clusterCidr: "10.42.0.0/24" })],
    { seed: [testNode("a")] },
  );
  await setup.api.client.create(resources.nodes, testNode("b"));
  await setup.settle(1_000);
  assert.equal(cidrOf(setup.api.get(resources.nodes, "b")), undefined);
  assert.deepEqual(setup.events(), ["CIDRNotAvailable: Node b status is now: CIDRNotAvailable"]);
  await setup.api.client.delete(resources.nodes, "a");
  await setup.settle(1_000);
  assert.equal(cidrOf(setup.api.get(resources.nodes, "b")), "10.42.0.0/24");
  await setup.stop();
});

test("a dual-stack cluster gives a block of each family", async () => {
  const setup = await startControllers(
    (context) => [
      createNodeIpamController(context, {
        clusterCidr: "10.42.0.0/16,fd42::/56",
        serviceCidr: "10.42.0.0/24",
      }),
    ],
    { seed: [testNode("a")] },
  );
  assert.deepEqual(setup.api.get<Node>(resources.nodes, "a")?.spec.podCIDRs, [
    "10.42.1.0/24",
    "fd42::/64",
  ]);
  await setup.stop();
});

test("a node that changes before its block is seen gets no second one", async () => {
  const setup = await startControllers(
    (context) => [createNodeIpamController(context, { clusterCidr: "10.42.0.0/16" })],
    { watchLag: { seed: 7, maxMs: 1_000 } },
  );
  await setup.api.client.create(resources.nodes, testNode("a"));
  for (let index = 0; index < 20; index += 1) {
    await setup.api.client.patch(resources.nodes, "a", undefined, "merge", {
      metadata: { labels: { step: String(index) } },
    });
    await setup.settle(50);
  }
  await setup.settle(5_000);
  const patches =
    setup.api.requests.filter(
      (request) => request.startsWith("PATCH") && request.includes("/nodes/a"),
    ).length - 20;
  assert.ok(patches >= 1);
  assert.equal(cidrOf(setup.api.get(resources.nodes, "a")), "10.42.0.0/24");
  await setup.stop();
});
