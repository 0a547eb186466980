/** Between the values of a message (by field number, from the codec) and the JSON form that Go's codec would write. */
import type { ProtobufValue } from "@wherry/machinery";
import { isTree, type Tree } from "../tree.ts";
import { messageFields, type MessageField } from "./message-table.ts";
import { specialMessage, type Conversion, type FieldValues } from "./special-messages.ts";

const conversion: Conversion = { toJson: messageToJson, fromJson: messageFromJson };

/** Zero values that `omitempty` leaves out are left out; those that Go always writes are there. */
export function messageToJson(message: string, values: FieldValues): unknown {
  const special = specialMessage(message);
  if (special !== undefined) return special.toJson(values, conversion);
  const result: Tree = {};
  for (const field of messageFields(message)) {
    const value = values[field.number];
    if (field.json === "") {
      Object.assign(result, messageToJson(field.type, (value ?? {}) as FieldValues));
      continue;
    }
    const json = fieldToJson(field, value);
    if (json !== undefined) result[field.json] = json;
  }
  return result;
}

/** Values as Go's marshaller writes them: everything but nil pointers, lists, maps and bytes. Fields that the message does not have are ignored. */
export function messageFromJson(message: string, value: unknown): FieldValues {
  const special = specialMessage(message);
  if (special !== undefined) return special.fromJson(value, conversion) ?? {};
  const tree: Tree = isTree(value) ? value : {};
  const values: FieldValues = {};
  for (const field of messageFields(message)) {
    const found =
      field.json === ""
        ? messageFromJson(field.type, tree)
        : fieldFromJson(field, tree[field.json]);
    if (found !== undefined) values[field.number] = found;
  }
  return values;
}

function fieldToJson(field: MessageField, value: ProtobufValue | undefined): unknown {
  const { kind, type, nullable, omitEmpty } = field;
  if (kind === "list") {
    if (Array.isArray(value) && value.length > 0)
      return value.map((one: ProtobufValue) => oneToJson(type, one));
    return omitEmpty ? undefined : null;
  }
  if (kind === "map") {
    const entries = Object.entries((value ?? {}) as FieldValues);
    if (entries.length > 0)
      return Object.fromEntries(entries.map(([key, one]) => [key, oneToJson(type, one)]));
    return omitEmpty ? undefined : null;
  }
  if (nullable) {
    if (value !== undefined) return oneToJson(type, value);
    return omitEmpty ? undefined : null;
  }
  const json = oneToJson(type, value);
  return omitEmpty && isLeftOut(field, json) ? undefined : json;
}

/** Structs are never left out, with the exception of the time of creation and of lists in a message of their own. */
function isLeftOut({ isMessage, type, json: name }: MessageField, json: unknown): boolean {
  if (isMessage)
    return json === null && (name === "creationTimestamp" || /\.(Verbs|ExtraValue)$/.test(type));
  return json === "" || json === 0 || json === false || json === null;
}

function oneToJson(type: string, value: ProtobufValue | undefined): unknown {
  if (type.includes(".")) {
    const special = specialMessage(type);
    const values = value as FieldValues | undefined;
    return special === undefined
      ? messageToJson(type, values ?? {})
      : special.toJson(values, conversion);
  }
  if (type === "bytes")
    return value === undefined ? null : Buffer.from(value as Uint8Array).toString("base64");
  return value ?? zeroOf(type);
}

function fieldFromJson(
  { kind, type, nullable }: MessageField,
  json: unknown,
): ProtobufValue | undefined {
  if (kind === "list")
    return Array.isArray(json) && json.length > 0
      ? json.map((one: unknown) => oneFromJson(type, one) ?? zeroOf(type))
      : undefined;
  if (kind === "map") {
    if (!isTree(json)) return undefined;
    const keys = Object.keys(json).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    return Object.fromEntries(keys.map((key) => [key, oneFromJson(type, json[key])]));
  }
  if (nullable && (json === undefined || json === null)) return undefined;
  return oneFromJson(type, json);
}

function oneFromJson(type: string, json: unknown): ProtobufValue | undefined {
  if (type.includes(".")) {
    const special = specialMessage(type);
    return special === undefined ? messageFromJson(type, json) : special.fromJson(json, conversion);
  }
  if (json === undefined || json === null) return type === "bytes" ? undefined : zeroOf(type);
  if (type === "bytes") return Buffer.from(String(json), "base64");
  return json as ProtobufValue;
}

function zeroOf(type: string): ProtobufValue {
  if (type === "string") return "";
  if (type === "bool") return false;
  if (type === "bytes") return Buffer.alloc(0);
  return type.includes(".") ? {} : 0;
}
