/**
 * Writes protocol buffers from the last byte to the first: the length of an embedded message is known when its content is
 * written, without measuring first. Callers therefore write fields from the highest number to the lowest, and lists from the
 * last item to the first, so that the result is in ascending order. Default values are left out, as proto3 does.
 */
export class WireWriter {
  #buffer: Buffer;
  /** Index of the first byte written. */
  #at: number;

  constructor(capacity = 256) {
    this.#buffer = Buffer.allocUnsafe(capacity);
    this.#at = capacity;
  }

  /** What was written; the writer must not be used afterwards. */
  finish(): Buffer {
    return this.#buffer.subarray(this.#at);
  }

  /** An int64 or uint64 as a number; negative ones take ten bytes. */
  int(field: number, value: number | undefined): void {
    if (value === undefined || value === 0) return;
    this.#number(value);
    this.#tag(field, 0);
  }

  /** Also when it is 0: a member of a oneof is there because it was set. */
  setInt(field: number, value: number): void {
    this.#number(value);
    this.#tag(field, 0);
  }

  /** An int64 or uint64 of all 64 bits. */
  bigint(field: number, value: bigint | undefined): void {
    if (value === undefined || value === 0n) return;
    this.setBigint(field, value);
  }

  setBigint(field: number, value: bigint): void {
    this.#bigint(BigInt.asUintN(64, value));
    this.#tag(field, 0);
  }

  bool(field: number, value: boolean | undefined): void {
    if (value !== true) return;
    this.#varint(1);
    this.#tag(field, 0);
  }

  bytes(field: number, value: Buffer | undefined): void {
    if (value === undefined || value.length === 0) return;
    this.setBytes(field, value);
  }

  setBytes(field: number, value: Buffer): void {
    this.#reserve(value.length);
    this.#at -= value.length;
    value.copy(this.#buffer, this.#at);
    this.#varint(value.length);
    this.#tag(field, 2);
  }

  string(field: number, value: string | undefined): void {
    if (value === undefined || value === "") return;
    this.setBytes(field, Buffer.from(value));
  }

  message<T>(
    field: number,
    value: T | undefined,
    write: (writer: WireWriter, value: T) => void,
  ): void {
    if (value === undefined) return;
    const end = this.#buffer.length - this.#at;
    write(this, value);
    this.#varint(this.#buffer.length - this.#at - end);
    this.#tag(field, 2);
  }

  list<T>(
    field: number,
    values: readonly T[],
    write: (writer: WireWriter, value: T) => void,
  ): void {
    for (let index = values.length - 1; index >= 0; index -= 1)
      this.message(field, values[index], write);
  }

  /** Repeated enums and integers in one field. */
  packed(field: number, values: readonly number[]): void {
    if (values.length === 0) return;
    const end = this.#buffer.length - this.#at;
    for (let index = values.length - 1; index >= 0; index -= 1)
      this.#varint(values[index] as number);
    this.#varint(this.#buffer.length - this.#at - end);
    this.#tag(field, 2);
  }

  #tag(field: number, wireType: number): void {
    this.#varint(field * 8 + wireType);
  }

  #number(value: number): void {
    if (value >= 0) this.#varint(value);
    else this.#bigint(BigInt.asUintN(64, BigInt(value)));
  }

  #varint(value: number): void {
    this.#reserve(10);
    let size = 1;
    for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) size += 1;
    this.#at -= size;
    let at = this.#at;
    let rest = value;
    for (; rest >= 128; rest = Math.floor(rest / 128)) this.#buffer[at++] = (rest % 128) + 128;
    this.#buffer[at] = rest;
  }

  #bigint(value: bigint): void {
    const bytes: number[] = [];
    let rest = value;
    for (; rest >= 128n; rest >>= 7n) bytes.push(Number(rest & 127n) + 128);
    bytes.push(Number(rest));
    this.#reserve(bytes.length);
    this.#at -= bytes.length;
    this.#buffer.set(bytes, this.#at);
  }

  #reserve(size: number): void {
    if (this.#at >= size) return;
    const used = this.#buffer.length - this.#at;
    const grown = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, used + size));
    this.#buffer.copy(grown, grown.length - used, this.#at);
    this.#at = grown.length - used;
    this.#buffer = grown;
  }
}
