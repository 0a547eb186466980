import {
  intOrStringDefinition,
  microTimeDefinition,
  quantityDefinition,
  timeDefinition,
} from "./compile-schema.ts";
import { isTree, type Tree } from "./tree.ts";
import type { FieldSchema, TypeSchema } from "./type-schema.ts";

const alwaysWritten = new WeakMap<TypeSchema, readonly FieldSchema[]>();

/** Fields of a struct that Go's codec writes even when nothing set them. */
export function alwaysWrittenFields(schema: TypeSchema): readonly FieldSchema[] {
  const known = alwaysWritten.get(schema);
  if (known !== undefined) return known;
  const fields = [...(schema.properties?.values() ?? [])].filter((field) => field.alwaysWritten);
  alwaysWritten.set(schema, fields);
  return fields;
}

/** What a field that nothing set is written as. */
export function zeroOf(field: FieldSchema): unknown {
  const { schema } = field;
  if (field.nullable) return null;
  switch (schema.definition) {
    case quantityDefinition:
      return "0";
    case intOrStringDefinition:
      return 0;
    case timeDefinition:
    case microTimeDefinition:
      return null;
    case "io.k8s.apimachinery.pkg.apis.meta.v1.Duration":
      return "0s";
    case undefined:
    default:
  }
  switch (schema.type) {
    case "object":
      return schema.properties === undefined ? null : zeroStruct(schema);
    case "string":
      return schema.format === "byte" ? null : "";
    case "integer":
    case "number":
      return 0;
    case "boolean":
      return false;
    case "array":
    case "any":
      return null;
  }
}

export function zeroStruct(schema: TypeSchema): Tree {
  const struct: Tree = {};
  for (const field of alwaysWrittenFields(schema)) struct[field.name] = zeroOf(field);
  return struct;
}

/** True for what `omitempty` leaves out. */
export function isZero(value: unknown): boolean {
  if (value === "" || value === 0 || value === false || value === null) return true;
  if (Array.isArray(value)) return value.length === 0;
  return isTree(value) && Object.keys(value).length === 0;
}

/**
 * Brings a draft whose parts were set by code (defaults, strategies) into the form that Go's codec would write: adds the fields that are
 * always written, drops zeros that are not. Changes the draft in place; a draft already in that form stays as it is.
 */
export function writeZeros(schema: TypeSchema, value: unknown): void {
  if (Array.isArray(value)) {
    const { items } = schema;
    if (items !== undefined && isStructured(items))
      for (const item of value) writeZeros(items, item);
    return;
  }
  if (!isTree(value) || schema.goType === undefined) return;
  if (schema.values !== undefined) {
    if (isStructured(schema.values)) {
      for (const item of Object.values(value)) writeZeros(schema.values, item);
    }
    return;
  }
  const fields = schema.properties;
  if (fields === undefined) return;
  for (const key of Object.keys(value)) {
    const field = fields.get(key);
    if (field === undefined) continue;
    const child = value[key];
    if (
      child === undefined ||
      (!field.alwaysWritten && (field.nullable ? child === null : isZero(child)))
    ) {
      delete value[key];
    } else if (typeof child === "object") {
      writeZeros(field.schema, child);
    }
  }
  for (const field of alwaysWrittenFields(schema)) {
    if (value[field.name] === undefined || (value[field.name] === null && !field.nullable)) {
      value[field.name] = zeroOf(field);
    }
  }
}

function isStructured(schema: TypeSchema): boolean {
  return schema.type === "object" || schema.type === "array";
}
