import assert from "node:assert/strict";
import { appendFile, mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Pod } from "@wherry/machinery";
import { createSimulatedRuntime, type ContainerRuntime } from "@wherry/cri-api";
import { silentLogger } from "@wherry/service-kit";
import { startStreamingNode, type StreamingNode } from "./testing/streaming-node.ts";
import { createKubeletApi } from "./kubelet-api.ts";
import { parseLogsQuery } from "./container-logs.ts";
import { KubeletHttpError } from "./kubelet-http-error.ts";
import { openLogFile } from "./log-file.ts";
import { createLogLineFormatter, type LogOptions } from "./log-line.ts";

const PLAIN: LogOptions = { timestamps: false, sinceMs: undefined, stream: "All" };

describe("log lines", () => {
  const show = (options: Partial<LogOptions>, ...lines: readonly string[]): string => {
    const formatter = createLogLineFormatter({ ...PLAIN, ...options });
    return lines.map((line) => formatter.format(Buffer.from(line))?.toString() ?? "").join("");
  };

  test("lose their prefix, and parts of a line are joined", () => {
    assert.equal(
      show(
        {},
        "2026-01-01T00:00:00.000000001Z stdout P abc",
        "2026-01-01T00:00:00.000000002Z stdout F def",
      ),
      "abcdef\n",
    );
    assert.equal(
      show({}, "2026-01-01T00:00:00Z stdout F ", "2026-01-01T00:00:00Z stderr F two words"),
      "\ntwo words\n",
    );
  });

  test("keep one timestamp a line when asked", () => {
    assert.equal(
      show(
        { timestamps: true },
        "2026-01-01T00:00:00.1Z stdout P abc",
        "2026-01-01T00:00:00.2Z stdout F def",
      ),
      "2026-01-01T00:00:00.1Z abcdef\n",
    );
  });

  test("are chosen by time and stream", () => {
    const lines = ["2026-01-01T00:00:00Z stdout F old", "2026-01-01T00:00:10.5Z stderr F new"];
    assert.equal(show({ sinceMs: Date.parse("2026-01-01T00:00:10Z") }, ...lines), "new\n");
    assert.equal(show({ stream: "Stdout" }, ...lines), "old\n");
    assert.equal(show({}, "garbage"), "");
  });
});

describe("log options", () => {
  test("are checked", () => {
    const parse = (query: string) => parseLogsQuery(new URLSearchParams(query), 10_000);
    assert.equal(parse("sinceSeconds=4").sinceMs, 6000);
    assert.equal(parse("sinceTime=1970-01-01T00:00:01Z").sinceMs, 1000);
    for (const query of [
      "tailLines=-1",
      "tailLines=x",
      "limitBytes=0",
      "sinceSeconds=0",
      "sinceTime=soon",
      "stream=Both",
    ]) {
      assert.throws(
        () => parse(query),
        (error: unknown) => error instanceof KubeletHttpError && error.status === 400,
        query,
      );
    }
  });
});

describe("a log file", () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "wherry-log-"));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const read = async (text: string, tail: number | undefined): Promise<string[]> => {
    const path = join(folder, "x.log");
    await writeFile(path, text);
    const file = await openLogFile(path, tail);
    const lines: string[] = [];
    for (
      let more = (await file?.readLines()) ?? [];
      more.length > 0;
      more = (await file?.readLines()) ?? []
    )
      lines.push(...more.map((line) => line.toString()));
    await file?.close();
    return lines;
  };

  test("is read from its last lines", async () => {
    assert.deepEqual(await read("a\nb\nc\n", 2), ["b", "c"]);
    assert.deepEqual(await read("a\nb\nc\n", 3), ["a", "b", "c"]);
    assert.deepEqual(await read("a\nb\nc\n", 9), ["a", "b", "c"]);
    assert.deepEqual(await read("a\nb\nc\n", 0), []);
    assert.deepEqual(await read("", 2), []);
  });

  test("may be larger than a block, and have lines larger than a block", async () => {
    const lines = Array.from({ length: 20_000 }, (_, index) => `line ${index}`);
    assert.deepEqual(await read(`${lines.join("\n")}\n`, undefined), lines);
    assert.deepEqual(await read(`${lines.join("\n")}\n`, 12_345), lines.slice(-12_345));
    const long = ["x".repeat(200_000), "y".repeat(100_000), "z"];
    assert.deepEqual(await read(`${long.join("\n")}\n`, undefined), long);
    assert.deepEqual(await read(`${long.join("\n")}\n`, 2), long.slice(-2));
  });

  test("keeps an unfinished last line for later", async () => {
    assert.deepEqual(await read("done\nhalf", undefined), ["done"]);
  });
});

describe("/containerLogs", () => {
  let runtime: ContainerRuntime & { close(): void };
  let node: StreamingNode;

  before(async () => {
    runtime = createSimulatedRuntime();
    node = await startStreamingNode(runtime, "busybox:1");
  });
  after(async () => {
    await node.stop();
    runtime.close();
  });

  const run = async (
    name: string,
  ): Promise<{ readonly path: string; readonly containerId: string }> => {
    const { containerId } = await node.runPod(name, "sleep infinity");
    const { logPath } = await runtime.containerStatus(containerId);
    await mkdir(dirname(logPath), { recursive: true });
    return { path: logPath, containerId };
  };
  const line = (text: string): string => `2026-01-01T00:00:00Z stdout F ${text}\n`;
  const logs = (name: string, query: string): Promise<Response> =>
    fetch(`${node.url}/api/v1/namespaces/default/pods/${name}/log?${query}`);

  test("ends at the byte limit", async () => {
    const { path } = await run("limited");
    await writeFile(path, line("0123456789") + line("0123456789"));
    assert.equal(await (await logs("limited", "limitBytes=15")).text(), "0123456789\n0123");
  });

  test("follows a log through its rotation until the container ends", async () => {
    const { path, containerId } = await run("rotated");
    await writeFile(path, line("one"));
    const response = await logs("rotated", "follow=true");
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    const next = async (): Promise<string> => (await reader?.read())?.value ?? "";
    assert.equal(await next(), "one\n");
    await appendFile(path, line("two"));
    assert.equal(await next(), "two\n");
    await rename(path, `${path}.1`);
    await appendFile(`${path}.1`, line("three"));
    await writeFile(path, line("four"));
    let text = "";
    while (!text.endsWith("four\n")) text += await next();
    assert.equal(text, "three\nfour\n");
    await runtime.stopContainer(containerId, 0);
    assert.deepEqual(await reader?.read(), { done: true, value: undefined });
  });

  test("moves a large log without loss", async () => {
    const { path } = await run("large");
    const lines = Array.from({ length: 200_000 }, (_, index) => `number ${index}`);
    await writeFile(path, lines.map(line).join(""));
    assert.ok((await (await logs("large", "")).text()) === `${lines.join("\n")}\n`);
    assert.equal(
      await (await logs("large", "tailLines=3")).text(),
      `${lines.slice(-3).join("\n")}\n`,
    );
  });

  test("is empty before anything was written, and says which pod or container is not there", async () => {
    await node.runPod("silent", "sleep infinity");
    assert.equal(await (await logs("silent", "")).text(), "");
    assert.equal((await logs("unknown", "")).status, 404);
    assert.equal((await logs("silent", "container=other")).status, 404);
  });
});

describe("the kubelet API", () => {
  let runtime: ContainerRuntime & { close(): void };
  let server: Server;
  let url: string;

  before(async () => {
    runtime = createSimulatedRuntime();
    const node = await startStreamingNode(runtime, "busybox:1");
    await node.runPod("web", "sleep infinity");
    const pod = {
      metadata: { name: "web", namespace: "default", uid: "uid-web" },
      spec: { containers: [{ name: "main" }] },
    } as unknown as Pod;
    const kubelet = createKubeletApi({
      nodeName: "node-1",
      runtime,
      log: silentLogger,
      pods: {
        list: () => [pod],
        find: (namespace, name) => (namespace === "default" && name === "web" ? pod : undefined),
      },
    });
    server = createServer((request, response) => kubelet.handle(request, response));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await node.stop();
  });
  after(() => {
    server.close();
    server.closeAllConnections();
    runtime.close();
  });

  test("answers health checks and lists its pods", async () => {
    assert.equal(await (await fetch(`${url}/healthz`)).text(), "ok");
    const list = (await (await fetch(`${url}/pods`)).json()) as {
      kind: string;
      items: { metadata: { name: string } }[];
    };
    assert.equal(list.kind, "PodList");
    assert.deepEqual(
      list.items.map((item) => item.metadata.name),
      ["web"],
    );
  });

  test("gives the metrics server what it reads", async () => {
    const text = await (await fetch(`${url}/metrics/resource`)).text();
    assert.match(text, /^# TYPE container_cpu_usage_seconds_total counter$/m);
    assert.match(
      text,
      /^container_memory_working_set_bytes\{container="main",namespace="default",pod="web"\} \d+ \d+$/m,
    );
    assert.match(text, /^pod_cpu_usage_seconds_total\{namespace="default",pod="web"\} \S+ \d+$/m);
    assert.match(text, /^node_memory_working_set_bytes \d+ \d+$/m);
    assert.match(text, /^resource_scrape_error 0$/m);
  });

  test("summarises the node and its pods, with rates from the second time on", async () => {
    const summary = async () =>
      (await (await fetch(`${url}/stats/summary`)).json()) as {
        node: { nodeName: string };
        pods: {
          podRef: { uid: string };
          containers: {
            name: string;
            cpu: Record<string, number>;
            memory: Record<string, number>;
          }[];
        }[];
      };
    await summary();
    const { node, pods } = await summary();
    assert.equal(node.nodeName, "node-1");
    assert.equal(pods[0]?.podRef.uid, "uid-web");
    assert.ok((pods[0]?.containers[0]?.memory["workingSetBytes"] ?? 0) > 0);
    assert.ok("usageNanoCores" in (pods[0]?.containers[0]?.cpu ?? {}));
  });

  test("runs a command and gives its output", async () => {
    assert.equal(
      await (await fetch(`${url}/run/default/web/main?cmd=echo+hello`, { method: "POST" })).text(),
      "hello\n",
    );
    assert.equal(
      (await fetch(`${url}/run/default/web/uid-web/main?cmd=false`, { method: "POST" })).status,
      500,
    );
    assert.equal(
      (await fetch(`${url}/run/default/web/other-uid/main?cmd=true`, { method: "POST" })).status,
      404,
    );
    assert.equal((await fetch(`${url}/run/default/web/main?cmd=true`)).status, 405);
  });

  test("refuses unknown paths and streams without an upgrade", async () => {
    assert.equal((await fetch(`${url}/nothing`)).status, 404);
    assert.equal((await fetch(`${url}/exec/default/web/main?command=true&output=1`)).status, 400);
  });
});
