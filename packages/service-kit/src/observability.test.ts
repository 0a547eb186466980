import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { createMetrics, parseConfig, UsageError } from "./index.ts";
import { textLine } from "./logger.ts";

test("metrics are exposed in Prometheus' text form, and asked for twice they are the same", async () => {
  const metrics = await createMetrics();
  const options = { name: "requests_total", help: "Requests.", labelNames: ["code"] };
  metrics.counter(options).increment({ code: "200" });
  metrics.counter(options).increment({ code: "200" }, 2);
  metrics.histogram({ name: "seconds", help: "Time.", buckets: [1, 2] }).observe(1.5);
  const text = await metrics.expose();
  assert.match(text, /requests_total\{code="200"\} 3/);
  assert.match(text, /seconds_bucket\{le="2"\} 1/);
  assert.throws(() => metrics.gauge(options), /registered with another kind/);
});

test("a text line has K3s' shape", () => {
  const line = JSON.stringify({
    level: 30,
    msg: 'say "hi"',
    port: 6443,
    node: "a b",
    err: { message: "boom", stack: "…" },
  });
  assert.equal(
    textLine(line, new Date(0)),
    'time="1970-01-01T00:00:00Z" level=info msg="say \\"hi\\"" port=6443 node="a b" err="boom"\n',
  );
});

test("a configuration is frozen, and what is wrong in it is named by field", () => {
  const schema = z.strictObject({ listen: z.strictObject({ port: z.number().max(65535) }) });
  const config = parseConfig(schema, { listen: { port: 1 } });
  assert.ok(Object.isFrozen(config.listen));
  assert.throws(
    () => parseConfig(schema, { listen: { port: 70000 } }),
    (error: unknown) => error instanceof UsageError && /listen\.port/.test(error.message),
  );
});
