import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { resolveFlags, UsageError } from "@wherry/service-kit";
import { nodeAgentFlags, nodeAgentRunOf } from "./run-node-agent.ts";

const run = (...args: readonly string[]): ReturnType<typeof nodeAgentRunOf> =>
  nodeAgentRunOf(resolveFlags(nodeAgentFlags, { args, env: {} }).values);

describe("node agent flags", () => {
  it("make one node on containerd by default", () => {
    const { nodes, runtime, socket } = run(
      "--kubeconfig",
      "k",
      "--node-name",
      "n",
      "--node-label",
      "a=b",
      "--node-taint",
      "x=y:NoExecute",
      "--container-runtime-endpoint",
      "unix:///run/x.sock",
    );
    assert.deepEqual([nodes.length, runtime, socket], [1, "containerd", "/run/x.sock"]);
    assert.deepEqual(
      [nodes[0]?.nodeLabels, nodes[0]?.nodeTaints, nodes[0]?.mounts],
      [{ a: "b" }, [{ key: "x", value: "y", effect: "NoExecute" }], "system"],
    );
  });

  it("make hollow nodes with folders of their own", () => {
    const { nodes } = run(
      "--kubeconfig",
      "k",
      "--runtime",
      "simulated",
      "--nodes",
      "3",
      "--node-name",
      "h",
      "--root-dir",
      "/r",
    );
    assert.deepEqual(
      nodes.map((one) => [one.nodeName, one.kubeletRoot, one.mounts]),
      [1, 2, 3].map((index) => [`h-${index}`, `/r/hollow/h-${index}`, "none"]),
    );
  });

  it("are refused by name when wrong", () => {
    assert.throws(
      () => run(),
      new UsageError(
        "--kubeconfig is required: the file with the API server's address and this node's credentials",
      ),
    );
    assert.throws(
      () => run("--kubeconfig", "k", "--runtime", "docker"),
      /--runtime must be containerd or simulated/u,
    );
    assert.throws(
      () => run("--kubeconfig", "k", "--nodes", "2"),
      /--nodes needs --runtime simulated/u,
    );
    assert.throws(
      () => run("--kubeconfig", "k", "--node-taint", "x=y:Never"),
      /--node-taint must be KEY=VALUE:EFFECT/u,
    );
    assert.throws(
      () => run("--kubeconfig", "k", "--node-label", "=x"),
      /--node-label must be KEY=VALUE/u,
    );
  });
});
