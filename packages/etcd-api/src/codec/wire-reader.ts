/** The bytes are not a protocol buffers message of the expected shape. */
export class WireError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "WireError";
  }
}

const EMPTY = Buffer.alloc(0);

/** Messages nested deeper than this are refused. */
const DEPTH_MAX = 100;

/**
 * Reads protocol buffers: `while (reader.next()) switch (reader.field) { … default: reader.skip(); }`. Unknown fields are
 * skipped. Integers that a JavaScript number does not hold exactly must be read with `bigint`.
 */
export class WireReader {
  field = 0;
  readonly #bytes: Buffer;
  /** Whether byte fields are copied into buffers of their own, or are views of the message. */
  readonly #own: boolean;
  #at = 0;
  #end: number;
  #wireType = 0;
  #depth = 0;

  constructor(bytes: Buffer, own: boolean) {
    this.#bytes = bytes;
    this.#end = bytes.length;
    this.#own = own;
  }

  /** Moves to the next field; false at the end of the message. */
  next(): boolean {
    if (this.#at >= this.#end) return false;
    const tag = this.#varint();
    this.field = Math.floor(tag / 8);
    this.#wireType = tag % 8;
    if (this.field === 0) throw new WireError("field number 0");
    return true;
  }

  int(): number {
    this.#expect(0);
    return this.#varint();
  }

  bigint(): bigint {
    return BigInt.asIntN(64, this.unsigned());
  }

  unsigned(): bigint {
    this.#expect(0);
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#byte();
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return BigInt.asUintN(64, value);
    }
    throw new WireError("varint of more than ten bytes");
  }

  bool(): boolean {
    return this.int() !== 0;
  }

  bytes(): Buffer {
    this.#expect(2);
    const end = this.#lengthEnd();
    const view = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    if (view.length === 0) return EMPTY;
    if (!this.#own) return view;
    const copy = Buffer.allocUnsafeSlow(view.length);
    view.copy(copy);
    return copy;
  }

  string(): string {
    this.#expect(2);
    const end = this.#lengthEnd();
    const text = this.#bytes.toString("utf8", this.#at, end);
    this.#at = end;
    return text;
  }

  message<T>(read: (reader: WireReader) => T): T {
    this.#expect(2);
    const outerEnd = this.#end;
    const end = this.#lengthEnd();
    this.#depth += 1;
    if (this.#depth > DEPTH_MAX) throw new WireError(`messages nested more than ${DEPTH_MAX} deep`);
    this.#end = end;
    const value = read(this);
    this.#end = outerEnd;
    this.#depth -= 1;
    return value;
  }

  /** Repeated integers, packed or one by one. */
  packed(into: number[]): void {
    if (this.#wireType === 0) {
      into.push(this.#varint());
      return;
    }
    this.#expect(2);
    const end = this.#lengthEnd();
    while (this.#at < end) into.push(this.#varint());
    if (this.#at !== end) throw new WireError("a packed list ends inside an integer");
  }

  skip(): void {
    switch (this.#wireType) {
      case 0:
        while (this.#byte() >= 128);
        return;
      case 1:
        this.#at += 8;
        break;
      case 2:
        this.#at = this.#lengthEnd();
        return;
      case 5:
        this.#at += 4;
        break;
      default:
        throw new WireError(`wire type ${this.#wireType} in field ${this.field}`);
    }
    if (this.#at > this.#end) throw new WireError("the message ends inside a field");
  }

  #expect(wireType: number): void {
    if (this.#wireType !== wireType)
      throw new WireError(
        `wire type ${this.#wireType} instead of ${wireType} in field ${this.field}`,
      );
  }

  #lengthEnd(): number {
    const length = this.#varint();
    const end = this.#at + length;
    if (length < 0 || end > this.#end) throw new WireError("the message ends inside a field");
    return end;
  }

  #byte(): number {
    if (this.#at >= this.#end) throw new WireError("the message ends inside an integer");
    return this.#bytes[this.#at++] as number;
  }

  #varint(): number {
    let value = 0;
    let factor = 1;
    for (let count = 0; count < 7; count += 1) {
      const byte = this.#byte();
      value += (byte & 127) * factor;
      if (byte < 128) return value;
      factor *= 128;
    }
    // 49 bits are read; what follows may be a sign.
    let high = 0n;
    for (let shift = 0n; shift < 21n; shift += 7n) {
      const byte = this.#byte();
      high |= BigInt(byte & 127) << shift;
      if (byte < 128) return Number(BigInt.asIntN(64, (high << 49n) | BigInt(value)));
    }
    throw new WireError("varint of more than ten bytes");
  }
}
