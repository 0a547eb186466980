import assert from "node:assert/strict";
import { test } from "node:test";
import { createRecordingRunner } from "@wherry/net/testing";
import { detectNodeIp } from "./node-address.ts";

const machine = (routes: readonly object[]) =>
  createRecordingRunner(({ command }) => {
    if (command.includes("link"))
      return {
        stdout: JSON.stringify([
          { ifname: "lo", ifindex: 1, mtu: 65_536, flags: ["UP"] },
          { ifname: "eth0", ifindex: 2, mtu: 1_500, flags: ["UP"] },
          { ifname: "eth1", ifindex: 3, mtu: 9_000, flags: ["UP"] },
        ]),
      };
    if (command.includes("addr")) {
      const address = (local: string): object => ({
        family: "inet",
        local,
        prefixlen: 24,
        scope: "global",
      });
      return {
        stdout: JSON.stringify([
          { ifname: "eth0", addr_info: [address("192.168.7.1"), address("192.168.7.9")] },
          { ifname: "eth1", addr_info: [address("10.0.0.1")] },
        ]),
      };
    }
    return { stdout: JSON.stringify(routes) };
  });
const byEth0 = { dst: "default", gateway: "192.168.7.254", dev: "eth0", metric: 100 };

test("the default route with the lowest metric decides, and its source address if it has one", async () => {
  assert.deepEqual(await detectNodeIp(machine([byEth0])), {
    address: "192.168.7.1",
    interface: "eth0",
    mtu: 1_500,
    hasDefaultRoute: true,
  });
  assert.equal(
    (await detectNodeIp(machine([byEth0, { dst: "default", dev: "eth1", metric: 50 }]))).address,
    "10.0.0.1",
  );
  assert.equal(
    (await detectNodeIp(machine([{ ...byEth0, prefsrc: "192.168.7.9" }]))).address,
    "192.168.7.9",
  );
});

test("what is named is used", async () => {
  assert.deepEqual(await detectNodeIp(machine([]), { nodeIp: "10.0.0.1" }), {
    address: "10.0.0.1",
    interface: "eth1",
    mtu: 9_000,
    hasDefaultRoute: false,
  });
  assert.equal((await detectNodeIp(machine([byEth0]), { interface: "eth1" })).address, "10.0.0.1");
  assert.equal(
    (await detectNodeIp(machine([byEth0]), { nodeIp: "203.0.113.5" })).interface,
    "eth0",
  );
});

test("a machine on which nothing can be chosen is told what to name", async () => {
  await assert.rejects(detectNodeIp(machine([])), {
    code: "unsupported-machine",
    message: /no default route.*--node-ip/,
  });
  await assert.rejects(detectNodeIp(machine([]), { nodeIp: "203.0.113.5" }), {
    code: "unsupported-machine",
    message: /--flannel-iface/,
  });
  await assert.rejects(detectNodeIp(machine([byEth0]), { interface: "lo" }), {
    code: "unsupported-machine",
    message: /no IPv4 address/,
  });
});
