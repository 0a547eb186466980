/**
 * SPDY/3.1 framing as Kubernetes' streaming endpoints speak it (moby/spdystream on the other side).
 *
 * 1. Header blocks of one direction are one zlib stream: control frames are handled strictly in order, also while a block is inflated.
 * 2. There is no flow control on this wire (the peer ignores WINDOW_UPDATE and SETTINGS). Back-pressure is the socket: one stream whose
 *    reader is slow pauses all of them, so whoever opens several streams has to read them all.
 * 3. A client must not send DATA before SYN_REPLY; writes wait for it.
 * 4. RST_STREAM ends a stream in both directions without losing what was received before it; the peer closes finished streams with it.
 * 5. No frame is kept whole but control frames, which are bounded; payload is handed on as it arrives.
 */
import { Duplex } from "node:stream";
import {
  HEADER_BLOCK_MAX_BYTES,
  createHeaderCompressor,
  createHeaderDecompressor,
  type SpdyHeaders,
} from "./header-block.ts";

const FRAME = {
  synStream: 1,
  synReply: 2,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  headers: 8,
  windowUpdate: 9,
} as const;
const FLAG_FIN = 1;
const CONTROL_BIT = 0x80;
const VERSION = 0x8003;
const STATUS_CANCEL = 5;
const STATUS_REFUSED_STREAM = 3;
const FRAME_HEAD_BYTES = 8;
const CONTROL_FRAME_MAX_BYTES = HEADER_BLOCK_MAX_BYTES + 16;
const DATA_FRAME_MAX_BYTES = 1 << 20;
const STREAM_BUFFER_BYTES = 256 * 1024;
const STREAMS_MAX = 1024;

export interface SpdyConnectionOptions {
  readonly role: "client" | "server";
  /** Bytes that were read from the socket together with the HTTP head. */
  readonly head?: Buffer;
  /** Called for each stream that the peer opens; answer with `stream.reply()` or `stream.refuse()`. Without it every stream is refused. */
  readonly onStream?: (stream: SpdyStream) => void;
}

export class SpdyConnection {
  /** Resolves when the connection is over: with the error that broke it, or undefined after an orderly end. */
  readonly closed: Promise<Error | undefined>;
  readonly #socket: Duplex;
  readonly #options: SpdyConnectionOptions;
  readonly #streams = new Map<number, SpdyStream>();
  readonly #compress = createHeaderCompressor();
  readonly #decompressor = createHeaderDecompressor();
  readonly #blocked = new Set<SpdyStream>();
  readonly #drainWaiters: (() => void)[] = [];
  readonly #settleClosed: (error: Error | undefined) => void;
  #input: Buffer[] = [];
  #inputBytes = 0;
  #payload:
    | { readonly stream: SpdyStream | undefined; left: number; readonly fin: boolean }
    | undefined;
  #inflating = false;
  #inputOver = false;
  #nextId: number;
  #dead = false;

  constructor(socket: Duplex, options: SpdyConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#nextId = options.role === "client" ? 1 : 2;
    const { promise, resolve } = Promise.withResolvers<Error | undefined>();
    this.closed = promise;
    this.#settleClosed = resolve;
    if ("setNoDelay" in socket && typeof socket.setNoDelay === "function") socket.setNoDelay(true);
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("drain", () => this.#drained());
    socket.on("error", (error) => this.#close(error));
    socket.on("end", () => {
      this.#inputOver = true;
      this.#advance();
    });
    socket.on("close", () => {
      if (!this.#inputOver) this.#close(new Error("SPDY connection was cut off"));
    });
    if (options.head !== undefined && options.head.length > 0) this.#receive(options.head);
  }

  openStream(headers: SpdyHeaders): SpdyStream {
    const stream = new SpdyStream(this.#link, this.#nextId, headers, false);
    this.#nextId += 2;
    if (this.#dead) {
      stream.destroy(new Error("SPDY connection is closed"));
      return stream;
    }
    this.#streams.set(stream.id, stream);
    const ids = Buffer.alloc(10);
    ids.writeUInt32BE(stream.id, 0);
    this.#control(FRAME.synStream, 0, Buffer.concat([ids, this.#compress(headers)]));
    return stream;
  }

  /** Says goodbye after everything written so far and closes the socket. */
  close(): void {
    if (this.#dead) return;
    this.#control(FRAME.goAway, 0, Buffer.alloc(8));
    this.#socket.end();
  }

  destroy(error?: Error): void {
    this.#close(error);
    this.#socket.destroy();
  }

  /** What a stream may ask of its connection. */
  readonly #link: StreamLink = {
    writeData: (id, data, fin, callback) => this.#writeData(id, data, fin, callback),
    reply: (id) =>
      this.#control(FRAME.synReply, 0, Buffer.concat([uint32(id), this.#compress({})])),
    reset: (id, status) =>
      this.#control(FRAME.rstStream, 0, Buffer.concat([uint32(id), uint32(status)])),
    wantsMore: (stream) => this.#unblock(stream),
    forget: (stream) => {
      this.#streams.delete(stream.id);
      this.#unblock(stream);
    },
  };

  #control(type: number, flags: number, body: Buffer): void {
    if (this.#dead || this.#socket.writableEnded) return;
    const head = Buffer.alloc(FRAME_HEAD_BYTES);
    head.writeUInt16BE(VERSION, 0);
    head.writeUInt16BE(type, 2);
    head.writeUInt32BE(body.length, 4);
    head[4] = flags;
    this.#socket.write(Buffer.concat([head, body]));
  }

  #writeData(id: number, data: Buffer, fin: boolean, callback: (error?: Error) => void): void {
    if (this.#dead || this.#socket.writableEnded) {
      callback(new Error("SPDY connection is closed"));
      return;
    }
    let offset = 0;
    let writable = true;
    this.#socket.cork();
    do {
      const piece = data.subarray(offset, offset + DATA_FRAME_MAX_BYTES);
      offset += piece.length;
      const head = Buffer.alloc(FRAME_HEAD_BYTES);
      head.writeUInt32BE(id, 0);
      head.writeUInt32BE(piece.length, 4);
      head[4] = fin && offset >= data.length ? FLAG_FIN : 0;
      writable = this.#socket.write(head);
      if (piece.length > 0) writable = this.#socket.write(piece);
    } while (offset < data.length);
    this.#socket.uncork();
    if (writable || !this.#socket.writableNeedDrain) callback();
    else this.#drainWaiters.push(callback);
  }

  #drained(): void {
    for (const callback of this.#drainWaiters.splice(0)) callback();
  }

  #receive(chunk: Buffer): void {
    this.#input.push(chunk);
    this.#inputBytes += chunk.length;
    this.#advance();
  }

  #unblock(stream: SpdyStream): void {
    if (!this.#blocked.delete(stream) || this.#blocked.size > 0 || this.#dead) return;
    this.#socket.resume();
    this.#advance();
  }

  #advance(): void {
    this.#advanceInput();
    if (this.#inputOver && !this.#inflating && this.#blocked.size === 0) this.#close(undefined);
  }

  /** Works through the input until more is needed, a header block is being inflated, or a reader is slow. */
  #advanceInput(): void {
    while (!this.#dead && !this.#inflating && this.#blocked.size === 0) {
      if (this.#payload !== undefined) {
        if (!this.#advancePayload()) return;
        continue;
      }
      const head = this.#peekHead();
      if (head === undefined) return;
      const length = head.readUInt32BE(4) & 0xffffff;
      const flags = head[4] ?? 0;
      if ((head[0] ?? 0) < CONTROL_BIT) {
        this.#take(FRAME_HEAD_BYTES);
        this.#payload = {
          stream: this.#streams.get(head.readUInt32BE(0)),
          left: length,
          fin: (flags & FLAG_FIN) !== 0,
        };
        continue;
      }
      if (length > CONTROL_FRAME_MAX_BYTES) {
        this.#close(
          new Error(
            `SPDY control frame of ${length} bytes is larger than ${CONTROL_FRAME_MAX_BYTES}`,
          ),
        );
        return;
      }
      if (this.#inputBytes < FRAME_HEAD_BYTES + length) return;
      this.#take(FRAME_HEAD_BYTES);
      this.#handleControl(head.readUInt16BE(2), flags, this.#take(length));
    }
  }

  /** Returns whether there is something left to do right now. */
  #advancePayload(): boolean {
    const payload = this.#payload;
    if (payload === undefined) return true;
    if (payload.left > 0) {
      const first = this.#input[0];
      if (first === undefined) return false;
      const piece = this.#take(Math.min(first.length, payload.left));
      payload.left -= piece.length;
      if (payload.stream?.deliver(piece) === false) {
        this.#blocked.add(payload.stream);
        this.#socket.pause();
      }
    }
    if (payload.left === 0) {
      this.#payload = undefined;
      if (payload.fin) payload.stream?.deliverEnd();
    }
    return true;
  }

  #handleControl(type: number, flags: number, body: Buffer): void {
    switch (type) {
      case FRAME.synStream:
      case FRAME.synReply:
      case FRAME.headers: {
        const headAt = type === FRAME.synStream ? 10 : 4;
        if (body.length < headAt) {
          this.#close(new Error("SPDY control frame is cut short"));
          return;
        }
        const id = body.readUInt32BE(0) & 0x7fffffff;
        this.#inflating = true;
        this.#decompressor.decode(body.subarray(headAt), (error, headers) => {
          this.#inflating = false;
          if (error !== undefined) {
            this.#close(error);
            return;
          }
          this.#handleHeaders(type, id, headers, (flags & FLAG_FIN) !== 0);
          this.#advance();
        });
        return;
      }
      case FRAME.rstStream: {
        if (body.length >= 4) this.#streams.get(body.readUInt32BE(0) & 0x7fffffff)?.deliverReset();
        return;
      }
      case FRAME.ping: {
        const fromPeer =
          body.length >= 4 &&
          (body.readUInt32BE(0) & 1) === (this.#options.role === "server" ? 1 : 0);
        if (fromPeer) this.#control(FRAME.ping, 0, body.subarray(0, 4));
        return;
      }
      default:
    }
  }

  #handleHeaders(type: number, id: number, headers: SpdyHeaders, fin: boolean): void {
    if (type === FRAME.synStream) {
      const { onStream } = this.#options;
      if (onStream === undefined || this.#streams.has(id) || this.#streams.size >= STREAMS_MAX) {
        this.#link.reset(id, STATUS_REFUSED_STREAM);
        return;
      }
      const stream = new SpdyStream(this.#link, id, headers, true);
      this.#streams.set(id, stream);
      onStream(stream);
      if (fin) stream.deliverEnd();
      return;
    }
    const stream = this.#streams.get(id);
    if (type === FRAME.synReply) stream?.deliverReply();
    if (fin) stream?.deliverEnd();
  }

  #peekHead(): Buffer | undefined {
    if (this.#inputBytes < FRAME_HEAD_BYTES) return undefined;
    const first = this.#input[0];
    if (first !== undefined && first.length >= FRAME_HEAD_BYTES)
      return first.subarray(0, FRAME_HEAD_BYTES);
    this.#input = [Buffer.concat(this.#input)];
    return this.#input[0]?.subarray(0, FRAME_HEAD_BYTES);
  }

  /** Takes exactly `length` bytes, which must be there. */
  #take(length: number): Buffer {
    const first = this.#input[0];
    if (first === undefined || length === 0) return Buffer.alloc(0);
    this.#inputBytes -= length;
    if (first.length === length) {
      this.#input.shift();
      return first;
    }
    if (first.length > length) {
      this.#input[0] = first.subarray(length);
      return first.subarray(0, length);
    }
    const all = Buffer.concat(this.#input);
    this.#input = [all.subarray(length)];
    return all.subarray(0, length);
  }

  #close(error: Error | undefined): void {
    if (this.#dead) return;
    this.#dead = true;
    this.#decompressor.close();
    for (const stream of this.#streams.values()) stream.deliverClose(error);
    this.#streams.clear();
    this.#blocked.clear();
    this.#drained();
    this.#input = [];
    if (error !== undefined) this.#socket.destroy();
    else {
      this.#socket.end();
      this.#socket.resume();
    }
    this.#settleClosed(error);
  }
}

interface StreamLink {
  writeData(id: number, data: Buffer, fin: boolean, callback: (error?: Error) => void): void;
  reply(id: number): void;
  reset(id: number, status: number): void;
  wantsMore(stream: SpdyStream): void;
  forget(stream: SpdyStream): void;
}

/** One stream. Reading and writing end separately; errors without a listener are ignored, the connection's `closed` tells of them. */
export class SpdyStream extends Duplex {
  readonly id: number;
  readonly headers: SpdyHeaders;
  readonly #link: StreamLink;
  #open: boolean;
  #waiting: (() => void) | undefined;
  #inputEnded = false;
  /** The peer wants nothing more (reset or gone): writes are taken and dropped, as a pipe to an ended process would. */
  #discarding = false;

  constructor(link: StreamLink, id: number, headers: SpdyHeaders, open: boolean) {
    super({
      allowHalfOpen: true,
      readableHighWaterMark: STREAM_BUFFER_BYTES,
      writableHighWaterMark: STREAM_BUFFER_BYTES,
    });
    this.#link = link;
    this.id = id;
    this.headers = headers;
    this.#open = open;
    this.on("error", () => {});
  }

  /** Accepts a stream that the peer opened. */
  reply(): void {
    this.#link.reply(this.id);
  }

  refuse(): void {
    this.#link.reset(this.id, STATUS_REFUSED_STREAM);
    this.#discarding = true;
    this.destroy();
  }

  override _read(): void {
    this.#link.wantsMore(this);
  }

  override _write(
    chunk: Buffer,
    _encoding: BufferEncoding,
    callback: (error?: Error | null) => void,
  ): void {
    this.#whenOpen(() =>
      afterReading(() => {
        if (this.#discarding) callback();
        else this.#link.writeData(this.id, chunk, false, callback);
      }),
    );
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#whenOpen(() =>
      afterReading(() => {
        if (this.#discarding) callback();
        else this.#link.writeData(this.id, Buffer.alloc(0), true, () => callback());
      }),
    );
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    if (!this.#discarding && !(this.#inputEnded && this.writableFinished))
      this.#link.reset(this.id, STATUS_CANCEL);
    this.#discarding = true;
    this.#resume();
    this.#link.forget(this);
    callback(error);
  }

  #whenOpen(action: () => void): void {
    if (this.#open || this.#discarding) action();
    else this.#waiting = action;
  }

  #resume(): void {
    const action = this.#waiting;
    this.#waiting = undefined;
    action?.();
  }

  /** For the connection only. Returns whether more may come. */
  deliver(piece: Buffer): boolean {
    return this.#inputEnded || this.destroyed || this.push(piece);
  }

  /** For the connection only. */
  deliverReply(): void {
    this.#open = true;
    this.emit("reply");
    this.#resume();
  }

  /** For the connection only. */
  deliverEnd(): void {
    if (this.#inputEnded) return;
    this.#inputEnded = true;
    this.push(null);
  }

  /** For the connection only. */
  deliverReset(): void {
    this.#discarding = true;
    this.deliverEnd();
    this.#resume();
    this.#link.forget(this);
    this.emit("reset");
  }

  /** For the connection only. */
  deliverClose(error: Error | undefined): void {
    this.#discarding = true;
    if (error === undefined) this.deliverReset();
    else this.destroy(error);
  }
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

/**
 * Writes wait for what has arrived to be read: a runtime whose process has ended sends the outcome and closes, and a write that meets the closed connection
 * would take the outcome with it.
 */
function afterReading(write: () => void): void {
  setImmediate(write);
}
