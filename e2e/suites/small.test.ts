import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { root, startBundle, type Cluster } from "../src/cluster.ts";
import { describeKubectl } from "../src/kubectl-suite.ts";
import { createLimitedCgroup, type LimitedCgroup } from "../src/limited-cgroup.ts";

const isRoot = process.getuid?.() === 0;

describe(
  "a board: 512 MB and one processor for the production bundle, containerd and the pods",
  { skip: isRoot ? false : "needs root" },
  () => {
    let group: LimitedCgroup;
    let cluster: Cluster;
    before(async () => {
      execFileSync(
        "npx",
        ["--prefer-offline", "-y", "pnpm@12.21.0", "--filter", "@wherry/launcher", "run", "build"],
        { cwd: root, stdio: "ignore" },
      );
      group = await createLimitedCgroup("wherry-e2e-small", {
        memoryBytes: 512 * 1024 * 1024,
        cpus: 1,
      });
      cluster = await startBundle({
        cgroup: group.name,
        entry: join(root, "services/launcher/dist/wherry.js"),
      });
    });
    after(async () => {
      await cluster?.close();
      await group?.remove();
    });

    describeKubectl("board", () => cluster);

    it("says what the whole tree uses", async (context) => {
      await cluster.kubectl(["scale", "deployment/web", "--replicas=5"]);
      await cluster.kubectl(["rollout", "status", "deployment/web", "--timeout=60s"]);
      let pssKb = 0;
      let nodeRssKb = 0;
      for (const pid of await group.processes()) {
        const rollup = await readFile(`/proc/${pid}/smaps_rollup`, "utf8").catch(() => "");
        const figure = (name: string): number =>
          Number(new RegExp(`^${name}: +(\\d+)`, "m").exec(rollup)?.[1] ?? 0);
        pssKb += figure("Pss");
        if (
          /node/.test(await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "")) ||
          /wherry\.js|dns-main/.test(await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => ""))
        )
          nodeRssKb += figure("Rss");
      }
      context.diagnostic(
        `PSS of the whole process tree ${Math.round(pssKb / 1024)} MB, RSS of Wherry's own processes ${Math.round(nodeRssKb / 1024)} MB`,
      );
    });
  },
);
