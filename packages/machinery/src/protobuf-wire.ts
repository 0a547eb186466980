import { MachineryError } from "./machinery-error.ts";

/** Protobuf's wire types as far as they are in use; groups (3 and 4) are refused. */
export const wireTypes = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

const utf8Encoder = new TextEncoder();

/** Appends protobuf primitives to a buffer that grows. */
export class ProtobufWriter {
  #buffer = new Uint8Array(256);
  #view = new DataView(this.#buffer.buffer);
  #length = 0;

  tag(number: number, wireType: number): void {
    this.uint32(((number << 3) | wireType) >>> 0);
  }

  /** An unsigned varint below 2^32. */
  uint32(value: number): void {
    this.#reserve(5);
    let rest = value >>> 0;
    while (rest > 127) {
      this.#buffer[this.#length++] = (rest & 127) | 128;
      rest >>>= 7;
    }
    this.#buffer[this.#length++] = rest;
  }

  /** A varint of 64 bits; negative values in two's complement. */
  varint(value: bigint): void {
    if (value >= 0n && value <= 0xffff_ffffn) {
      this.uint32(Number(value));
      return;
    }
    this.#reserve(10);
    let rest = BigInt.asUintN(64, value);
    while (rest > 127n) {
      this.#buffer[this.#length++] = Number(rest & 127n) | 128;
      rest >>= 7n;
    }
    this.#buffer[this.#length++] = Number(rest);
  }

  double(value: number): void {
    this.#reserve(8);
    this.#view.setFloat64(this.#length, value, true);
    this.#length += 8;
  }

  float(value: number): void {
    this.#reserve(4);
    this.#view.setFloat32(this.#length, value, true);
    this.#length += 4;
  }

  fixed64(value: bigint): void {
    this.#reserve(8);
    this.#view.setBigUint64(this.#length, BigInt.asUintN(64, value), true);
    this.#length += 8;
  }

  fixed32(value: number): void {
    this.#reserve(4);
    this.#view.setUint32(this.#length, value >>> 0, true);
    this.#length += 4;
  }

  /** Length and bytes. */
  bytes(value: Uint8Array): void {
    this.uint32(value.length);
    this.#reserve(value.length);
    this.#buffer.set(value, this.#length);
    this.#length += value.length;
  }

  string(value: string): void {
    this.bytes(utf8Encoder.encode(value));
  }

  /** What was written; the writer is not used any more after it. */
  finish(): Buffer {
    return Buffer.from(this.#buffer.buffer, 0, this.#length);
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return;
    const grown = new Uint8Array(Math.max(this.#buffer.length * 2, this.#length + bytes));
    grown.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = grown;
    this.#view = new DataView(grown.buffer);
  }
}

/** Reads protobuf primitives; every read beyond the end is a `badMessage` error. */
export class ProtobufReader {
  readonly #buffer: Buffer;
  readonly #view: DataView;
  #position = 0;

  constructor(buffer: Uint8Array) {
    this.#buffer = Buffer.from(buffer.buffer, buffer.byteOffset, buffer.byteLength);
    this.#view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  }

  get done(): boolean {
    return this.#position >= this.#buffer.length;
  }

  tag(): { readonly number: number; readonly wireType: number } {
    const tag = Number(BigInt.asUintN(32, this.varint()));
    if (tag >>> 3 === 0) throw broken("a field number of 0");
    return { number: tag >>> 3, wireType: tag & 7 };
  }

  /** As an unsigned 64-bit number. */
  varint(): bigint {
    let low = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.#byte();
      low |= (byte & 127) << shift;
      if (byte < 128) return BigInt(low);
    }
    let value = BigInt(low);
    for (let shift = 28n; shift < 70n; shift += 7n) {
      const byte = this.#byte();
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return BigInt.asUintN(64, value);
    }
    throw broken("a varint of more than 10 bytes");
  }

  double(): number {
    return this.#view.getFloat64(this.#skip(8), true);
  }

  float(): number {
    return this.#view.getFloat32(this.#skip(4), true);
  }

  fixed64(): bigint {
    return this.#view.getBigUint64(this.#skip(8), true);
  }

  fixed32(): number {
    return this.#view.getUint32(this.#skip(4), true);
  }

  /** A view into the buffer, not a copy. */
  bytes(): Buffer {
    const length = this.varint();
    if (length > BigInt(this.#buffer.length)) throw broken("a length beyond the end");
    const start = this.#skip(Number(length));
    return this.#buffer.subarray(start, start + Number(length));
  }

  string(): string {
    return this.bytes().toString();
  }

  /** Steps over an unknown field. */
  skip(wireType: number): void {
    if (wireType === wireTypes.varint) this.varint();
    else if (wireType === wireTypes.fixed64) this.#skip(8);
    else if (wireType === wireTypes.bytes) this.bytes();
    else if (wireType === wireTypes.fixed32) this.#skip(4);
    else throw broken(`wire type ${wireType}`);
  }

  #byte(): number {
    const byte = this.#buffer[this.#position];
    if (byte === undefined) throw broken("an end in the middle of a field");
    this.#position += 1;
    return byte;
  }

  #skip(bytes: number): number {
    const start = this.#position;
    if (start + bytes > this.#buffer.length) throw broken("an end in the middle of a field");
    this.#position = start + bytes;
    return start;
  }
}

function broken(what: string): MachineryError {
  return new MachineryError("badMessage", `the protobuf message has ${what}`);
}
