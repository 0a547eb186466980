import { newBadRequest, type ApiError } from "@wherry/machinery";
import {
  intOrStringDefinition,
  microTimeDefinition,
  quantityDefinition,
  schemaOf,
  timeDefinition,
} from "./compile-schema.ts";
import { definitionNameOf } from "./definition-table.ts";
import { countKeys, countKeysInText, strictErrorsInText } from "./duplicate-fields.ts";
import { readQuantity } from "./quantity.ts";
import type { Draft, ResourceDefinition } from "./resource.ts";
import { isTree, type Tree } from "./tree.ts";
import type { TypeSchema } from "./type-schema.ts";
import { normalizeTime, WireTimeError } from "./wire-time.ts";
import { alwaysWrittenFields, isZero, zeroOf } from "./zero-values.ts";

export type FieldValidation = "Ignore" | "Warn" | "Strict";

export interface DecodeOptions {
  /** What to do about unknown and duplicate fields; default "Warn", as upstream. */
  readonly fieldValidation?: FieldValidation;
  /** Strict errors found before (duplicate keys of a YAML document), reported ahead of this function's own. */
  readonly earlierStrictErrors?: readonly string[];
}

export interface Decoded {
  readonly object: Draft;
  /** Texts for Warning headers; empty unless `fieldValidation` is "Warn". */
  readonly warnings: readonly string[];
}

/** What is decoded into: a resource, or a request body of its own kind (Binding, Eviction, DeleteOptions …). */
export interface DecodeTarget {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly schema: TypeSchema;
}

/**
 * Turns a request body into an object of a kind, as upstream's JSON codec does: unknown fields are pruned (and reported), null means absent,
 * wrong types are refused, times and quantities come out in canonical form, apiVersion and kind are filled in.
 * Takes JSON text, or a parsed value that the caller gives away (its parts may be reused). Throws ApiError BadRequest.
 */
export function decodeObject(
  target: DecodeTarget | ResourceDefinition,
  body: string | Tree,
  options: DecodeOptions = {},
): Decoded {
  const { fieldValidation = "Warn" } = options;
  const parsed = typeof body === "string" ? parseBody(target, body) : body;
  const apiVersion = target.group === "" ? target.version : `${target.group}/${target.version}`;
  checkKind(target, parsed, apiVersion);
  const decoder = createDecoder(fieldValidation !== "Ignore");
  const object = decoder.decode(target.schema, parsed) as Draft;
  if (decoder.error !== undefined) throw cannotHandle(target, decoder.error);
  object["apiVersion"] = apiVersion;
  object["kind"] = target.kind;
  if (fieldValidation === "Ignore") return { object, warnings: [] };
  const hasDuplicates = typeof body === "string" && countKeysInText(body) !== countKeys(parsed);
  const found = hasDuplicates ? strictErrorsInText(body, target.schema) : decoder.unknown;
  const errors = [...(options.earlierStrictErrors ?? []), ...found];
  if (fieldValidation === "Strict" && errors.length > 0) {
    throw cannotHandle(target, `strict decoding error: ${errors.join(", ")}`);
  }
  return { object, warnings: errors };
}

/** Decodes a value against any schema, without object metadata or strictness (fragments, options, subresource bodies). */
export function decodeValue(schema: TypeSchema, value: unknown): unknown {
  const decoder = createDecoder(false);
  const decoded = decoder.decode(schema, value);
  if (decoder.error !== undefined) throw newBadRequest(decoder.error);
  return decoded;
}

interface Decoder {
  decode(schema: TypeSchema, value: unknown): unknown;
  /** First type error, in the words of Go's codec. */
  readonly error: string | undefined;
  readonly unknown: readonly string[];
}

const quantityFormatError =
  "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/** Upstream reports at most this many strict errors. */
const strictErrorsMax = 100;

function createDecoder(reportsUnknown: boolean): Decoder {
  const path: (string | number)[] = [];
  const unknown: string[] = [];
  let struct = "";
  let error: string | undefined;

  const mismatch = (value: unknown, goType: string): undefined => {
    const names = path.filter((part) => typeof part === "string" && !part.startsWith("\0"));
    const place = names.length === 0 ? "Go value" : `Go struct field ${struct}.${names.join(".")}`;
    error ??= `json: cannot unmarshal ${valueKind(value, goType)} into ${place} of type ${goType}`;
    return undefined;
  };

  const decodeStruct = (schema: TypeSchema, value: Tree): Tree => {
    const fields = schema.properties;
    const result: Tree = {};
    if (fields === undefined) return value;
    const outer = struct;
    if (schema.goType !== undefined)
      struct = schema.goType.slice(schema.goType.lastIndexOf(".") + 1);
    for (const key of Object.keys(value)) {
      const field = fields.get(key);
      if (field === undefined) {
        if (schema.preservesUnknownFields) result[key] = value[key];
        else if (reportsUnknown && unknown.length < strictErrorsMax) {
          unknown.push(`unknown field "${pathText(path, key)}"`);
        }
        continue;
      }
      const raw = value[key];
      if (raw === null && schema.goType !== undefined) continue;
      path.push(key);
      const decoded = decode(field.schema, raw);
      path.pop();
      if (decoded === undefined) continue;
      if (schema.goType !== undefined && !field.nullable && !field.alwaysWritten && isZero(decoded))
        continue;
      result[key] = decoded;
    }
    for (const field of alwaysWrittenFields(schema)) {
      if (result[field.name] === undefined) result[field.name] = zeroOf(field);
    }
    struct = outer;
    return result;
  };

  const decodeMap = (schema: TypeSchema, values: TypeSchema, value: Tree): Tree => {
    const result: Tree = {};
    for (const key of Object.keys(value)) {
      path.push(`\0${key}`);
      const raw = value[key];
      const decoded =
        raw === null && schema.goType !== undefined
          ? zeroOf({ name: key, required: false, schema: values })
          : decode(values, raw);
      if (decoded !== undefined) result[key] = decoded;
      path.pop();
    }
    return result;
  };

  const decodeList = (schema: TypeSchema, value: readonly unknown[]): unknown[] => {
    const { items } = schema;
    if (items === undefined) return [...value];
    return value.map((item, index) => {
      if (item === null && schema.goType !== undefined) {
        return zeroOf({ name: "", required: false, schema: items });
      }
      path.push(index);
      const decoded = decode(items, item);
      path.pop();
      return decoded ?? null;
    });
  };

  const decodeScalar = (schema: TypeSchema, value: unknown): unknown => {
    const goType = schema.goType ?? schema.type;
    switch (schema.type) {
      case "string":
        if (typeof value !== "string") return mismatch(value, goType);
        if (schema.format === "byte" && !isBase64(value)) {
          error ??= `illegal base64 data at input byte ${base64ErrorAt(value)}`;
        }
        return value;
      case "boolean":
        return typeof value === "boolean" ? value : mismatch(value, goType);
      case "integer":
        if (typeof value !== "number") return mismatch(value, goType);
        return isInteger(value, schema.format) ? value : mismatch(value, goType);
      case "number":
        return typeof value === "number" ? value : mismatch(value, goType);
      case "object":
      case "array":
      case "any":
        return value;
    }
  };

  const decode = (schema: TypeSchema, value: unknown): unknown => {
    switch (schema.definition) {
      case quantityDefinition:
        return decodeQuantity(value);
      case timeDefinition:
      case microTimeDefinition:
        return decodeTime(schema, value);
      case intOrStringDefinition:
        if (typeof value === "string" || (typeof value === "number" && isInteger(value, "int32")))
          return value;
        error ??= `json: cannot unmarshal ${valueKind(value, "int32")} into Go value of type int32`;
        return undefined;
      case undefined:
        break;
      default:
        if (schema.type === "any") return decodeUnion(schema, value);
    }
    if (schema.type === "any") return value;
    if (schema.type === "array") {
      return Array.isArray(value)
        ? decodeList(schema, value)
        : mismatch(value, schema.goType ?? "array");
    }
    if (schema.type === "object") {
      if (!isTree(value)) return mismatch(value, schema.goType ?? "object");
      return schema.values === undefined
        ? decodeStruct(schema, value)
        : decodeMap(schema, schema.values, value);
    }
    return decodeScalar(schema, value);
  };

  /** Schemas of custom resources: a field that is a schema or something else (a list of them, a boolean, names). */
  const decodeUnion = (schema: TypeSchema, value: unknown): unknown => {
    const props = unionMember(schema);
    if (props === undefined) return value;
    if (Array.isArray(value))
      return value.map((item) => (isTree(item) ? decode(props, item) : item));
    return isTree(value) ? decode(props, value) : value;
  };

  const decodeQuantity = (value: unknown): unknown => {
    if (typeof value !== "string" && typeof value !== "number") {
      error ??= quantityFormatError;
      return undefined;
    }
    const quantity = readQuantity(value);
    if ("text" in quantity) return quantity.text;
    error ??= quantity.error;
    return undefined;
  };

  const decodeTime = (schema: TypeSchema, value: unknown): unknown => {
    if (typeof value !== "string") {
      error ??= `json: cannot unmarshal ${valueKind(value, "string")} into Go value of type string`;
      return undefined;
    }
    try {
      return normalizeTime(value, schema.definition === timeDefinition ? "seconds" : "micros");
    } catch (failure) {
      if (!(failure instanceof WireTimeError)) throw failure;
      error ??= failure.message;
      return undefined;
    }
  };

  return {
    decode,
    get error() {
      return error;
    },
    unknown,
  };
}

const schemaProps = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";

function unionMember(schema: TypeSchema): TypeSchema | undefined {
  return schema.definition?.startsWith(`${schemaProps}Or`) === true
    ? schemaOf(schemaProps)
    : undefined;
}

/** As upstream writes a place: "spec.containers[0].image". */
export function pathText(path: readonly (string | number)[], key?: string): string {
  let text = "";
  for (const part of key === undefined ? path : [...path, key]) {
    if (typeof part === "number") text += `[${part}]`;
    else text += `${text === "" ? "" : "."}${part.startsWith("\0") ? part.slice(1) : part}`;
  }
  return text;
}

function parseBody(target: DecodeTarget, text: string): Tree {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw newBadRequest(
      `the object provided is unrecognized (must be of type ${target.kind}): couldn't get version/kind; json parse error: ${(error as Error).message}`,
    );
  }
  if (isTree(value)) return value;
  throw newBadRequest(
    `the object provided is unrecognized (must be of type ${target.kind}): couldn't get version/kind; json parse error: json: cannot unmarshal ${valueKind(value, "")} into Go value of type struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" } (${Buffer.from(text.slice(0, 1024)).toString("hex")})`,
  );
}

function checkKind(target: DecodeTarget, value: Tree, apiVersion: string): void {
  const givenVersion =
    typeof value["apiVersion"] === "string" && value["apiVersion"] !== ""
      ? value["apiVersion"]
      : apiVersion;
  const givenKind =
    typeof value["kind"] === "string" && value["kind"] !== "" ? value["kind"] : target.kind;
  if (givenVersion === apiVersion && givenKind === target.kind) return;
  const slash = givenVersion.indexOf("/");
  const group = slash < 0 ? "" : givenVersion.slice(0, slash);
  const version = givenVersion.slice(slash + 1);
  const head = `${givenKind} in version "${version}" cannot be handled as a ${target.kind}`;
  if (definitionNameOf(group, version, givenKind) === undefined) {
    throw newBadRequest(
      `${head}: no kind "${givenKind}" is registered for version "${givenVersion}" in scheme "pkg/api/legacyscheme/scheme.go:30"`,
    );
  }
  const internal = target.group === "" ? "core" : (target.group.split(".")[0] ?? "");
  throw newBadRequest(
    `${head}: converting (${version}.${givenKind}) to (${internal}.${target.kind}): unknown conversion`,
  );
}

function cannotHandle(target: DecodeTarget, message: string): ApiError {
  return newBadRequest(
    `${target.kind} in version "${target.version}" cannot be handled as a ${target.kind}: ${message}`,
  );
}

function valueKind(value: unknown, goType: string): string {
  if (Array.isArray(value)) return "array";
  if (typeof value === "boolean") return "bool";
  if (typeof value === "string") return "string";
  if (typeof value !== "number") return "object";
  return /^u?int/.test(goType) ? `number ${numberText(value)}` : "number";
}

function numberText(value: number): string {
  const text = String(value);
  return text.includes("e") ? text.replace("e+", "e") : text;
}

function isInteger(value: number, format: string | undefined): boolean {
  if (!Number.isInteger(value)) return false;
  if (format === "int32") return value >= -2147483648 && value <= 2147483647;
  return Math.abs(value) <= 2 ** 63;
}

function isBase64(text: string): boolean {
  return text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text);
}

function base64ErrorAt(text: string): number {
  const bad = text.search(/[^A-Za-z0-9+/]/);
  return bad < 0 ? text.length - (text.length % 4) : bad;
}
