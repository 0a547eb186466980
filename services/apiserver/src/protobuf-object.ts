/**
 * Kubernetes' protobuf as clients send it and existing clusters store it: "k8s\0", then a runtime.Unknown that says kind and version and holds the object.
 * Objects are turned into the JSON form that everything else works on; nothing is ever written as protobuf.
 */
import {
  createProtobufCodec,
  formatMicroTime,
  formatTime,
  type Json,
  type ProtobufCodec,
  type ProtobufField,
} from "@wherry/machinery";
import { decodeObject, definitionNameOf, schemaOf } from "@wherry/schema";
import { protobufFields } from "./gen/protobuf-fields.js";

const magicBytes = 4;
const meta = "k8s.io.apimachinery.pkg.apis.meta.v1";
const runtime = "k8s.io.apimachinery.pkg.runtime";
const extensions = "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1";

interface TableField {
  /** Name in JSON; "" = shown inside the parent. */
  readonly json: string;
  /** Name in the codec's table. */
  readonly key: string;
  readonly type: string;
  readonly repeated: boolean;
}

type Tree = { [key: string]: Json | undefined };

let loaded:
  | { readonly codec: ProtobufCodec; readonly fields: ReadonlyMap<string, readonly TableField[]> }
  | undefined;

/** The object in JSON form, with kind and apiVersion. Throws an Error when the bytes are no such object. */
export function decodeProtobufObject(
  bytes: Buffer,
  fallback: { readonly apiVersion: string; readonly kind: string },
): Tree {
  const { codec } = load();
  const unknown = codec.decode(`${runtime}.Unknown`, bytes.subarray(magicBytes)) as {
    typeMeta?: { apiVersion?: string; kind?: string };
    raw?: Uint8Array;
    contentType?: string;
  };
  const apiVersion = unknown.typeMeta?.apiVersion || fallback.apiVersion;
  const kind = unknown.typeMeta?.kind || fallback.kind;
  const raw = Buffer.from(unknown.raw ?? new Uint8Array());
  if (unknown.contentType === "application/json")
    return { ...(JSON.parse(raw.toString()) as Tree), apiVersion, kind };
  const message = messageOf(apiVersion, kind);
  if (message === undefined)
    throw new Error(`no kind "${kind}" is registered for version "${apiVersion}"`);
  const object = toJson(message, codec.decode(message, raw)) as Tree;
  return { ...object, apiVersion, kind };
}

/** A stored value as an object of the storage version, zero values left out as JSON leaves them out. */
export function decodeStoredProtobuf(
  bytes: Buffer,
  type: { readonly apiVersion: string; readonly kind: string },
): Tree {
  const tree = decodeProtobufObject(bytes, type);
  const { group, version } = split(String(tree["apiVersion"]));
  const kind = String(tree["kind"]);
  const name = definitionNameOf(group, version, kind);
  if (name === undefined) return tree;
  return decodeObject({ group, version, kind, schema: schemaOf(name) }, tree, {
    fieldValidation: "Ignore",
  }).object;
}

function messageOf(apiVersion: string, kind: string): string | undefined {
  if (kind === "DeleteOptions") return `${meta}.DeleteOptions`;
  const { group, version } = split(apiVersion);
  const name = definitionNameOf(group, version, kind)
    ?.replace(/^io\.k8s\./, "k8s.io.")
    .replaceAll("-", "_");
  return name !== undefined && load().fields.has(name) ? name : undefined;
}

function split(apiVersion: string): { group: string; version: string } {
  const slash = apiVersion.indexOf("/");
  return slash < 0
    ? { group: "", version: apiVersion }
    : { group: apiVersion.slice(0, slash), version: apiVersion.slice(slash + 1) };
}

function load(): NonNullable<typeof loaded> {
  if (loaded !== undefined) return loaded;
  const fields = new Map<string, readonly TableField[]>();
  const messages: Record<string, Record<string, ProtobufField>> = {};
  for (const line of protobufFields.split("\n")) {
    const [message = "", texts = ""] = line.split("\t");
    const table: TableField[] = [];
    const own: Record<string, ProtobufField> = {};
    for (const text of texts === "" ? [] : texts.split(" ")) {
      const [json = "", number = "", type = "", label] = text.split(";");
      const key = json === "" ? `#${number}` : json;
      own[key] = label === undefined ? [Number(number), type] : [Number(number), type, label];
      table.push({ json, key, type, repeated: label === "repeated" });
    }
    messages[message] = own;
    fields.set(message, table);
  }
  loaded = { codec: createProtobufCodec({ syntax: "proto2", int64: "number", messages }), fields };
  return loaded;
}

type Values = Readonly<Record<string, unknown>>;

/** Messages whose JSON form is not an object of their fields. */
const special: Readonly<Record<string, (value: Values) => Json>> = {
  [`${meta}.Time`]: (value) => timeOf(value, formatTime),
  [`${meta}.MicroTime`]: (value) => timeOf(value, formatMicroTime),
  [`${meta}.Duration`]: (value) => durationText(Number(value["duration"] ?? 0)),
  [`${meta}.FieldsV1`]: (value) => rawJson(value["Raw"]),
  [`${meta}.Verbs`]: (value) => (value["items"] ?? []) as Json,
  [`${runtime}.RawExtension`]: (value) => rawJson(value["raw"]),
  [`${extensions}.JSON`]: (value) => rawJson(value["raw"]),
  [`${extensions}.JSONSchemaPropsOrArray`]: (value) =>
    value["#1"] === undefined
      ? ((value["#2"] ?? []) as readonly Values[]).map((one) =>
          toJson(`${extensions}.JSONSchemaProps`, one),
        )
      : toJson(`${extensions}.JSONSchemaProps`, value["#1"] as Values),
  [`${extensions}.JSONSchemaPropsOrBool`]: (value) =>
    value["#2"] === undefined
      ? value["#1"] === true
      : toJson(`${extensions}.JSONSchemaProps`, value["#2"] as Values),
  [`${extensions}.JSONSchemaPropsOrStringArray`]: (value) =>
    value["#1"] === undefined
      ? ((value["#2"] ?? []) as Json)
      : toJson(`${extensions}.JSONSchemaProps`, value["#1"] as Values),
  "k8s.io.apimachinery.pkg.api.resource.Quantity": (value) =>
    (value["string"] as string | undefined) ?? "0",
  "k8s.io.apimachinery.pkg.util.intstr.IntOrString": (value) =>
    value["type"] === 1 ? ((value["strVal"] ?? "") as string) : Number(value["intVal"] ?? 0),
};

function toJson(message: string, value: Values): Json {
  const own =
    special[message] ?? (message.endsWith(".ExtraValue") ? special[`${meta}.Verbs`] : undefined);
  if (own !== undefined) return own(value);
  const result: Tree = {};
  for (const { json, key, type, repeated } of load().fields.get(message) ?? []) {
    const found = value[key];
    if (found === undefined) continue;
    const converted = fieldJson(type, repeated, found);
    if (json === "") Object.assign(result, converted);
    else result[json] = converted;
  }
  return result;
}

function fieldJson(type: string, repeated: boolean, value: unknown): Json {
  if (repeated) return (value as readonly unknown[]).map((one) => scalarJson(type, one));
  const map = /^map<\w+,(.+)>$/.exec(type);
  if (map === null) return scalarJson(type, value);
  return Object.fromEntries(
    Object.entries(value as object).map(([key, one]) => [key, scalarJson(map[1]!, one)]),
  );
}

function scalarJson(type: string, value: unknown): Json {
  if (type === "bytes") return Buffer.from(value as Uint8Array).toString("base64");
  if (type.includes(".")) return toJson(type, value as Values);
  return value as Json;
}

/** An empty message is the time that was never set. */
function timeOf({ seconds = 0, nanos = 0 }: Values, format: (epochMs: number) => string): Json {
  return seconds === 0 && nanos === 0 ? null : format(Number(seconds) * 1000 + Number(nanos) / 1e6);
}

function rawJson(bytes: unknown): Json {
  const text = Buffer.from((bytes ?? new Uint8Array()) as Uint8Array).toString();
  return text === "" ? null : (JSON.parse(text) as Json);
}

/** As Go prints a duration: "1h0m0s", "1.5s", "20ms". */
function durationText(nanos: number): string {
  const seconds = nanos / 1e9;
  if (Math.abs(seconds) < 1) return nanos === 0 ? "0s" : `${nanos / 1e6}ms`;
  const whole = Math.abs(seconds);
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  const rest = Number((whole % 60).toFixed(9));
  return `${seconds < 0 ? "-" : ""}${hours > 0 ? `${hours}h` : ""}${hours > 0 || minutes > 0 ? `${minutes}m` : ""}${rest}s`;
}
