import { createInflate, constants, type Inflate } from "node:zlib";
import { createSpdyDictionary } from "./dictionary.ts";

export type SpdyHeaders = Readonly<Record<string, string>>;

/** Largest header block, compressed or not, that is accepted. Kubernetes' streams carry two or three short headers. */
export const HEADER_BLOCK_MAX_BYTES = 16 * 1024;

const STORED_BLOCK_MAX_BYTES = 0xffff;
const ZLIB_HEADER = Buffer.from([0x78, 0x01]);
/** Go's inflater hands data out only after a flush point, which an empty stored block is. Without it the peer waits for the next frame. */
const FLUSH_BLOCK = Buffer.from([0x00, 0x00, 0x00, 0xff, 0xff]);

export function encodeHeaderPairs(headers: SpdyHeaders): Buffer {
  const entries = Object.entries(headers);
  const parts: Buffer[] = [uint32(entries.length)];
  for (const [name, value] of entries) {
    for (const text of [name.toLowerCase(), value]) {
      const bytes = Buffer.from(text, "utf8");
      parts.push(uint32(bytes.length), bytes);
    }
  }
  return Buffer.concat(parts);
}

/** Throws a RangeError when the block is cut short or claims more than it holds. Names come back in lower case. */
export function decodeHeaderPairs(block: Buffer): SpdyHeaders {
  const headers: Record<string, string> = {};
  let offset = 0;
  const readText = (): string => {
    const length = block.readUInt32BE(offset);
    offset += 4;
    if (length > block.length - offset) throw new RangeError("SPDY header block is cut short");
    const text = block.toString("utf8", offset, offset + length);
    offset += length;
    return text;
  };
  const count = block.readUInt32BE(0);
  offset = 4;
  for (let index = 0; index < count; index += 1) {
    const name = readText();
    headers[name.toLowerCase()] = readText();
  }
  return headers;
}

/**
 * Compresses the header blocks of one direction. They form a single zlib stream, so the blocks must be sent in the order they were made.
 * Stored deflate blocks are legal zlib and need neither a compressor nor its state.
 */
export function createHeaderCompressor(): (headers: SpdyHeaders) => Buffer {
  let first = true;
  return (headers) => {
    const parts: Buffer[] = first ? [ZLIB_HEADER] : [];
    first = false;
    const pairs = encodeHeaderPairs(headers);
    for (let offset = 0; offset < pairs.length; offset += STORED_BLOCK_MAX_BYTES) {
      const piece = pairs.subarray(offset, offset + STORED_BLOCK_MAX_BYTES);
      const head = Buffer.alloc(5);
      head.writeUInt16LE(piece.length, 1);
      head.writeUInt16LE(~piece.length & 0xffff, 3);
      parts.push(head, piece);
    }
    parts.push(FLUSH_BLOCK);
    return Buffer.concat(parts);
  };
}

export interface HeaderDecompressor {
  /** One at a time: the next call only after the callback of the one before. */
  decode(block: Buffer, callback: (error: Error | undefined, headers: SpdyHeaders) => void): void;
  close(): void;
}

export function createHeaderDecompressor(): HeaderDecompressor {
  let inflate: Inflate | undefined;
  let failure: Error | undefined;
  let pending: ((error: Error | undefined, headers: SpdyHeaders) => void) | undefined;

  const settle = (error: Error | undefined, headers: SpdyHeaders): void => {
    const callback = pending;
    pending = undefined;
    callback?.(error, headers);
  };
  const open = (): Inflate => {
    const stream = createInflate({
      dictionary: createSpdyDictionary(),
      finishFlush: constants.Z_SYNC_FLUSH,
      chunkSize: HEADER_BLOCK_MAX_BYTES * 2,
    });
    stream.on("error", (error) => {
      failure = error;
      settle(error, {});
    });
    stream.on("readable", () => {
      if (stream.readableLength > HEADER_BLOCK_MAX_BYTES) stream.destroy(tooLarge());
    });
    return stream;
  };

  return {
    decode(block, callback) {
      if (failure !== undefined) {
        callback(failure, {});
        return;
      }
      inflate ??= open();
      const stream = inflate;
      pending = callback;
      stream.write(block, () => {
        if (failure !== undefined) return;
        const pairs: unknown = stream.read();
        try {
          if (!Buffer.isBuffer(pairs)) throw new RangeError("SPDY header block is empty");
          if (pairs.length > HEADER_BLOCK_MAX_BYTES) throw tooLarge();
          settle(undefined, decodeHeaderPairs(pairs));
        } catch (error) {
          failure = error as Error;
          settle(failure, {});
        }
      });
    },
    close() {
      pending = undefined;
      inflate?.destroy();
    },
  };
}

function tooLarge(): RangeError {
  return new RangeError(`SPDY header block is larger than ${HEADER_BLOCK_MAX_BYTES} bytes`);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}
