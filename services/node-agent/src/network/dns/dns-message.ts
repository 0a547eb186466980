import { addressBytes } from "./address-text.ts";
import { foldName, MalformedMessageError, nameLabels, readName } from "./dns-name.ts";

/** Record types by number (IANA). Only those that we answer or look into. */
export const recordType = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  OPT: 41,
  IXFR: 251,
  AXFR: 252,
  ANY: 255,
} as const;
export const recordClass = { IN: 1, ANY: 255 } as const;
export const responseCode = {
  noError: 0,
  formatError: 1,
  serverFailure: 2,
  nameError: 3,
  notImplemented: 4,
  refused: 5,
  badVersion: 16,
} as const;
export type ResponseCode = (typeof responseCode)[keyof typeof responseCode];

/** Without EDNS0 a UDP answer has at most this size (RFC 1035). */
export const UDP_PLAIN_MAX_BYTES = 512;
/** More than this is not put into one UDP answer, whatever the client offers: it would be cut into fragments (RFC 9715). */
export const UDP_EDNS_MAX_BYTES = 1_232;
export const HEADER_BYTES = 12;

export interface DnsQuestion {
  /** In the letter case that was asked for. */
  readonly name: string;
  readonly type: number;
  readonly class: number;
}

export interface DnsQuery {
  readonly id: number;
  readonly opcode: number;
  readonly recursionDesired: boolean;
  readonly checkingDisabled: boolean;
  readonly question: DnsQuestion;
  /** The offset after the question. */
  readonly questionEnd: number;
  readonly edns?: {
    readonly udpBytes: number;
    readonly version: number;
    readonly dnssecOk: boolean;
  };
}

export type DnsRecord =
  | {
      readonly type: "A" | "AAAA";
      readonly name: string;
      readonly ttl: number;
      readonly address: string;
    }
  | {
      readonly type: "CNAME" | "PTR" | "NS";
      readonly name: string;
      readonly ttl: number;
      readonly target: string;
    }
  | {
      readonly type: "SRV";
      readonly name: string;
      readonly ttl: number;
      readonly priority: number;
      readonly weight: number;
      readonly port: number;
      readonly target: string;
    }
  | { readonly type: "TXT"; readonly name: string; readonly ttl: number; readonly text: string }
  | {
      readonly type: "SOA";
      readonly name: string;
      readonly ttl: number;
      readonly primary: string;
      readonly mailbox: string;
      readonly serial: number;
      readonly refresh: number;
      readonly retry: number;
      readonly expire: number;
      readonly minimum: number;
    };

export interface DnsAnswer {
  readonly code: ResponseCode;
  readonly authoritative: boolean;
  readonly answers: readonly DnsRecord[];
  readonly authorities: readonly DnsRecord[];
  readonly additionals: readonly DnsRecord[];
}

/** A record of a message that was read: where its parts lie. */
export interface RecordAt {
  readonly name: string;
  readonly type: number;
  readonly class: number;
  readonly ttl: number;
  readonly ttlOffset: number;
  readonly dataOffset: number;
  readonly dataLength: number;
}

export interface DnsMessage {
  readonly id: number;
  readonly response: boolean;
  readonly truncated: boolean;
  readonly code: number;
  readonly question: DnsQuestion | undefined;
  readonly questionEnd: number;
  readonly answers: readonly RecordAt[];
  readonly authorities: readonly RecordAt[];
  readonly additionals: readonly RecordAt[];
}

/** What reading a datagram or a TCP frame as a query gives. */
export type QueryReading =
  | { readonly kind: "query"; readonly query: DnsQuery }
  /** Answer with this code; `id` and the flags of the request are known, its question perhaps not. */
  | {
      readonly kind: "refuse";
      readonly id: number;
      readonly opcode: number;
      readonly code: ResponseCode;
    }
  /** A response, or too short to have an id: never answered. */
  | { readonly kind: "ignore" };

/** Reads a query. Never throws: the network is full of other things than queries. */
export function readQuery(bytes: Uint8Array): QueryReading {
  if (bytes.length < HEADER_BYTES) return { kind: "ignore" };
  const id = read16(bytes, 0);
  const high = bytes[2] ?? 0;
  if ((high & 0x80) !== 0) return { kind: "ignore" };
  const opcode = (high >> 3) & 15;
  if (opcode !== 0) return { kind: "refuse", id, opcode, code: responseCode.notImplemented };
  if (read16(bytes, 4) !== 1) return { kind: "refuse", id, opcode, code: responseCode.formatError };
  try {
    const { name, end } = readName(bytes, HEADER_BYTES);
    if (end + 4 > bytes.length)
      return { kind: "refuse", id, opcode, code: responseCode.formatError };
    const question = { name, type: read16(bytes, end), class: read16(bytes, end + 2) };
    const edns = readEdns(bytes, end + 4);
    return {
      kind: "query",
      query: {
        id,
        opcode,
        recursionDesired: (high & 1) !== 0,
        checkingDisabled: ((bytes[3] ?? 0) & 0x10) !== 0,
        question,
        questionEnd: end + 4,
        ...(edns === undefined ? {} : { edns }),
      },
    };
  } catch (error) {
    if (error instanceof MalformedMessageError)
      return { kind: "refuse", id, opcode, code: responseCode.formatError };
    throw error;
  }
}

/** Reads a whole message, as an upstream server sends it. Throws `MalformedMessageError`. */
export function readMessage(bytes: Uint8Array): DnsMessage {
  if (bytes.length < HEADER_BYTES)
    throw new MalformedMessageError("a DNS message is shorter than its header");
  const questions = read16(bytes, 4);
  if (questions > 1) throw new MalformedMessageError("a DNS message has more than one question");
  let offset = HEADER_BYTES;
  let question: DnsQuestion | undefined;
  if (questions === 1) {
    const { name, end } = readName(bytes, offset);
    if (end + 4 > bytes.length)
      throw new MalformedMessageError("a DNS question runs past the end of the message");
    question = { name, type: read16(bytes, end), class: read16(bytes, end + 2) };
    offset = end + 4;
  }
  const questionEnd = offset;
  const section = (count: number): RecordAt[] => {
    const records: RecordAt[] = [];
    for (let index = 0; index < count; index += 1) {
      const { name, end } = readName(bytes, offset);
      if (end + 10 > bytes.length)
        throw new MalformedMessageError("a DNS record runs past the end of the message");
      const dataLength = read16(bytes, end + 8);
      if (end + 10 + dataLength > bytes.length)
        throw new MalformedMessageError("a DNS record runs past the end of the message");
      records.push({
        name,
        type: read16(bytes, end),
        class: read16(bytes, end + 2),
        ttl: read32(bytes, end + 4),
        ttlOffset: end + 4,
        dataOffset: end + 10,
        dataLength,
      });
      offset = end + 10 + dataLength;
    }
    return records;
  };
  const answers = section(read16(bytes, 6));
  const authorities = section(read16(bytes, 8));
  const additionals = section(read16(bytes, 10));
  return {
    id: read16(bytes, 0),
    response: ((bytes[2] ?? 0) & 0x80) !== 0,
    truncated: ((bytes[2] ?? 0) & 2) !== 0,
    code: (bytes[3] ?? 0) & 15,
    question,
    questionEnd,
    answers,
    authorities,
    additionals,
  };
}

/** The most bytes that a UDP answer to this query may have. */
export function udpAnswerMaxBytes(query: DnsQuery): number {
  if (query.edns === undefined) return UDP_PLAIN_MAX_BYTES;
  return Math.max(UDP_PLAIN_MAX_BYTES, Math.min(query.edns.udpBytes, UDP_EDNS_MAX_BYTES));
}

/**
 * Writes the answer to a query. Names are compressed (but not SRV targets, RFC 2782); an owner that equals the question's name points to
 * it and so keeps the asker's letter case. Records that do not fit `maxBytes` are left out, and TC says so unless they were additional ones.
 */
export function encodeAnswer(query: DnsQuery, answer: DnsAnswer, maxBytes: number): Uint8Array {
  const writer = new MessageWriter(maxBytes - (query.edns === undefined ? 0 : OPT_BYTES));
  writer.write16(query.id);
  writer.write16(0);
  writer.write16(1);
  for (let index = 0; index < 3; index += 1) writer.write16(0);
  writer.writeName(query.question.name, true);
  writer.write16(query.question.type);
  writer.write16(query.question.class);
  const answered = writer.writeRecords(answer.answers);
  const authorised = answered.complete
    ? writer.writeRecords(answer.authorities)
    : { count: 0, complete: answer.authorities.length === 0 };
  const added =
    answered.complete && authorised.complete
      ? writer.writeRecords(answer.additionals)
      : { count: 0, complete: true };
  const truncated = !answered.complete || !authorised.complete;
  let additionalCount = added.count;
  if (query.edns !== undefined) {
    writer.raise(OPT_BYTES);
    writer.writeOpt(answer.code, query.edns.dnssecOk);
    additionalCount += 1;
  }
  const bytes = writer.finish();
  bytes[2] =
    0x80 | (answer.authoritative ? 4 : 0) | (truncated ? 2 : 0) | (query.recursionDesired ? 1 : 0);
  // Recursion is available: names outside the cluster are forwarded.
  bytes[3] = 0x80 | (query.checkingDisabled ? 0x10 : 0) | (answer.code & 15);
  write16(bytes, 6, answered.count);
  write16(bytes, 8, authorised.count);
  write16(bytes, 10, additionalCount);
  return bytes;
}

/** An answer of twelve bytes to something that could not be read as a query. */
export function encodeRefusal(id: number, opcode: number, code: ResponseCode): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES);
  write16(bytes, 0, id);
  bytes[2] = 0x80 | (opcode << 3);
  bytes[3] = code & 15;
  return bytes;
}

/** A query of our own with EDNS0. */
export function encodeQuery(
  id: number,
  question: DnsQuestion,
  udpBytes = UDP_EDNS_MAX_BYTES,
): Uint8Array {
  const writer = new MessageWriter(UDP_PLAIN_MAX_BYTES);
  writer.write16(id);
  writer.write16(0x0100);
  writer.write16(1);
  writer.write16(0);
  writer.write16(0);
  writer.write16(1);
  writer.writeName(question.name, true);
  writer.write16(question.type);
  writer.write16(question.class);
  writer.writeOpt(0, false, udpBytes);
  return writer.finish();
}

const OPT_BYTES = 11;

class MessageWriter {
  #bytes = Buffer.allocUnsafe(UDP_PLAIN_MAX_BYTES);
  #length = 0;
  #maxBytes: number;
  readonly #suffixes = new Map<string, number>();

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  raise(bytes: number): void {
    this.#maxBytes += bytes;
  }

  write8(value: number): void {
    if (this.#length === this.#bytes.length) this.#grow(1);
    this.#bytes[this.#length] = value;
    this.#length += 1;
  }

  write16(value: number): void {
    this.write8(value >>> 8);
    this.write8(value & 255);
  }

  write32(value: number): void {
    this.write16(value >>> 16);
    this.write16(value & 0xffff);
  }

  writeLatin1(text: string): void {
    if (this.#length + text.length > this.#bytes.length) this.#grow(text.length);
    this.#length += this.#bytes.write(text, this.#length, "latin1");
  }

  writeName(name: string, compress: boolean): void {
    const labels = nameLabels(name);
    let suffix = foldName(name);
    const escaped = name.includes("\\");
    for (const [index, label] of labels.entries()) {
      if (compress && !escaped) {
        const known = this.#suffixes.get(suffix);
        if (known !== undefined) {
          this.write16(0xc000 | known);
          return;
        }
        if (this.#length < 0x4000) this.#suffixes.set(suffix, this.#length);
        if (index < labels.length - 1) suffix = suffix.slice(label.length + 1);
      }
      this.write8(label.length);
      this.writeLatin1(label);
    }
    this.write8(0);
  }

  /** Writes records until one does not fit. */
  writeRecords(records: readonly DnsRecord[]): { count: number; complete: boolean } {
    for (const [count, record] of records.entries()) {
      const start = this.#length;
      this.#writeRecord(record);
      if (this.#length > this.#maxBytes) {
        this.#length = start;
        for (const [suffix, offset] of this.#suffixes)
          if (offset >= start) this.#suffixes.delete(suffix);
        return { count, complete: false };
      }
    }
    return { count: records.length, complete: true };
  }

  writeOpt(code: number, dnssecOk: boolean, udpBytes: number = UDP_EDNS_MAX_BYTES): void {
    this.write8(0);
    this.write16(recordType.OPT);
    this.write16(udpBytes);
    this.write8(code >> 4);
    this.write8(0);
    this.write16(dnssecOk ? 0x8000 : 0);
    this.write16(0);
  }

  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  #writeRecord(record: DnsRecord): void {
    this.writeName(record.name, true);
    this.write16(recordType[record.type]);
    this.write16(recordClass.IN);
    this.write32(record.ttl);
    const lengthOffset = this.#length;
    this.write16(0);
    switch (record.type) {
      case "A":
      case "AAAA":
        for (const byte of addressBytes(record.address)) this.write8(byte);
        break;
      case "CNAME":
      case "PTR":
      case "NS":
        this.writeName(record.target, true);
        break;
      case "SRV":
        this.write16(record.priority);
        this.write16(record.weight);
        this.write16(record.port);
        this.writeName(record.target, false);
        break;
      case "TXT":
        this.write8(record.text.length);
        this.writeLatin1(record.text);
        break;
      case "SOA":
        this.writeName(record.primary, true);
        this.writeName(record.mailbox, true);
        for (const value of [
          record.serial,
          record.refresh,
          record.retry,
          record.expire,
          record.minimum,
        ])
          this.write32(value);
        break;
    }
    write16(this.#bytes, lengthOffset, this.#length - lengthOffset - 2);
  }

  #grow(extra: number): void {
    const bytes = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#length + extra));
    this.#bytes.copy(bytes, 0, 0, this.#length);
    this.#bytes = bytes;
  }
}

/** Finds the OPT record among the additional ones; a query has no others in front of it in practice, but may. */
function readEdns(bytes: Uint8Array, start: number): DnsQuery["edns"] {
  let offset = start;
  const records = read16(bytes, 6) + read16(bytes, 8) + read16(bytes, 10);
  let edns: DnsQuery["edns"];
  for (let index = 0; index < records; index += 1) {
    const { name, end } = readName(bytes, offset);
    if (end + 10 > bytes.length)
      throw new MalformedMessageError("a DNS record runs past the end of the message");
    const next = end + 10 + read16(bytes, end + 8);
    if (next > bytes.length)
      throw new MalformedMessageError("a DNS record runs past the end of the message");
    if (read16(bytes, end) === recordType.OPT) {
      if (name !== "" || edns !== undefined)
        throw new MalformedMessageError("a DNS query has a wrong OPT record");
      edns = {
        udpBytes: read16(bytes, end + 2),
        version: bytes[end + 5] ?? 0,
        dnssecOk: ((bytes[end + 6] ?? 0) & 0x80) !== 0,
      };
    }
    offset = next;
  }
  return edns;
}

export function read16(bytes: Uint8Array, offset: number): number {
  return ((bytes[offset] ?? 0) << 8) | (bytes[offset + 1] ?? 0);
}

export function read32(bytes: Uint8Array, offset: number): number {
  return read16(bytes, offset) * 0x10000 + read16(bytes, offset + 2);
}

export function write16(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value >>> 8;
  bytes[offset + 1] = value & 255;
}

export function write32(bytes: Uint8Array, offset: number, value: number): void {
  write16(bytes, offset, value >>> 16);
  write16(bytes, offset + 2, value & 0xffff);
}
