import assert from "node:assert/strict";
import { mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { Pod } from "@wherry/machinery";
import { silentLogger } from "@wherry/service-kit";
import { createManualClock } from "@wherry/service-kit/testing";
import { temporaryFolder } from "../testing/temporary-folder.ts";
import { openCgroups } from "./cgroup-filesystem.ts";
import { createCgroupManager, podCgroupLimits } from "./cgroup-manager.ts";
import { podCgroupPath } from "./cgroup-paths.ts";
import { cpuQuota, cpuShares, cpuWeight } from "./cpu-figures.ts";

function podOf(resources: Pod["spec"]["containers"][number]["resources"]): Pod {
  return {
    metadata: { name: "p", namespace: "ns", uid: "u" },
    spec: { containers: [{ name: "app", ...(resources === undefined ? {} : { resources }) }] },
  };
}

describe("cpu figures", () => {
  it("are the kubelet's", () => {
    assert.deepEqual([0, 1, 100, 1_000, 1_000_000].map(cpuShares), [2, 2, 102, 1_024, 262_144]);
    assert.deepEqual([0, 1, 200, 1_500].map(cpuQuota), [undefined, 1_000, 20_000, 150_000]);
    assert.deepEqual([2, 102, 262_144].map(cpuWeight), [1, 4, 10_000]);
  });
});

describe("pod cgroups", () => {
  it("lie below their class", () => {
    assert.equal(podCgroupPath("/", podOf(undefined)), "/kubepods/besteffort/podu");
    assert.equal(
      podCgroupPath("/lab", podOf({ requests: { cpu: "1" } })),
      "/lab/kubepods/burstable/podu",
    );
    assert.equal(
      podCgroupPath(
        "/",
        podOf({ requests: { cpu: "1", memory: "1" }, limits: { cpu: "1", memory: "1" } }),
      ),
      "/kubepods/podu",
    );
  });

  it("are limited by what their containers are limited to", () => {
    assert.deepEqual(
      podCgroupLimits(
        podOf({ requests: { cpu: "100m" }, limits: { cpu: "200m", memory: "64Mi" } }),
      ),
      { cpuShares: 102, cpuQuotaUs: 20_000, memoryBytes: 67_108_864 },
    );
    assert.deepEqual(podCgroupLimits(podOf(undefined)), {
      cpuShares: 2,
      cpuQuotaUs: undefined,
      memoryBytes: undefined,
    });
  });
});

for (const version of [1, 2] as const) {
  describe(`cgroup v${version}`, () => {
    it("gets the classes' and pods' groups with their figures, and loses them again", async (t) => {
      const mount = await temporaryFolder(t);
      if (version === 2) await writeFile(join(mount, "cgroup.controllers"), "cpu memory pids");
      else for (const name of ["cpu", "memory", "pids", "freezer"]) await mkdir(join(mount, name));
      assert.equal((await openCgroups(mount)).version, version);
      const manager = createCgroupManager(
        { root: "/", mount, allocatable: { cpuMilli: 2_000, memoryBytes: 1_000_000 } },
        { clock: createManualClock(), log: silentLogger },
      );
      await manager.start();
      const pod = podOf({ requests: { cpu: "100m" }, limits: { cpu: "200m", memory: "1Mi" } });
      const path = await manager.ensurePod(pod);
      assert.equal(path, "/kubepods/burstable/podu");
      const read = (controller: string, file: string): Promise<string> =>
        readFile(join(mount, version === 1 ? controller : "", path, file), "utf8");
      if (version === 1)
        assert.deepEqual(
          [
            await read("cpu", "cpu.shares"),
            await read("cpu", "cpu.cfs_quota_us"),
            await read("memory", "memory.limit_in_bytes"),
          ],
          ["102", "20000", "1048576"],
        );
      else {
        assert.deepEqual(
          [await read("", "cpu.weight"), await read("", "cpu.max"), await read("", "memory.max")],
          ["4", "20000 100000", "1048576"],
        );
        assert.equal(
          await readFile(join(mount, "cgroup.subtree_control"), "utf8"),
          "+cpu +memory +pids",
        );
      }
      assert.deepEqual(await manager.listPods(), ["u"]);
      await manager.updateClasses([pod, pod]);
      const classFile =
        version === 1 ? "cpu/kubepods/burstable/cpu.shares" : "kubepods/burstable/cpu.weight";
      assert.equal(await readFile(join(mount, classFile), "utf8"), version === 1 ? "204" : "8");

      // A real hierarchy's files vanish with their group; a plain folder's must be taken out first.
      for (const controller of version === 1 ? ["cpu", "memory", "pids"] : [""]) {
        const folder = join(mount, controller, path);
        for (const file of [
          "cpu.shares",
          "cpu.cfs_period_us",
          "cpu.cfs_quota_us",
          "memory.limit_in_bytes",
          "cpu.weight",
          "cpu.max",
          "memory.max",
        ])
          await rm(join(folder, file), { force: true });
      }
      await manager.removePod("u");
      await assert.rejects(stat(join(mount, version === 1 ? "cpu" : "", path)));
      await manager.removePod("u");
    });
  });
}
