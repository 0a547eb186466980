/**
 * Start and footprint of the production bundle, beside the floor: bare Node importing the same libraries, and containerd starting alone. A second start on existing
 * data is measured, median of the runs. `--idle SECONDS` is the time after which memory and CPU are read.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createLab, type Machine } from "@wherry/testkit";
import { node26, root } from "../src/cluster.ts";
import { placeSampleImages } from "../src/sample-images.ts";
import { until } from "../src/until.ts";
import { median, report, type Metric } from "./report.ts";

const { values } = parseArgs({
  options: {
    json: { type: "string" },
    runs: { type: "string", default: "5" },
    idle: { type: "string", default: "60" },
    source: { type: "boolean", default: false },
  },
});
const runs = Number(values.runs);
const idleMs = Number(values.idle) * 1000;

const entry = values.source
  ? join(root, "services/launcher/src/main.ts")
  : join(root, "services/launcher/dist/wherry.js");
if (!values.source)
  execFileSync(
    "npx",
    ["--prefer-offline", "-y", "pnpm@12.21.0", "--filter", "@wherry/launcher", "run", "build"],
    { cwd: root, stdio: ["ignore", "ignore", "inherit"] },
  );

const lab = await createLab();
const machine = await lab.addMachine("bench");
const dataDir = join(machine.folder, "data");
await placeSampleImages(dataDir);

const apiReady: number[] = [];
const nodeReady: number[] = [];
const metrics: Metric[] = [];
for (let run = 0; run <= runs; run += 1) {
  const server = await start(machine);
  // The first start makes certificates and imports images; it is not counted.
  if (run > 0) {
    apiReady.push(server.apiReadyS);
    nodeReady.push(server.nodeReadyS);
  }
  if (run === runs) metrics.push(...(await footprint(server.pid)));
  await server.stop();
}
metrics.unshift(
  { metric: "API ready after process start", value: median(apiReady), unit: "s", target: 1.5 },
  { metric: "Node Ready after process start", value: median(nodeReady), unit: "s", target: 3 },
);
metrics.push({
  metric: "bare Node importing the same libraries",
  value: await bareNodeS(),
  unit: "s",
});
metrics.push({ metric: "containerd's own start", value: await containerdStartS(), unit: "s" });
await machine.exec([node26, entry, "killall", "--data-dir", dataDir]);
await lab.close();
await report(values.source ? "startup (source tree)" : "startup", metrics, values.json);

interface RunningServer {
  readonly pid: number;
  readonly apiReadyS: number;
  readonly nodeReadyS: number;
  stop(): Promise<void>;
}

async function start(on: Machine): Promise<RunningServer> {
  const child = on.spawn(
    [
      node26,
      "--max-semi-space-size=2",
      entry,
      "server",
      "--data-dir",
      dataDir,
      "--write-kubeconfig",
      join(on.folder, "kubeconfig.yaml"),
      "--node-ip",
      on.ip,
      "--kubelet-arg",
      "cgroup-root=/wherry-bench",
    ],
    {
      stdio: ["ignore", "ignore", "pipe"],
    },
  );
  let text = "";
  child.stderr?.on("data", (data: Buffer) => {
    text += data.toString();
  });
  const found = async (pattern: RegExp): Promise<number> => {
    try {
      return await until(
        String(pattern),
        60_000,
        async () => Number(pattern.exec(text)?.[1] ?? 0) || undefined,
      );
    } catch (error) {
      throw new Error(`the server did not come up:\n${text.slice(-3000)}`, { cause: error });
    }
  };
  const apiReadyS = await found(/API server is now running, ([\d.]+) s/);
  const nodeReadyS = await found(/is Ready, ([\d.]+) s/);
  const exited = once(child, "exit");
  return {
    pid: await serverPid(),
    apiReadyS,
    nodeReadyS,
    async stop() {
      child.kill("SIGTERM");
      await exited;
    },
  };
}

async function serverPid(): Promise<number> {
  const { pid } = JSON.parse(await readFile(join(dataDir, "running.json"), "utf8")) as {
    readonly pid: number;
  };
  return pid;
}

/** Memory and CPU of Wherry's own processes (server and DNS) after a quiet time; containerd and its shims apart. */
async function footprint(pid: number): Promise<Metric[]> {
  const own = [pid, ...(await processesMatching(/dns-main/))];
  const others = await processesMatching(/containerd/);
  await new Promise((resolve) => setTimeout(resolve, idleMs / 2));
  const before = await cpuTicks(own);
  await new Promise((resolve) => setTimeout(resolve, idleMs / 2));
  const ticks = (await cpuTicks(own)) - before;
  const ticksPerSecond = Number(execFileSync("getconf", ["CLK_TCK"]).toString());
  return [
    {
      metric: "RSS of Wherry's own processes",
      value: await memoryMb(own, "Rss"),
      unit: "MB",
      target: 200,
    },
    { metric: "PSS of Wherry's own processes", value: await memoryMb(own, "Pss"), unit: "MB" },
    { metric: "RSS of the server process alone", value: await memoryMb([pid], "Rss"), unit: "MB" },
    { metric: "RSS of containerd and shims", value: await memoryMb(others, "Rss"), unit: "MB" },
    {
      metric: "idle CPU of Wherry's own processes",
      value: (100 * ticks) / ticksPerSecond / (idleMs / 2000),
      unit: "% of a core",
      target: 2,
    },
  ];
}

async function processesMatching(pattern: RegExp): Promise<number[]> {
  const found: number[] = [];
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const command = await readFile(`/proc/${name}/cmdline`, "utf8").catch(() => "");
    if (pattern.test(command) && command.includes(machine.folder)) found.push(Number(name));
  }
  return found;
}

async function memoryMb(pids: readonly number[], field: "Rss" | "Pss"): Promise<number> {
  let kb = 0;
  for (const pid of pids)
    kb += Number(
      new RegExp(`^${field}: +(\\d+)`, "m").exec(
        await readFile(`/proc/${pid}/smaps_rollup`, "utf8").catch(() => ""),
      )?.[1] ?? 0,
    );
  return kb / 1024;
}

async function cpuTicks(pids: readonly number[]): Promise<number> {
  let ticks = 0;
  for (const pid of pids) {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks;
}

async function bareNodeS(): Promise<number> {
  const folder = await mkdtemp(join(root, "services/launcher/.bench-"));
  const script = join(folder, "bare.mjs");
  const libraries = [
    "../../apiserver/node_modules/fastify/fastify.js",
    "../node_modules/better-sqlite3/lib/index.js",
    "../node_modules/zod/index.js",
    "../../apiserver/node_modules/ws/wrapper.mjs",
  ];
  await writeFile(
    script,
    libraries.map((one) => `await import(${JSON.stringify(join(folder, one))});`).join("\n"),
  );
  const times: number[] = [];
  for (let run = 0; run < runs; run += 1) {
    const began = performance.now();
    const child = spawn(node26, [script], { stdio: "ignore" });
    await once(child, "exit");
    times.push((performance.now() - began) / 1000);
  }
  await rm(folder, { recursive: true });
  return median(times);
}

async function containerdStartS(): Promise<number> {
  const times: number[] = [];
  for (let run = 0; run < 3; run += 1) {
    const folder = join(machine.folder, `containerd-${run}`);
    await mkdir(folder, { recursive: true });
    const config = join(folder, "config.toml");
    await writeFile(
      config,
      `version = 2\nroot = "${folder}/root"\nstate = "${folder}/state"\noom_score = 0\n[grpc]\n  address = "${folder}/c.sock"\n`,
    );
    const began = performance.now();
    const child = machine.spawn(["containerd", "-c", config], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    let text = "";
    child.stderr?.on("data", (data: Buffer) => {
      text += data.toString();
    });
    await until("containerd", 20_000, async () => /containerd successfully booted/.test(text));
    times.push((performance.now() - began) / 1000);
    const exited = once(child, "exit");
    child.kill("SIGTERM");
    await exited;
  }
  return median(times);
}
