import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { Cluster } from "../src/cluster.ts";
import { scanPorts } from "../src/connect-scan.ts";
import { describeKubectl } from "../src/kubectl-suite.ts";
import { startSplit } from "../src/split-cluster.ts";

const root = process.getuid?.() === 0;

describe(
  "every service in its own process, and two nodes",
  { skip: root ? false : "needs root" },
  () => {
    let cluster: Cluster;
    before(async () => {
      cluster = await startSplit();
    });
    after(async () => {
      await cluster?.close();
    });

    describeKubectl("split cluster", () => cluster);

    it("pods run on both nodes, and exec and logs on the second go through its websocket", async () => {
      const { stdout } = await cluster.kubectl([
        "get",
        "pods",
        "-l",
        "app=web",
        "-o",
        "jsonpath={range .items[*]}{.metadata.name} {.spec.nodeName}{'\\n'}{end}",
      ]);
      const placed = stdout
        .trim()
        .split("\n")
        .map((line) => line.split(" "));
      for (const machine of cluster.nodes)
        assert.ok(
          placed.some(([, node]) => node === machine.name),
          `no pod runs on ${machine.name}`,
        );
      const [pod = ""] = placed.find(([, node]) => node === "second") ?? [];
      assert.equal((await cluster.kubectl(["exec", pod, "--", "hostname"])).stdout.trim(), pod);
    });

    it("a connect scan of the second node from the server finds no listener", async () => {
      const second = cluster.nodes[1];
      assert.ok(second);
      // Node ports of services are pods', not the node's.
      const { stdout } = await cluster.kubectl([
        "get",
        "services",
        "-A",
        "-o",
        "jsonpath={.items[*].spec.ports[*].nodePort}",
      ]);
      const nodePorts = stdout.split(" ").map(Number);
      const open = await scanPorts(cluster.server, second.ip);
      assert.deepEqual(
        open.filter((port) => !nodePorts.includes(port)),
        [],
      );
      // The scan sees what is there: the server's own port.
      assert.ok((await scanPorts(second, cluster.server.ip)).includes(6443));
    });
  },
);
