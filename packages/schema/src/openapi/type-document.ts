import type { Json, JsonObject } from "@wherry/machinery";
import { intOrStringDefinition, quantityDefinition } from "../compile-schema.ts";
import { definitionNode } from "../definition-table.ts";
import type { FieldSchema, TypeSchema } from "../type-schema.ts";

/** Version 2 and version 3 differ in where definitions lie and in how a value of several types is described. */
export type Flavour = "v2" | "v3";

const referencePrefix: Readonly<Record<Flavour, string>> = {
  v2: "#/definitions/",
  v3: "#/components/schemas/",
};

export function referenceTo(name: string, flavour: Flavour): JsonObject {
  return { $ref: referencePrefix[flavour] + name };
}

/** A type where it is used: a reference if it has a name, else its description in place. */
export function typeDocument(schema: TypeSchema, flavour: Flavour): JsonObject {
  return schema.definition === undefined
    ? definitionDocument(schema, flavour)
    : referenceTo(schema.definition, flavour);
}

/** The description of a type itself. */
export function definitionDocument(schema: TypeSchema, flavour: Flavour): JsonObject {
  const special = specialDocument(schema, flavour);
  if (special !== undefined) return special;
  const document: { [key: string]: Json } = {};
  if (schema.type !== "any") document["type"] = schema.type;
  if (schema.format !== undefined) document["format"] = schema.format;
  if (schema.enum !== undefined) document["enum"] = [...schema.enum];
  if (schema.items !== undefined) document["items"] = typeDocument(schema.items, flavour);
  if (schema.values !== undefined)
    document["additionalProperties"] = typeDocument(schema.values, flavour);
  addProperties(document, schema, flavour);
  if (schema.listType !== undefined) document["x-kubernetes-list-type"] = schema.listType;
  if (schema.listMapKeys !== undefined)
    document["x-kubernetes-list-map-keys"] = [...schema.listMapKeys];
  if (schema.mapType !== undefined) document["x-kubernetes-map-type"] = schema.mapType;
  if (schema.goType === undefined && schema.preservesUnknownFields === true) {
    document["x-kubernetes-preserve-unknown-fields"] = true;
  }
  if (schema.goType === undefined && schema.intOrString === true)
    document["x-kubernetes-int-or-string"] = true;
  const unions = schema.definition === undefined ? undefined : definitionNode(schema.definition)?.u;
  if (unions !== undefined) document["x-kubernetes-unions"] = unions as Json;
  return document;
}

/** Named types that a type uses, itself included, with what they use in turn. */
export function collectTypes(schema: TypeSchema, into: Map<string, TypeSchema>): void {
  if (schema.definition !== undefined) {
    if (into.has(schema.definition)) return;
    into.set(schema.definition, schema);
  }
  if (schema.items !== undefined) collectTypes(schema.items, into);
  if (schema.values !== undefined) collectTypes(schema.values, into);
  for (const field of schema.properties?.values() ?? []) collectTypes(field.schema, into);
}

function addProperties(
  document: { [key: string]: Json },
  schema: TypeSchema,
  flavour: Flavour,
): void {
  const { properties } = schema;
  if (properties === undefined || properties.size === 0) return;
  const required = [...properties.values()]
    .filter((field) => field.required)
    .map((field) => field.name);
  if (required.length > 0) document["required"] = required;
  const fields: { [key: string]: Json } = {};
  for (const field of properties.values()) fields[field.name] = fieldDocument(field, flavour);
  document["properties"] = fields;
}

function fieldDocument(field: FieldSchema, flavour: Flavour): JsonObject {
  const document: { [key: string]: Json | undefined } = { ...typeDocument(field.schema, flavour) };
  if (field.default !== undefined && flavour === "v3" && document["$ref"] === undefined) {
    document["default"] = field.default;
  }
  // A field may say of a shared type that it is merged as a whole.
  if (document["$ref"] !== undefined && field.schema.mapType !== definitionMapType(field.schema)) {
    document["x-kubernetes-map-type"] = field.schema.mapType;
  }
  if (field.patchMergeKey !== undefined)
    document["x-kubernetes-patch-merge-key"] = field.patchMergeKey;
  if (field.patchStrategy !== undefined)
    document["x-kubernetes-patch-strategy"] = field.patchStrategy.join(",");
  return document;
}

function definitionMapType(schema: TypeSchema): string | undefined {
  return schema.definition === undefined ? undefined : definitionNode(schema.definition)?.mt;
}

/** Types that are more than one thing in JSON. */
function specialDocument(schema: TypeSchema, flavour: Flavour): JsonObject | undefined {
  if (schema.definition === intOrStringDefinition) {
    return flavour === "v2"
      ? { type: "string", format: "int-or-string" }
      : { format: "int-or-string", oneOf: [{ type: "integer" }, { type: "string" }] };
  }
  if (schema.definition === quantityDefinition && flavour === "v3") {
    return { oneOf: [{ type: "string" }, { type: "number" }] };
  }
  // Free-form objects keep the word in the table ("object") although they decode as anything.
  if (schema.type === "any" && schema.definition !== undefined) {
    const type = definitionNode(schema.definition)?.t;
    return type === undefined ? {} : { type };
  }
  return undefined;
}
