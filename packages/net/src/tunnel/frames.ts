/**
 * The frames of K3s' tunnel (rancher/remotedialer): each WebSocket binary message is zig-zag varints `id`, `connectionId`, `type`, for Data and
 * Connect one more (a legacy deadline in ms), then the payload.
 */

export const frameType = {
  data: 1,
  connect: 2,
  error: 3,
  addClient: 4,
  removeClient: 5,
  pause: 6,
  resume: 7,
  syncConnections: 8,
} as const;

export type FrameType = (typeof frameType)[keyof typeof frameType];

export interface Frame {
  readonly connectionId: number;
  readonly type: FrameType;
  readonly payload: Buffer;
}

/** Payload of an Error frame that closes a connection gracefully. */
export const END_OF_STREAM = "EOF";
const LEGACY_DEADLINE_MS = 15_000;
const CONNECT_MAX_BYTES = 266;
const ERROR_MAX_BYTES = 100;
const KNOWN_TYPES = new Set<number>(Object.values(frameType));

export class FrameError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "FrameError";
  }
}

export function encodeFrame(messageId: number, frame: Frame): Buffer {
  const head: number[] = [];
  pushVarint(head, messageId);
  pushVarint(head, frame.connectionId);
  pushVarint(head, frame.type);
  if (hasDeadline(frame.type)) pushVarint(head, LEGACY_DEADLINE_MS);
  return Buffer.concat([Buffer.from(head), frame.payload]);
}

/** Throws FrameError for a truncated head, an unknown type, or a payload over the protocol's limit. */
export function decodeFrame(message: Buffer): Frame {
  const cursor = { offset: 0 };
  readVarint(message, cursor);
  const connectionId = readVarint(message, cursor);
  const type = readVarint(message, cursor);
  if (!KNOWN_TYPES.has(type)) throw new FrameError(`unknown frame type ${type}`);
  if (hasDeadline(type)) readVarint(message, cursor);
  const payload = message.subarray(cursor.offset);
  if (type === frameType.connect && payload.length > CONNECT_MAX_BYTES)
    throw new FrameError("the connect address is too long");
  return {
    connectionId,
    type: type as FrameType,
    payload: type === frameType.error ? payload.subarray(0, ERROR_MAX_BYTES) : payload,
  };
}

/** The payload of a SyncConnections frame: little-endian uint64 each. */
export function encodeConnectionIds(ids: Iterable<number>): Buffer {
  const list = [...ids];
  const payload = Buffer.alloc(list.length * 8);
  for (const [index, id] of list.entries()) payload.writeBigUInt64LE(BigInt(id), index * 8);
  return payload;
}

export function decodeConnectionIds(payload: Buffer): Set<number> {
  const ids = new Set<number>();
  for (let offset = 0; offset + 8 <= payload.length; offset += 8)
    ids.add(Number(payload.readBigUInt64LE(offset)));
  return ids;
}

function hasDeadline(type: number): boolean {
  return type === frameType.data || type === frameType.connect;
}

/** Go's binary.PutVarint for a non-negative safe integer. */
function pushVarint(out: number[], value: number): void {
  let rest = value * 2;
  while (rest >= 0x80) {
    out.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  out.push(rest);
}

const VARINT_MAX_BYTES = 10;

/** Message ids may exceed 2^53 and lose their low bits here; nothing looks at them. */
function readVarint(buffer: Buffer, cursor: { offset: number }): number {
  let value = 0;
  let scale = 1;
  for (let count = 0; count < VARINT_MAX_BYTES; count += 1) {
    const byte = buffer[cursor.offset];
    if (byte === undefined) throw new FrameError("the frame's head is truncated");
    cursor.offset += 1;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
    scale *= 0x80;
  }
  throw new FrameError("a number in the frame's head is too long");
}
