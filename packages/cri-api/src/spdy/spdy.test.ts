import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { Duplex, duplexPair } from "node:stream";
import fc from "fast-check";
import { describe, test, type TestContext } from "node:test";
import { createDeflate, deflateRawSync, constants } from "node:zlib";
import { SpdyConnection, type SpdyStream } from "./connection.ts";
import { SPDY_DICTIONARY_ADLER32, createSpdyDictionary } from "./dictionary.ts";
import { acceptSpdy, dialSpdy, wantsSpdy } from "./handshake.ts";
import {
  HEADER_BLOCK_MAX_BYTES,
  createHeaderCompressor,
  createHeaderDecompressor,
  decodeHeaderPairs,
  encodeHeaderPairs,
  type SpdyHeaders,
} from "./header-block.ts";

/** A connected pair, whose server side hands each accepted stream on. */
function connect(context: TestContext, onStream: (stream: SpdyStream) => void): SpdyConnection {
  const [near, far] = duplexPair();
  const server = new SpdyConnection(far, {
    role: "server",
    onStream: (stream) => {
      stream.reply();
      onStream(stream);
    },
  });
  const client = new SpdyConnection(near, { role: "client" });
  context.after(() => {
    client.destroy();
    server.destroy();
  });
  return client;
}

describe("SPDY dictionary", () => {
  test("has the length and the checksum by which peers name it", () => {
    const dictionary = createSpdyDictionary();
    let [low, high] = [1, 0];
    for (const byte of dictionary) {
      low = (low + byte) % 65521;
      high = (high + low) % 65521;
    }
    assert.equal(dictionary.length, 1423);
    assert.equal(((high << 16) | low) >>> 0, SPDY_DICTIONARY_ADLER32);
  });
});

describe("SPDY header blocks", () => {
  const decodeAll = async (blocks: readonly Buffer[]): Promise<SpdyHeaders[]> => {
    const decompressor = createHeaderDecompressor();
    const headers: SpdyHeaders[] = [];
    for (const block of blocks) {
      headers.push(
        await new Promise((resolve, reject) => {
          decompressor.decode(block, (error, value) =>
            error === undefined ? resolve(value) : reject(error),
          );
        }),
      );
    }
    decompressor.close();
    return headers;
  };

  test("come back as they were sent, block after block", async () => {
    const compress = createHeaderCompressor();
    const sent = [{ streamtype: "stdin" }, {}, { Port: "8080", requestid: "1" }];
    assert.deepEqual(await decodeAll(sent.map(compress)), [
      { streamtype: "stdin" },
      {},
      { port: "8080", requestid: "1" },
    ]);
  });

  test("are understood when a peer compresses them with the dictionary", async () => {
    const deflate = createDeflate({ dictionary: createSpdyDictionary() });
    const blocks: Buffer[] = [];
    for (const headers of [{ streamtype: "error" }, { streamtype: "stdout" }]) {
      deflate.write(encodeHeaderPairs(headers));
      const pieces: Buffer[] = [];
      const collect = (piece: Buffer): number => pieces.push(piece);
      deflate.on("data", collect);
      await new Promise<void>((resolve) => {
        deflate.flush(constants.Z_SYNC_FLUSH, resolve);
      });
      deflate.off("data", collect);
      blocks.push(Buffer.concat(pieces));
    }
    assert.deepEqual(await decodeAll(blocks), [{ streamtype: "error" }, { streamtype: "stdout" }]);
  });

  test("are refused when cut short, garbled or blown up", async () => {
    assert.throws(() => decodeHeaderPairs(Buffer.from([0, 0, 0, 1, 0, 0, 0, 9, 65])), RangeError);
    await assert.rejects(decodeAll([Buffer.from("not zlib")]));
    const bomb = Buffer.concat([
      Buffer.from([0x78, 0x01]),
      deflateRawSync(Buffer.alloc(HEADER_BLOCK_MAX_BYTES * 64), {
        finishFlush: constants.Z_SYNC_FLUSH,
      }),
    ]);
    await assert.rejects(decodeAll([bomb]), RangeError);
  });
});

describe("SPDY connection", () => {
  test("carries a stream both ways with a half-close each", async (context) => {
    const client = connect(context, (stream) => {
      void readAll(stream).then((received) =>
        stream.end(`${stream.headers["streamtype"]}:${received.toString()}`),
      );
    });
    const stream = client.openStream({ streamtype: "stdin" });
    stream.end("hello");
    assert.equal((await readAll(stream)).toString(), "stdin:hello");
  });

  test("moves 20 MB over several streams through a slow reader without loss", async (context) => {
    const received = new Map<string, Promise<Buffer>>();
    const client = connect(context, (stream) => {
      received.set(stream.headers["name"] ?? "", readAll(stream, true));
    });
    const payload = Buffer.alloc(5 << 20, "0123456789abcdef");
    const streams = ["a", "b", "c", "d"].map((name) => client.openStream({ name }));
    await Promise.all(streams.map((stream) => send(stream, payload)));
    for (const name of ["a", "b", "c", "d"])
      assert.ok((await received.get(name))?.equals(payload), name);
  });

  test("stops reading from the socket while a reader does nothing", async (context) => {
    const [near, far] = duplexPair();
    const opened = Promise.withResolvers<SpdyStream>();
    const server = new SpdyConnection(far, {
      role: "server",
      onStream: (stream) => {
        stream.reply();
        opened.resolve(stream);
      },
    });
    const client = new SpdyConnection(near, { role: "client" });
    context.after(() => {
      client.destroy();
      server.destroy();
    });
    const stream = client.openStream({});
    const chunk = Buffer.alloc(64 * 1024);
    const total = 16 << 20;
    for (let sent = 0; sent < total; sent += chunk.length) stream.write(chunk);
    const reader = await opened.promise;
    // Long enough for everything to move that is going to.
    for (let turn = 0; turn < 200; turn += 1) {
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
    }
    assert.ok(reader.readableLength > 0);
    assert.ok(
      stream.writableLength > total - (4 << 20),
      `${total - stream.writableLength} bytes were taken`,
    );
    const received = readAll(reader);
    stream.end();
    assert.equal((await received).length, total);
  });

  test("writes nothing before the peer has accepted the stream", async (context) => {
    const [near, far] = duplexPair();
    const frames: number[] = [];
    far.on("data", (chunk: Buffer) => frames.push(chunk[0] ?? 0));
    const client = new SpdyConnection(near, { role: "client" });
    context.after(() => client.destroy());
    client.openStream({}).write("early");
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    assert.deepEqual(frames, [0x80]);
  });

  test("ends a stream that the peer resets and keeps what had arrived", async (context) => {
    const client = connect(context, (stream) => {
      stream.write("last words", () => stream.destroy());
    });
    const stream = client.openStream({});
    assert.equal((await readAll(stream)).toString(), "last words");
    await new Promise<void>((resolve, reject) => {
      stream.write("nobody listens", (error) =>
        error === null || error === undefined ? resolve() : reject(error),
      );
    });
  });

  test("breaks every stream when the connection breaks", async (context) => {
    const [near, far] = duplexPair();
    const client = new SpdyConnection(near, { role: "client" });
    context.after(() => client.destroy());
    const stream = client.openStream({});
    const failed = once(stream, "error");
    near.destroy(new Error("cable cut"));
    const [error] = (await failed) as [Error];
    assert.equal(error.message, "cable cut");
    assert.equal((await client.closed)?.message, "cable cut");
    far.destroy();
  });

  test("answers the peer's ping and not its own", async (context) => {
    const [near, far] = duplexPair();
    const server = new SpdyConnection(near, { role: "server" });
    context.after(() => server.destroy());
    const ping = (id: number): Buffer => Buffer.from([0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, id]);
    far.write(ping(2));
    far.write(ping(1));
    const [answer] = (await once(far, "data")) as [Buffer];
    assert.deepEqual(answer, ping(1));
    far.destroy();
  });

  test("refuses streams that nobody expects and oversized control frames", async (context) => {
    const [near, far] = duplexPair();
    const client = new SpdyConnection(near, { role: "client" });
    const server = new SpdyConnection(far, { role: "server" });
    context.after(() => client.destroy());
    await once(client.openStream({}), "reset");
    near.write(Buffer.from([0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff]));
    assert.match((await server.closed)?.message ?? "", /larger than/);
  });

  test("reads the same however the bytes are cut on their way", async () => {
    const writes = fc.array(fc.uint8Array({ maxLength: 5000 }), { minLength: 1, maxLength: 8 });
    const headers = fc.dictionary(fc.string({ minLength: 1, maxLength: 10 }), fc.string(), {
      maxKeys: 5,
    });
    await fc.assert(
      fc.asyncProperty(
        writes,
        headers,
        fc.integer({ min: 1, max: 700 }),
        async (pieces, sent, cut) => {
          const received = Promise.withResolvers<SpdyStream>();
          const wire: Buffer[] = [];
          const outgoing = new Duplex({
            read() {},
            write(chunk: Buffer, _encoding, callback) {
              wire.push(chunk);
              callback();
            },
          });
          const client = new SpdyConnection(outgoing, { role: "client" });
          const stream = client.openStream(sent);
          stream.deliverReply();
          for (const piece of pieces) stream.write(piece);
          await new Promise<void>((resolve) => {
            stream.end(resolve);
          });
          const [near, far] = duplexPair();
          const server = new SpdyConnection(far, { role: "server", onStream: received.resolve });
          const bytes = Buffer.concat(wire);
          for (let at = 0; at < bytes.length; at += cut) near.write(bytes.subarray(at, at + cut));
          const accepted = await received.promise;
          assert.ok((await readAll(accepted)).equals(Buffer.concat(pieces)));
          const lowerCase = Object.entries(sent).map(([name, value]) => [
            name.toLowerCase(),
            value,
          ]);
          assert.deepEqual({ ...accepted.headers }, Object.fromEntries(lowerCase));
          client.destroy();
          server.destroy();
        },
      ),
      { numRuns: 30, seed: 1 },
    );
  });

  test("reads frames that arrive byte by byte", async (context) => {
    const [near, far] = duplexPair();
    const [inner, outer] = duplexPair();
    inner.on("data", (chunk: Buffer) => {
      for (const byte of chunk) near.write(Buffer.from([byte]));
    });
    const received = Promise.withResolvers<Buffer>();
    const server = new SpdyConnection(far, {
      role: "server",
      onStream: (stream) => received.resolve(readAll(stream)),
    });
    const client = new SpdyConnection(outer, { role: "client" });
    near.on("data", (chunk: Buffer) => inner.write(chunk));
    context.after(() => {
      client.destroy();
      server.destroy();
    });
    const stream = client.openStream({ a: "b" });
    stream.deliverReply();
    stream.end("slow");
    assert.equal((await received.promise).toString(), "slow");
  });
});

describe("SPDY handshake", () => {
  test("agrees on the first protocol that both know, and says so when there is none", async (context) => {
    const server = createServer();
    server.on("upgrade", (request: IncomingMessage, socket: Duplex) => {
      assert.ok(wantsSpdy(request));
      if (acceptSpdy(request, socket, ["v4", "v2"]) !== undefined) socket.end();
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    context.after(() => server.close());
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/exec/x`;
    const upgrade = await dialSpdy(url, ["v5", "v4", "v2"]);
    assert.equal(upgrade.protocol, "v4");
    upgrade.socket.destroy();
    await assert.rejects(
      dialSpdy(url, ["v9"]),
      /streaming server answered 403: .*server accepts \[v4 v2\]/,
    );
  });
});

/** Reads to the end without destroying the stream, which an async iterator would do. */
function readAll(stream: SpdyStream, slowly = false): Promise<Buffer> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      if (!slowly) return;
      stream.pause();
      setImmediate(() => stream.resume());
    });
    stream.on("end", () => resolve(Buffer.concat(chunks)));
  });
}

function send(stream: SpdyStream, payload: Buffer): Promise<void> {
  return new Promise((resolve) => {
    let offset = 0;
    const more = (): void => {
      while (offset < payload.length) {
        const piece = payload.subarray(offset, offset + 70_000);
        offset += piece.length;
        if (!stream.write(piece)) {
          stream.once("drain", more);
          return;
        }
      }
      stream.end(resolve);
    };
    more();
  });
}
