import { MachineryError } from "./machinery-error.ts";
import type { ProtobufReader, ProtobufWriter } from "./protobuf-wire.ts";
import { wireTypes } from "./protobuf-wire.ts";
import type { ProtobufTable, ProtobufValue } from "./protobuf.ts";

/** How one type of field is written and read. */
export interface Scalar {
  readonly wireType: number;
  readonly zero: ProtobufValue;
  write(writer: ProtobufWriter, value: ProtobufValue): void;
  read(reader: ProtobufReader): ProtobufValue;
}

/** The scalar or enum of that name; undefined for a message. */
export function scalarOf(table: ProtobufTable, type: string): Scalar | undefined {
  const enumeration = table.enums?.[type];
  if (enumeration !== undefined) return enumScalar(type, enumeration, table.syntax);
  const scalar = Object.hasOwn(scalars, type) ? scalars[type] : undefined;
  if (table.int64 !== "number" || typeof scalar?.zero !== "bigint") return scalar;
  return { ...scalar, zero: 0, read: (reader) => safeNumber(scalar.read(reader)) };
}

function enumScalar(
  type: string,
  numbers: Readonly<Record<string, number>>,
  syntax: ProtobufTable["syntax"],
): Scalar {
  const names = new Map(Object.entries(numbers).map(([name, number]) => [number, name]));
  return {
    wireType: wireTypes.varint,
    zero: syntax === "proto3" ? (names.get(0) ?? 0) : 0,
    write(writer, value) {
      const number = typeof value === "string" ? numbers[value] : value;
      if (number === undefined)
        throw new Error(`the protobuf enum ${type} has no value ${String(value)}`);
      writer.varint(toBigInt(number));
    },
    read(reader) {
      const number = Number(BigInt.asIntN(32, reader.varint()));
      return names.get(number) ?? number;
    },
  };
}

function toBigInt(value: ProtobufValue): bigint {
  return typeof value === "bigint" ? value : BigInt(value as number);
}

function safeNumber(value: ProtobufValue): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) {
    throw new MachineryError("badMessage", `the protobuf integer ${String(value)} exceeds 2^53`);
  }
  return number;
}

function zigzag(value: bigint): bigint {
  return value >= 0n ? value << 1n : (-value << 1n) - 1n;
}

function unzigzag(value: bigint): bigint {
  return (value & 1n) === 0n ? value >> 1n : -((value + 1n) >> 1n);
}

const { varint, fixed32, fixed64, bytes } = wireTypes;

const scalars: Readonly<Record<string, Scalar>> = {
  bool: {
    wireType: varint,
    zero: false,
    write: (writer, value) => writer.uint32(value === true ? 1 : 0),
    read: (reader) => reader.varint() !== 0n,
  },
  int32: {
    wireType: varint,
    zero: 0,
    write: (writer, value) => writer.varint(toBigInt(value)),
    read: (reader) => Number(BigInt.asIntN(32, reader.varint())),
  },
  uint32: {
    wireType: varint,
    zero: 0,
    write: (writer, value) => writer.uint32(Number(value)),
    read: (reader) => Number(BigInt.asUintN(32, reader.varint())),
  },
  sint32: {
    wireType: varint,
    zero: 0,
    write: (writer, value) => writer.varint(zigzag(toBigInt(value))),
    read: (reader) => Number(unzigzag(reader.varint())),
  },
  int64: {
    wireType: varint,
    zero: 0n,
    write: (writer, value) => writer.varint(toBigInt(value)),
    read: (reader) => BigInt.asIntN(64, reader.varint()),
  },
  uint64: {
    wireType: varint,
    zero: 0n,
    write: (writer, value) => writer.varint(toBigInt(value)),
    read: (reader) => reader.varint(),
  },
  sint64: {
    wireType: varint,
    zero: 0n,
    write: (writer, value) => writer.varint(zigzag(toBigInt(value))),
    read: (reader) => unzigzag(reader.varint()),
  },
  fixed32: {
    wireType: fixed32,
    zero: 0,
    write: (writer, value) => writer.fixed32(Number(value)),
    read: (reader) => reader.fixed32(),
  },
  sfixed32: {
    wireType: fixed32,
    zero: 0,
    write: (writer, value) => writer.fixed32(Number(value)),
    read: (reader) => reader.fixed32() | 0,
  },
  fixed64: {
    wireType: fixed64,
    zero: 0n,
    write: (writer, value) => writer.fixed64(toBigInt(value)),
    read: (reader) => reader.fixed64(),
  },
  sfixed64: {
    wireType: fixed64,
    zero: 0n,
    write: (writer, value) => writer.fixed64(toBigInt(value)),
    read: (reader) => BigInt.asIntN(64, reader.fixed64()),
  },
  double: {
    wireType: fixed64,
    zero: 0,
    write: (writer, value) => writer.double(Number(value)),
    read: (reader) => reader.double(),
  },
  float: {
    wireType: fixed32,
    zero: 0,
    write: (writer, value) => writer.float(Number(value)),
    read: (reader) => reader.float(),
  },
  string: {
    wireType: bytes,
    zero: "",
    write: (writer, value) => writer.string(String(value)),
    read: (reader) => reader.string(),
  },
  bytes: {
    wireType: bytes,
    zero: Buffer.alloc(0),
    write: (writer, value) => writer.bytes(value as Uint8Array),
    read: (reader) => reader.bytes(),
  },
};
