import assert from "node:assert/strict";
import { test } from "node:test";
import {
  createDeferred,
  createService,
  InvariantError,
  runServices,
  silentLogger,
  type Service,
} from "./index.ts";

function traced(
  name: string,
  trace: string[],
  options: { failStart?: boolean; end?: Promise<never> } = {},
): Service {
  return createService({
    name,
    async start(_signal, fail) {
      trace.push(`start ${name}`);
      if (options.failStart === true) throw new Error(`${name} cannot start`);
      options.end?.catch(fail);
    },
    async stop() {
      trace.push(`stop ${name}`);
    },
  });
}

const options = (signal: AbortSignal, onReady?: () => void) => ({
  signal,
  stopTimeoutMs: 1_000,
  log: silentLogger,
  ...(onReady === undefined ? {} : { onReady }),
});

test("services start after what they need and stop before it", async () => {
  const trace: string[] = [];
  const [store, api, controllers] = ["store", "api", "controllers"].map((name) =>
    traced(name, trace),
  ) as [Service, Service, Service];
  const stop = new AbortController();
  await runServices(
    [{ service: controllers, after: [api] }, { service: api, after: [store] }, { service: store }],
    options(stop.signal, () => stop.abort()),
  );
  assert.deepEqual(trace, [
    "start store",
    "start api",
    "start controllers",
    "stop controllers",
    "stop api",
    "stop store",
  ]);
  assert.deepEqual(api.health(), { status: "failing", reason: "stopped" });
});

test("a service that ends by itself ends all with its cause", async () => {
  const trace: string[] = [];
  const end = createDeferred<never>();
  const store = traced("store", trace, { end: end.promise });
  const api = traced("api", trace);
  const run = runServices(
    [{ service: store }, { service: api, after: [store] }],
    options(new AbortController().signal, () => end.reject(new Error("disk gone"))),
  );
  await assert.rejects(run, /store ended: disk gone/);
  assert.deepEqual(trace.slice(-2), ["stop api", "stop store"]);
});

test("a failed start stops what was started and nothing else", async () => {
  const trace: string[] = [];
  const store = traced("store", trace);
  const api = traced("api", trace, { failStart: true });
  const late = traced("late", trace);
  await assert.rejects(
    runServices(
      [{ service: store }, { service: api, after: [store] }, { service: late, after: [api] }],
      options(new AbortController().signal),
    ),
    /api cannot start/,
  );
  assert.deepEqual(trace, ["start store", "start api", "stop api", "stop store"]);
});

test("a wrong order is refused before anything starts", async () => {
  const trace: string[] = [];
  const a = traced("a", trace);
  const b = traced("b", trace);
  await assert.rejects(
    runServices([{ service: a, after: [b] }], options(new AbortController().signal)),
    InvariantError,
  );
  await assert.rejects(
    runServices(
      [
        { service: a, after: [b] },
        { service: b, after: [a] },
      ],
      options(new AbortController().signal),
    ),
    /cycle/,
  );
  assert.deepEqual(trace, []);
});

test("a service goes forward only and stops once for all callers", async () => {
  const trace: string[] = [];
  const service = traced("one", trace);
  const signal = new AbortController().signal;
  await service.start(signal);
  assert.deepEqual(service.health(), { status: "ok" });
  await assert.rejects(service.start(signal), /build a new one/);
  await Promise.all([service.stop(signal), service.stop(signal)]);
  await service.done;
  assert.deepEqual(trace, ["start one", "stop one"]);
});
