import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { RequestListener } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import { createServer as createTcpServer } from "node:net";
import type { AddressInfo, Server } from "node:net";
import { describe, it } from "node:test";
import type { TestContext } from "node:test";
import { RuntimeError } from "@wherry/cri-api";
import { createManualClock } from "@wherry/service-kit/testing";
import type { ProbeSpec } from "../pods/pod-types.ts";
import { createProbeWorker } from "./probe-worker.ts";
import type { ProbeWorkerDeps } from "./probe-worker.ts";
import { resolvePort, runProbe } from "./run-probe.ts";
import type { ProbeVerdict } from "./run-probe.ts";

const container = { name: "app", ports: [{ name: "web", containerPort: 8080 }] };
const noExec = {
  execSync: async () => ({ stdout: Buffer.alloc(0), stderr: Buffer.alloc(0), exitCode: 0 }),
};

function probe(
  spec: ProbeSpec,
  runtime: Parameters<typeof runProbe>[2] = noExec,
): Promise<ProbeVerdict> {
  return runProbe(
    spec,
    { container, containerId: "c", podIp: "127.0.0.1" },
    runtime,
    "kube-probe/1.36",
  );
}

async function listen(t: TestContext, server: Server): Promise<number> {
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  t.after(() => new Promise((resolve) => server.close(resolve)));
  return (server.address() as AddressInfo).port;
}

const web = (t: TestContext, listener: RequestListener): Promise<number> =>
  listen(t, createServer(listener));

describe("HTTP probe", () => {
  it("takes 200 to 399 for success and sends upstream's headers", async (t) => {
    const seen: Record<string, unknown>[] = [];
    const port = await web(t, (request, response) => {
      seen.push({ ...request.headers, url: request.url });
      response.writeHead(204).end();
    });
    assert.deepEqual(
      await probe({
        httpGet: {
          port,
          path: "/live?x=1",
          httpHeaders: [
            { name: "Host", value: "example.com" },
            { name: "X-A", value: "1" },
          ],
        },
      }),
      { kind: "success" },
    );
    assert.equal(seen[0]?.["user-agent"], "kube-probe/1.36");
    assert.equal(seen[0]?.["host"], "example.com");
    assert.equal(seen[0]?.["x-a"], "1");
    assert.equal(seen[0]?.["connection"], "close");
    assert.equal(seen[0]?.["url"], "/live?x=1");
  });

  it("fails on 400 and above, in upstream's words", async (t) => {
    const port = await web(t, (_, response) => response.writeHead(503).end());
    assert.deepEqual(await probe({ httpGet: { port } }), {
      kind: "failure",
      output: "HTTP probe failed with statuscode: 503",
    });
  });

  it("follows redirects on the same host and stops with a warning at others", async (t) => {
    const port = await web(t, (request, response) => {
      if (request.url === "/here") response.writeHead(302, { location: "/ok" }).end();
      else if (request.url === "/away")
        response.writeHead(302, { location: "http://203.0.113.9/" }).end("bye");
      else response.writeHead(200).end();
    });
    assert.deepEqual(await probe({ httpGet: { port, path: "/here" } }), { kind: "success" });
    assert.deepEqual(await probe({ httpGet: { port, path: "/away" } }), {
      kind: "success",
      warning: "Probe terminated redirects, Response body: bye",
    });
  });

  it("tells of a refused connection and of a timeout as Go does", async (t) => {
    const closed = createTcpServer();
    const port = await listen(t, closed);
    await new Promise((resolve) => closed.close(resolve));
    assert.deepEqual(await probe({ httpGet: { port } }), {
      kind: "failure",
      output: `Get "http://127.0.0.1:${port}/": dial tcp 127.0.0.1:${port}: connect: connection refused`,
    });
    const silent = await web(t, (request) => void request.resume());
    const verdict = await probe({ httpGet: { port: silent }, timeoutSeconds: 0.05 });
    assert.deepEqual(verdict, {
      kind: "failure",
      output: `Get "http://127.0.0.1:${silent}/": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`,
    });
  });
});

describe("other probes", () => {
  it("connect by TCP", async (t) => {
    const port = await listen(
      t,
      createTcpServer((socket) => socket.end()),
    );
    assert.deepEqual(await probe({ tcpSocket: { port } }), { kind: "success" });
  });

  it("run commands and show their output", async () => {
    const exec = { exec: { command: ["cat", "x"] } };
    assert.deepEqual(await probe(exec), { kind: "success" });
    const failing = {
      execSync: async () => ({
        stdout: Buffer.from("out"),
        stderr: Buffer.from("err"),
        exitCode: 1,
      }),
    };
    assert.deepEqual(await probe(exec, failing), { kind: "failure", output: "outerr" });
    const slow = {
      execSync: async () => Promise.reject(new RuntimeError("deadlineExceeded", "x")),
    };
    assert.deepEqual(await probe(exec, slow), {
      kind: "failure",
      output: 'command timed out: "cat x" timed out after 1s',
    });
    const broken = {
      execSync: async () => Promise.reject(new RuntimeError("unavailable", "gone")),
    };
    await assert.rejects(probe(exec, broken), /gone/u);
  });

  it("ask grpc.health.v1", async (t) => {
    let status = 1;
    let asked: Buffer = Buffer.alloc(0);
    const sessions = new Set<{ close(): void }>();
    const server = createHttp2Server((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        asked = Buffer.concat(chunks);
        response.writeHead(200, { "content-type": "application/grpc", trailer: "grpc-status" });
        response.addTrailers({ "grpc-status": "0" });
        response.end(Buffer.from([0, 0, 0, 0, 2, 8, status]));
      });
    });
    server.on("session", (session) => sessions.add(session));
    const port = await listen(t, server);
    assert.deepEqual(await probe({ grpc: { port, service: "db" } }), { kind: "success" });
    assert.deepEqual([...asked], [0, 0, 0, 0, 4, 10, 2, 100, 98]);
    status = 2;
    assert.deepEqual(await probe({ grpc: { port } }), {
      kind: "failure",
      output: 'service unhealthy (responded with "NOT_SERVING")',
    });
    for (const session of sessions) session.close();
  });

  it("find ports by number and by name", () => {
    assert.equal(resolvePort("web", container), 8080);
    assert.equal(resolvePort(81, container), 81);
    assert.equal(resolvePort("82", container), 82);
    assert.throws(
      () => resolvePort("none", container),
      /couldn't find port: "none" in container app/u,
    );
  });
});

describe("probe worker", () => {
  interface Lab {
    readonly clock: ReturnType<typeof createManualClock>;
    readonly worker: ReturnType<typeof createProbeWorker>;
    verdicts: ProbeVerdict[];
    readonly runs: number[];
    readonly results: string[];
  }
  const good: ProbeVerdict = { kind: "success" };
  const bad: ProbeVerdict = { kind: "failure", output: "no" };

  function lab(
    kind: "liveness" | "readiness" | "startup",
    spec: ProbeSpec,
    more: Partial<ProbeWorkerDeps> = {},
  ): Lab {
    const clock = createManualClock();
    const startMs = clock.now();
    const made: Lab = {
      clock,
      verdicts: [],
      runs: [],
      results: [],
      worker: createProbeWorker(kind, spec, {
        clock,
        run: async () => {
          made.runs.push(clock.now() - startMs);
          return made.verdicts.shift() ?? good;
        },
        held: () => false,
        onResult: (_, result) => made.results.push(result),
        onUnhealthy: () => {},
        onWarning: () => {},
        ...more,
      }),
    };
    return made;
  }

  it("waits for its first delay and keeps its period", async () => {
    const one = lab("liveness", { initialDelaySeconds: 7, periodSeconds: 5 });
    one.worker.follow({ containerId: "c", startedAtMs: one.clock.now() });
    await one.clock.advance(18_000);
    assert.deepEqual(one.runs, [7_000, 12_000, 17_000]);
    one.worker.stop();
  });

  it("changes its mind only after as many verdicts as asked for", async () => {
    const one = lab("readiness", { periodSeconds: 1, failureThreshold: 2, successThreshold: 2 });
    one.verdicts = [good, good, bad, good, bad, bad, good, good];
    one.worker.follow({ containerId: "c", startedAtMs: one.clock.now() });
    assert.equal(one.worker.result("c"), "failure");
    await one.clock.advance(8_000);
    assert.deepEqual(one.results, ["success", "failure", "success"]);
    one.worker.stop();
  });

  it("rests after a failed liveness probe until a new instance comes", async () => {
    const one = lab("liveness", { periodSeconds: 1, failureThreshold: 1 });
    one.verdicts = [bad];
    one.worker.follow({ containerId: "c", startedAtMs: one.clock.now() });
    assert.equal(one.worker.result("c"), "success");
    await one.clock.advance(10_000);
    assert.deepEqual([one.runs.length, one.worker.result("c")], [1, "failure"]);
    one.worker.follow({ containerId: "d", startedAtMs: one.clock.now() });
    assert.deepEqual([one.worker.result("c"), one.worker.result("d")], [undefined, "success"]);
    await one.clock.advance(1_000);
    assert.ok(one.runs.length > 1);
    one.worker.stop();
  });

  it("rests once startup has passed, and holds the others until then", async () => {
    let started = false;
    const startup = lab("startup", { periodSeconds: 1 });
    const readiness = lab("readiness", { periodSeconds: 1 }, { held: () => !started });
    startup.worker.follow({ containerId: "c", startedAtMs: startup.clock.now() });
    readiness.worker.follow({ containerId: "c", startedAtMs: readiness.clock.now() });
    assert.equal(startup.worker.result("c"), "unknown");
    await startup.clock.advance(5_000);
    await readiness.clock.advance(5_000);
    assert.deepEqual([startup.runs.length, readiness.runs.length], [1, 0]);
    started = true;
    readiness.worker.release();
    await readiness.clock.advance(0);
    assert.equal(readiness.runs.length, 1);
    startup.worker.stop();
    readiness.worker.stop();
  });

  it("has no timer while nothing runs", async () => {
    const one = lab("liveness", {});
    one.worker.follow({ containerId: "c", startedAtMs: one.clock.now() });
    one.worker.follow(undefined);
    assert.equal(one.clock.pending, 0);
  });

  it("tells of a probe that could not be run, and keeps the result", async () => {
    const told: boolean[] = [];
    const one = lab(
      "liveness",
      { periodSeconds: 1, failureThreshold: 1 },
      {
        run: () => Promise.reject(new Error("no runtime")),
        onUnhealthy: (_, errored) => told.push(errored),
      },
    );
    one.worker.follow({ containerId: "c", startedAtMs: one.clock.now() });
    await one.clock.advance(0);
    assert.deepEqual([told, one.worker.result("c")], [[true], "success"]);
    one.worker.stop();
  });

  it("takes over what was known of an adopted instance", () => {
    const one = lab("readiness", {});
    one.worker.follow({
      containerId: "c",
      startedAtMs: one.clock.now(),
      adopted: { ready: true, started: true },
    });
    assert.equal(one.worker.result("c"), "success");
    one.worker.stop();
  });
});
