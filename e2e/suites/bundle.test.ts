import assert from "node:assert/strict";
import { globSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { findKubectls } from "@wherry/testkit";
import { startBundle, type Cluster } from "../src/cluster.ts";
import { describeClientSensitive, describeKubectl } from "../src/kubectl-suite.ts";
import { until } from "../src/until.ts";

const root = process.getuid?.() === 0;
const kubectls = root ? await findKubectls() : [];

describe("the bundle: one process", { skip: root ? false : "needs root" }, () => {
  let cluster: Cluster;
  before(async () => {
    cluster = await startBundle();
  });
  after(async () => {
    await cluster?.close();
  });

  describeKubectl("bundle", () => cluster);

  describe("older kubectls", () => {
    for (const minor of [33, 32, 31, 30, 29, 28, 27, 20]) {
      const kubectl = kubectls.find((one) => one.minor === minor);
      describe(
        `1.${minor}`,
        { skip: kubectl === undefined ? `no kubectl 1.${minor} on this machine` : false },
        () => {
          describeClientSensitive(
            () => cluster,
            () => kubectl,
          );
        },
      );
    }
  });

  it("kill -9 leaves the containers running, and they are adopted", async () => {
    const starts = async (): Promise<string> =>
      (
        await cluster.kubectl([
          "get",
          "pods",
          "-A",
          "-o",
          "jsonpath={range .items[*]}{.metadata.uid} {.status.containerStatuses[*].restartCount} {.status.containerStatuses[*].containerID}{'\\n'}{end}",
        ])
      ).stdout;
    const before = await starts();
    assert.notEqual(before.trim(), "");
    await cluster.kill();
    await cluster.restart();
    await until("the node to report again", 30_000, async () =>
      / Ready /.test((await cluster.kubectl(["get", "nodes"])).stdout),
    );
    assert.equal(await starts(), before);
  });

  it("killall leaves nothing", async () => {
    await cluster.killall();
    const { stdout: links } = await cluster.server.exec(["ip", "-o", "link"]);
    assert.doesNotMatch(links, /cni0|flannel|veth/);
    const { stdout: tables } = await cluster.server.exec(["nft", "list", "tables"]);
    assert.doesNotMatch(tables, /wherry/);
    const { stdout: mounts } = await cluster.server.exec(["cat", "/proc/mounts"]);
    assert.doesNotMatch(mounts, /kubelet\/pods|containerd.*(rootfs|shm)/);
    assert.deepEqual(await cluster.server.processes(), []);
    assert.deepEqual(globSync(`/sys/fs/cgroup/{,*/}wherry-e2e-${process.pid}`), []);
  });
});
