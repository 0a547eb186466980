/** Sends a list piece by piece: nothing of the answer is held in memory beyond one chunk, and the event loop is let go between chunks. */
import { createGzip, type Gzip } from "node:zlib";
import { createProtobufList, type ProtobufIdentity } from "@wherry/schema";
import type { Clock } from "@wherry/service-kit";
import {
  acceptsGzip,
  gzipLevel,
  gzipThresholdBytes,
  sendProtobuf,
  warningHeader,
} from "./answer.ts";
import type { CacheEntry } from "./cache-entry.ts";
import type { Exchange, ResponseStream } from "./exchange.ts";
import { joinPieces, type ObjectEncoding, type Piece } from "./object-encoding.ts";
import type { ListResult } from "./rest-list.ts";
import { createTurns } from "./turns.ts";

const chunkBytes = 128 * 1024;

export async function sendList(
  exchange: Exchange,
  { entries, meta }: ListResult,
  encoding: ObjectEncoding,
  warnings: readonly string[],
  clock: Clock,
): Promise<void> {
  const headers = {
    "content-type": "application/json",
    "cache-control": "no-cache, private",
    ...warningHeader(warnings),
  };
  const turns = createTurns(clock);
  let pieces: Piece[] = [encoding.listHead(meta)];
  let bytes = 0;
  let sink: Sink | undefined;
  for (const [index, entry] of entries.entries()) {
    if (turns.isOver()) await turns.next();
    if (index > 0) pieces.push(",");
    for (const piece of encoding.listItem(entry)) {
      pieces.push(piece);
      bytes += piece.length;
    }
    if (bytes < chunkBytes) continue;
    sink ??= openSink(exchange, headers);
    if (!(await sink.write(joinPieces(pieces)))) return;
    pieces = [];
    bytes = 0;
  }
  pieces.push(encoding.listTail);
  const rest = joinPieces(pieces);
  if (sink === undefined) return exchange.send(200, headers, [rest]);
  if (await sink.write(rest)) await sink.end();
}

/** The envelope of protobuf begins with the size of what it holds, so the list is put together before anything is sent. */
export async function sendProtobufList(
  exchange: Exchange,
  { entries, meta }: ListResult,
  encoding: ObjectEncoding,
  warnings: readonly string[],
  clock: Clock,
): Promise<void> {
  const head = JSON.parse(encoding.listHead(meta) + encoding.listTail) as ProtobufIdentity;
  const list = createProtobufList(head);
  const turns = createTurns(clock);
  for (const entry of entries) {
    if (turns.isOver()) await turns.next();
    const text = joinPieces(encoding.listItem(entry)).toString();
    list.item(JSON.parse(text) as Record<string, unknown>);
  }
  await sendProtobuf(exchange, 200, list.finish(meta), warnings);
}

/** The whole list as one text, for YAML and pretty printing. */
export function joinList({ entries, meta }: ListResult, encoding: ObjectEncoding): Buffer {
  const pieces: Piece[] = [encoding.listHead(meta)];
  entries.forEach((entry: CacheEntry, index) => {
    if (index > 0) pieces.push(",");
    pieces.push(...encoding.listItem(entry));
  });
  pieces.push(encoding.listTail);
  return joinPieces(pieces);
}

interface Sink {
  /** False = the peer has gone. */
  write(chunk: Buffer): Promise<boolean>;
  end(): Promise<void>;
}

function openSink(
  exchange: Exchange,
  headers: Readonly<Record<string, string | readonly string[]>>,
): Sink {
  // The first chunk alone is as large as upstream's threshold, so the answer as a whole is.
  const gzips = chunkBytes >= gzipThresholdBytes && acceptsGzip(exchange);
  const stream = exchange.startStream(
    200,
    gzips ? { ...headers, "content-encoding": "gzip", vary: "Accept-Encoding" } : headers,
  );
  return gzips ? gzipSink(stream) : plainSink(stream);
}

function plainSink(stream: ResponseStream): Sink {
  return {
    async write(chunk) {
      if (!stream.write(chunk)) await stream.drained();
      return !stream.closed;
    },
    async end() {
      stream.end();
    },
  };
}

function gzipSink(stream: ResponseStream): Sink {
  const packer: Gzip = createGzip({ level: gzipLevel });
  let full: Promise<void> | undefined;
  packer.on("data", (chunk: Buffer) => {
    if (!stream.write(chunk)) full ??= stream.drained().then(() => (full = undefined));
  });
  return {
    async write(chunk) {
      await new Promise<void>((resolve, reject) => {
        packer.write(chunk, (error) => (error ? reject(error) : resolve()));
      });
      await full;
      if (stream.closed) packer.destroy();
      return !stream.closed;
    },
    async end() {
      await new Promise<void>((resolve) => {
        packer.once("end", resolve);
        packer.end();
      });
      stream.end();
    },
  };
}
