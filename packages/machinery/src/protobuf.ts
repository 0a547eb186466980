import { MachineryError } from "./machinery-error.ts";
import { scalarOf, type Scalar } from "./protobuf-scalars.ts";
import { ProtobufReader, ProtobufWriter, wireTypes } from "./protobuf-wire.ts";

/**
 * A protobuf codec that is driven by tables instead of generated code.
 *
 * Values are plain objects under the table's field names. Every field that is present is written, also with a zero value; decoding gives
 * only what is on the wire, so that an absent field of proto3 means its zero value to the reader. 64-bit integers are bigints, or numbers if
 * the table says so (numbers are always accepted when encoding); bytes are Buffers (views into the input); enums are their names (unknown
 * numbers stay numbers); maps are objects. Unknown fields are skipped.
 */

/** The type is a scalar's name, `map<key,value>`, or the name of a message or enum of the table; the label is "repeated" or none. */
export type ProtobufField = readonly [number: number, type: string, label?: string];

export interface ProtobufTable {
  /** proto3 writes repeated numbers packed. Both forms are read. */
  readonly syntax: "proto2" | "proto3";
  /** What 64-bit integers become when decoding; "bigint" by default. With "number" an unsafe integer is refused. */
  readonly int64?: "bigint" | "number";
  readonly messages: Readonly<Record<string, Readonly<Record<string, ProtobufField>>>>;
  readonly enums?: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

export type ProtobufValue =
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly ProtobufValue[]
  | ProtobufObject;
export interface ProtobufObject {
  readonly [field: string]: ProtobufValue | undefined;
}

export interface ProtobufCodec {
  encode(message: string, value: object): Buffer;
  /** Throws `badMessage`. The result has the form that the table describes: callers give it their type. */
  decode(message: string, bytes: Uint8Array): ProtobufObject;
}

/** Nesting of messages; deeper input is refused. */
const depthMax = 100;

interface CompiledField {
  readonly name: string;
  readonly number: number;
  readonly kind: "one" | "list" | "map";
  /** Absent for a message. */
  readonly scalar: Scalar | undefined;
  readonly message: string | undefined;
  readonly key: Scalar | undefined;
}

interface CompiledMessage {
  readonly fields: readonly CompiledField[];
  readonly byNumber: ReadonlyMap<number, CompiledField>;
}

export function createProtobufCodec(table: ProtobufTable): ProtobufCodec {
  const compiled = new Map<string, CompiledMessage>();

  const messageOf = (name: string): CompiledMessage => {
    const known = compiled.get(name);
    if (known !== undefined) return known;
    const source = Object.hasOwn(table.messages, name) ? table.messages[name] : undefined;
    if (source === undefined) throw new Error(`the protobuf table has no message ${name}`);
    const fields = Object.entries(source).map(([field, entry]) =>
      compileField(table, field, entry),
    );
    const message = { fields, byNumber: new Map(fields.map((field) => [field.number, field])) };
    compiled.set(name, message);
    return message;
  };

  const encode = (message: CompiledMessage, value: ProtobufObject): Buffer => {
    const writer = new ProtobufWriter();
    for (const field of message.fields) {
      const content = value[field.name];
      if (content !== undefined && content !== null) writeField(writer, field, content);
    }
    return writer.finish();
  };

  const writeField = (
    writer: ProtobufWriter,
    field: CompiledField,
    content: ProtobufValue,
  ): void => {
    if (field.kind === "map") {
      for (const [key, item] of Object.entries(content as ProtobufObject)) {
        if (item === undefined) continue;
        const entry = new ProtobufWriter();
        writeOne(entry, 1, field.key, undefined, keyFromText(field.key, key));
        writeOne(entry, 2, field.scalar, field.message, item);
        writer.tag(field.number, wireTypes.bytes);
        writer.bytes(entry.finish());
      }
    } else if (field.kind === "list") {
      writeList(writer, field, content as readonly ProtobufValue[]);
    } else {
      writeOne(writer, field.number, field.scalar, field.message, content);
    }
  };

  const writeList = (
    writer: ProtobufWriter,
    field: CompiledField,
    items: readonly ProtobufValue[],
  ): void => {
    const { scalar } = field;
    const isPacked =
      table.syntax === "proto3" && scalar !== undefined && scalar.wireType !== wireTypes.bytes;
    if (!isPacked) {
      for (const item of items) writeOne(writer, field.number, scalar, field.message, item);
      return;
    }
    if (items.length === 0) return;
    const packed = new ProtobufWriter();
    for (const item of items) scalar.write(packed, item);
    writer.tag(field.number, wireTypes.bytes);
    writer.bytes(packed.finish());
  };

  const writeOne = (
    writer: ProtobufWriter,
    number: number,
    scalar: Scalar | undefined,
    message: string | undefined,
    value: ProtobufValue,
  ): void => {
    if (scalar !== undefined) {
      writer.tag(number, scalar.wireType);
      scalar.write(writer, value);
    } else {
      writer.tag(number, wireTypes.bytes);
      writer.bytes(encode(messageOf(message ?? ""), value as ProtobufObject));
    }
  };

  const decode = (message: CompiledMessage, bytes: Uint8Array, depth: number): ProtobufObject => {
    if (depth > depthMax) {
      throw new MachineryError("badMessage", `the protobuf message nests deeper than ${depthMax}`);
    }
    const values = new Map<string, ProtobufValue>();
    const maps = new Map<string, Map<string, ProtobufValue>>();
    const reader = new ProtobufReader(bytes);
    while (!reader.done) {
      const { number, wireType } = reader.tag();
      const field = message.byNumber.get(number);
      if (field === undefined) reader.skip(wireType);
      else if (field.kind === "map") readMap(reader, field, wireType, maps, depth);
      else readField(reader, field, wireType, values, depth);
    }
    for (const [name, map] of maps) values.set(name, Object.fromEntries(map));
    return Object.fromEntries(values);
  };

  const readMap = (
    reader: ProtobufReader,
    field: CompiledField,
    wireType: number,
    maps: Map<string, Map<string, ProtobufValue>>,
    depth: number,
  ): void => {
    checkWireType(field, wireType, wireTypes.bytes);
    const [key, item] = readEntry(reader.bytes(), field, depth);
    const map = maps.get(field.name) ?? new Map<string, ProtobufValue>();
    maps.set(field.name, map);
    map.set(key, item);
  };

  const readField = (
    reader: ProtobufReader,
    field: CompiledField,
    wireType: number,
    values: Map<string, ProtobufValue>,
    depth: number,
  ): void => {
    if (field.kind === "one") {
      values.set(field.name, readOne(reader, field, wireType, depth));
      return;
    }
    const list = (values.get(field.name) ?? []) as ProtobufValue[];
    values.set(field.name, list);
    const { scalar } = field;
    if (
      scalar !== undefined &&
      wireType === wireTypes.bytes &&
      scalar.wireType !== wireTypes.bytes
    ) {
      const packed = new ProtobufReader(reader.bytes());
      while (!packed.done) list.push(scalar.read(packed));
    } else {
      list.push(readOne(reader, field, wireType, depth));
    }
  };

  const readOne = (
    reader: ProtobufReader,
    field: CompiledField,
    wireType: number,
    depth: number,
  ): ProtobufValue => {
    checkWireType(field, wireType, field.scalar?.wireType ?? wireTypes.bytes);
    if (field.scalar !== undefined) return field.scalar.read(reader);
    return decode(messageOf(field.message ?? ""), reader.bytes(), depth + 1);
  };

  const readEntry = (
    bytes: Uint8Array,
    field: CompiledField,
    depth: number,
  ): [string, ProtobufValue] => {
    const reader = new ProtobufReader(bytes);
    let key: ProtobufValue = field.key?.zero ?? "";
    let item: ProtobufValue | undefined = field.scalar?.zero;
    while (!reader.done) {
      const { number, wireType } = reader.tag();
      if (number === 1 && field.key !== undefined && wireType === field.key.wireType)
        key = field.key.read(reader);
      else if (number === 2) item = readOne(reader, field, wireType, depth);
      else reader.skip(wireType);
    }
    return [
      String(key),
      item ?? decode(messageOf(field.message ?? ""), new Uint8Array(0), depth + 1),
    ];
  };

  return {
    encode: (message, value) => encode(messageOf(message), value as ProtobufObject),
    decode: (message, bytes) => decode(messageOf(message), bytes, 0),
  };
}

function compileField(table: ProtobufTable, name: string, entry: ProtobufField): CompiledField {
  const [number, type, label] = entry;
  const map = /^map<\s*(\w+)\s*,\s*([\w.]+)\s*>$/.exec(type);
  const valueType = map?.[2] ?? type;
  const scalar = scalarOf(table, valueType);
  return {
    name,
    number,
    kind: map !== null ? "map" : label === "repeated" ? "list" : "one",
    scalar,
    message: scalar === undefined ? valueType : undefined,
    key: map === null ? undefined : scalarOf(table, map[1] ?? "string"),
  };
}

function checkWireType(field: CompiledField, actual: number, expected: number): void {
  if (actual === expected) return;
  throw new MachineryError(
    "badMessage",
    `the protobuf field ${field.name} has wire type ${actual}, not ${expected}`,
  );
}

function keyFromText(scalar: Scalar | undefined, key: string): ProtobufValue {
  if (typeof scalar?.zero === "string" || scalar === undefined) return key;
  if (typeof scalar.zero === "boolean") return key === "true";
  return typeof scalar.zero === "bigint" ? BigInt(key) : Number(key);
}
