import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { connect, createServer as createTcpServer, type AddressInfo } from "node:net";
import { Duplex } from "node:stream";
import { buffer } from "node:stream/consumers";
import { after, before, test } from "node:test";
import fc from "fast-check";
import { silentLogger, systemClock } from "@wherry/service-kit";
import { createManualClock } from "@wherry/service-kit/testing";
import { WebSocket, WebSocketServer } from "ws";
import { decodeFrame, encodeFrame, FrameError, frameType } from "./frames.ts";
import { createTunnelSession, type TunnelSession } from "./session.ts";

test("frames survive a round trip, and no bytes make the decoder throw anything but FrameError", () => {
  fc.assert(
    fc.property(
      fc.nat(),
      fc.nat(),
      fc.constantFrom(...Object.values(frameType)),
      fc.uint8Array({ maxLength: 90 }),
      (id, connectionId, type, payload) => {
        const frame = { connectionId, type, payload: Buffer.from(payload) };
        assert.deepEqual(decodeFrame(encodeFrame(id, frame)), frame);
      },
    ),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      try {
        decodeFrame(Buffer.from(bytes));
      } catch (error) {
        assert.ok(error instanceof FrameError);
      }
    }),
  );
});

test("a frame has the bytes that Go's PutVarint makes", () => {
  // id 1, connection 2, type Connect (2), deadline 15000 as zig-zag varints: 02 04 04 b0 ea 01.
  const bytes = encodeFrame(1, {
    connectionId: 2,
    type: frameType.connect,
    payload: Buffer.from("tcp/a:1"),
  });
  assert.equal(bytes.toString("hex"), `020404b0ea01${Buffer.from("tcp/a:1").toString("hex")}`);
});

let http: Server;
let sockets: WebSocketServer;
before(async () => {
  http = createServer().listen(0, "127.0.0.1");
  sockets = new WebSocketServer({ server: http });
  await once(http, "listening");
});
after(() => {
  sockets.close();
  http.close();
});

async function pair(
  connectTo: (protocol: string, address: string) => Promise<Duplex | undefined>,
  clock = systemClock,
): Promise<{ server: TunnelSession; client: TunnelSession }> {
  const accepted = once(sockets, "connection") as Promise<[WebSocket]>;
  const dialed = new WebSocket(`ws://127.0.0.1:${(http.address() as AddressInfo).port}`);
  const [[socket]] = await Promise.all([accepted, once(dialed, "open")]);
  return {
    server: createTunnelSession(socket, { role: "server", clock, log: silentLogger }),
    client: createTunnelSession(dialed, {
      role: "client",
      clock,
      log: silentLogger,
      connect: connectTo,
    }),
  };
}

test("20 MB go both ways through one connection while another one works", async () => {
  const echo = createTcpServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket)).listen(
    0,
    "127.0.0.1",
  );
  await once(echo, "listening");
  const { port } = echo.address() as AddressInfo;
  const { server, client } = await pair(async () => {
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    await once(socket, "connect");
    return socket;
  });
  const data = randomBytes(20 * 1024 * 1024);
  const big = server.open("tcp", "echo:1");
  const small = server.open("tcp", "echo:1");
  big.end(data);
  small.end("hello");
  assert.equal((await buffer(small)).toString(), "hello");
  assert.ok(data.equals(await buffer(big)));
  server.close();
  await Promise.all([server.done, client.done]);
  assert.equal(client.connections, 0);
  echo.close();
});

test("a slow reader pauses the sender instead of filling memory", async () => {
  let produced = 0;
  const block = Buffer.alloc(256 * 1024);
  const source = new Duplex({
    read() {
      produced += block.length;
      this.push(produced > 256 * 1024 * 1024 ? null : block);
    },
    write(_chunk, _encoding, callback) {
      callback();
    },
  });
  const { server } = await pair(async () => source);
  const stream = server.open("tcp", "source:1");
  await once(stream, "readable");
  // What is under way settles: nobody reads, so the source must come to rest far before its end.
  for (let before = -1; before !== produced;) {
    before = produced;
    for (let turn = 0; turn < 200; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  }
  assert.ok(
    produced < 32 * 1024 * 1024,
    `the source gave ${produced} bytes to a reader that took none`,
  );
  stream.destroy();
  server.close();
});

test("a refused dial is an error of the stream and leaves the session alive", async () => {
  const { server } = await pair(async () => {
    throw new Error("connection refused");
  });
  const stream = server.open("tcp", "nobody:1");
  await assert.rejects(once(stream, "data"), /connection refused/);
  assert.equal(server.connections, 0);
  server.close();
});

test("an address that is not allowed drops the session", async () => {
  const { server, client } = await pair(async () => undefined);
  const stream = server.open("tcp", "169.254.169.254:80");
  stream.on("error", () => {});
  await Promise.all([client.done, server.done]);
});

test("silence for more than a minute ends the session", async () => {
  const clock = createManualClock();
  const silent = new WebSocketServer({ port: 0, host: "127.0.0.1", autoPong: false });
  await once(silent, "listening");
  const dialed = new WebSocket(`ws://127.0.0.1:${(silent.address() as AddressInfo).port}`);
  await once(dialed, "open");
  const client = createTunnelSession(dialed, { role: "client", clock, log: silentLogger });
  await clock.advance(70_000);
  await client.done;
  silent.close();
});
