/**
 * How long the cluster's DNS takes to answer, asked from the node every 5 ms: alone, and while a client LISTs every resource in a loop over some hundred objects. The
 * floor is the same client at a bare UDP server beside it.
 */
import { once } from "node:events";
import { parseArgs } from "node:util";
import { node26, startBundle } from "../src/cluster.ts";
import { askDns, whileListing } from "../src/dns-under-load.ts";
import type { DnsLoadResult } from "../src/dns-load.ts";
import { median, report, type Metric } from "./report.ts";

const { values } = parseArgs({
  options: {
    json: { type: "string" },
    runs: { type: "string", default: "3" },
    seconds: { type: "string", default: "10" },
    objects: { type: "string", default: "500" },
  },
});
const runs = Number(values.runs);
const seconds = Number(values.seconds);

const INTERVAL_MS = 5;
const NAME = "kubernetes.default.svc.cluster.local";
const OBJECT_BYTES = 1_000;

/** Answers every question with itself, marked as an answer: what a socket, a loop and a thread cost without any DNS. */
const ECHO = `const s = require("node:dgram").createSocket("udp4"); s.on("message", (m, from) => { m[2] |= 0x80; m[7] = 1; s.send(m, from.port, from.address); }); s.bind(53, "127.0.0.9", () => console.log("up"));`;

const cluster = await startBundle();
const metrics: Metric[] = [];
try {
  await createObjects(Number(values.objects));
  const alone: DnsLoadResult[] = [];
  const busy: DnsLoadResult[] = [];
  const floor: DnsLoadResult[] = [];
  const floorBusy: DnsLoadResult[] = [];
  const echo = cluster.server.spawn([node26, "-e", ECHO], { stdio: ["ignore", "pipe", "inherit"] });
  await once(echo.stdout as NonNullable<typeof echo.stdout>, "data");
  let lists = 0;
  for (let run = 0; run < runs; run += 1) {
    alone.push(await askDns(cluster, NAME, seconds, INTERVAL_MS));
    floor.push(await askDns(cluster, NAME, seconds, INTERVAL_MS, "127.0.0.9"));
    const loaded = await whileListing(cluster, async () => {
      busy.push(await askDns(cluster, NAME, seconds, INTERVAL_MS));
      floorBusy.push(await askDns(cluster, NAME, seconds, INTERVAL_MS, "127.0.0.9"));
    });
    lists += loaded.load.lists;
  }
  const ended = once(echo, "exit");
  echo.kill("SIGKILL");
  await ended;
  const middle = (results: readonly DnsLoadResult[], of: (one: DnsLoadResult) => number): number =>
    median(results.map(of));
  const lost = (results: readonly DnsLoadResult[]): number =>
    results.reduce((sum, one) => sum + one.sent - one.answered + one.empty, 0);
  metrics.push(
    {
      metric: "answer p50, quiet API",
      value: middle(alone, (one) => one.p50Ms),
      unit: "ms",
      peer: middle(floor, (one) => one.p50Ms),
    },
    {
      metric: "answer p99, quiet API",
      value: middle(alone, (one) => one.p99Ms),
      unit: "ms",
      peer: middle(floor, (one) => one.p99Ms),
    },
    {
      metric: "answer p50 while a client LISTs",
      value: middle(busy, (one) => one.p50Ms),
      unit: "ms",
      peer: middle(floorBusy, (one) => one.p50Ms),
    },
    {
      metric: "answer p99 while a client LISTs",
      value: middle(busy, (one) => one.p99Ms),
      unit: "ms",
      peer: middle(floorBusy, (one) => one.p99Ms),
      target: 10,
    },
    {
      metric: "answer max while a client LISTs",
      value: middle(busy, (one) => one.maxMs),
      unit: "ms",
      peer: middle(floorBusy, (one) => one.maxMs),
    },
    {
      metric: "questions lost or answered empty",
      value: lost([...alone, ...busy]),
      unit: "",
      target: 0,
    },
    { metric: "LISTs meanwhile", value: lists / (2 * seconds * runs), unit: "1/s" },
  );
} finally {
  try {
    await cluster.killall();
  } finally {
    await cluster.close();
  }
}
await report("dns (peer: a bare UDP echo)", metrics, values.json);

/** Something to list: ConfigMaps of about a kilobyte. */
async function createObjects(count: number): Promise<void> {
  const items = Array.from({ length: count }, (_, index) => ({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: `filler-${index}` },
    data: { text: "x".repeat(OBJECT_BYTES) },
  }));
  await cluster.kubectl(["create", "-f", "-"], {
    input: JSON.stringify({ apiVersion: "v1", kind: "List", items }),
    timeoutMs: 120_000,
  });
}
