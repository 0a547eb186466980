import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { KubeObject, WatchEvent } from "@wherry/machinery";
import { watchEvents } from "./watch-stream.ts";

async function* chunksOf(
  bytes: Buffer,
  cuts: readonly number[],
): AsyncGenerator<Uint8Array, void, undefined> {
  const borders = [
    0,
    ...cuts.map((cut) => cut % (bytes.length + 1)).toSorted((a, b) => a - b),
    bytes.length,
  ];
  for (const [index, border] of borders.slice(1).entries())
    yield bytes.subarray(borders[index], border);
}

async function read(bytes: Buffer, cuts: readonly number[] = []): Promise<readonly WatchEvent[]> {
  const events: WatchEvent[] = [];
  for await (const event of watchEvents<KubeObject>(chunksOf(bytes, cuts), undefined))
    events.push(event);
  return events;
}

const line = (type: string, object: object): string => `${JSON.stringify({ type, object })}\n`;

describe("watch stream", () => {
  test("gives the same events wherever the chunks are cut", async () => {
    const texts = [
      line("ADDED", { metadata: { name: "grüße-✓" } }),
      "\n",
      line("BOOKMARK", { metadata: { resourceVersion: "7" } }),
    ];
    const bytes = Buffer.from(texts.join(""));
    const whole = await read(bytes);
    assert.deepEqual(
      whole.map((event) => event.type),
      ["ADDED", "BOOKMARK"],
    );
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(200)), async (cuts) => {
        assert.deepEqual(await read(bytes, cuts), whole);
      }),
    );
  });

  test("throws an ERROR event as the error it carries", async () => {
    const status = {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      reason: "Expired",
      code: 410,
      message: "too old",
    };
    await assert.rejects(read(Buffer.from(line("ERROR", status))), {
      name: "ApiError",
      code: 410,
      message: "too old",
    });
    await assert.rejects(read(Buffer.from(line("ERROR", {}))), {
      name: "TransportError",
      code: "badAnswer",
    });
  });

  test("reports a stream that ends in the middle of an event", async () => {
    await assert.rejects(read(Buffer.from('{"type":"ADD')), {
      name: "TransportError",
      code: "interrupted",
    });
  });

  test("reports what is not JSON", async () => {
    await assert.rejects(read(Buffer.from("<html>\n")), {
      name: "TransportError",
      code: "badAnswer",
    });
  });

  test("refuses a line without end", async () => {
    async function* endless(): AsyncGenerator<Uint8Array, void, undefined> {
      const chunk = Buffer.alloc(1024 * 1024, "x");
      for (;;) yield chunk;
    }
    await assert.rejects(
      async () => {
        for await (const event of watchEvents(endless(), undefined)) assert.fail(event.type);
      },
      { code: "badAnswer" },
    );
  });
});
