import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { startBundle } from "../src/cluster.ts";
import { askDns, whileListing } from "../src/dns-under-load.ts";
const cluster = await startBundle();
try {
  const pid = readdirSync("/proc").filter((p) => /^\d+$/.test(p)).find((p) => { try { const c = readFileSync(`/proc/${p}/cmdline`, "utf8"); return c.includes("dns-main") && c.includes(cluster.server.folder); } catch { return false; } })!;
  const stat = () => readFileSync(`/proc/${pid}/task/${pid}/schedstat`, "utf8").split(" ").map(Number);
  const comms = () => readdirSync(`/proc/${pid}/task`).map((t) => `${t}:${readFileSync(`/proc/${pid}/task/${t}/comm`, "utf8").trim()}:${readFileSync(`/proc/${pid}/task/${t}/schedstat`, "utf8").trim()}`).join(" ");
  await whileListing(cluster, async () => {
    console.log(readFileSync(`/proc/${pid}/autogroup`, "utf8"), readFileSync(`/proc/self/autogroup`, "utf8"));
    for (let i = 0; i < 16; i += 1) {
      const n = i % 2 === 0 ? "0" : "-15";
      writeFileSync(`/proc/${pid}/autogroup`, n);
      await new Promise((r) => setTimeout(r, 300));
      let [cpu0, delay0] = stat(); let t0 = performance.now();
      const odd: string[] = [];
      const timer = setInterval(() => { const [c, d] = stat(); const t = performance.now(); if (c! - cpu0! > 15e6 || d! - delay0! > 15e6 || (c === cpu0 && t - t0 > 40)) odd.push(`dt ${(t - t0).toFixed(0)} cpu ${((c! - cpu0!) / 1e6).toFixed(0)} delay ${((d! - delay0!) / 1e6).toFixed(0)}`); cpu0 = c; delay0 = d; t0 = t; }, 20);
      const d = await askDns(cluster, "kubernetes.default.svc.cluster.local", 3, 5);
      clearInterval(timer);
      console.log("dns", n, d.p50Ms.toFixed(2), d.p99Ms.toFixed(2), d.maxMs.toFixed(2), readFileSync("/proc/loadavg","utf8").slice(0,5), odd.length);
    }
    console.log(comms());
  });
} finally { await cluster.killall().finally(() => cluster.close()); }
