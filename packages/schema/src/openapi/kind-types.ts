import { schemaOf } from "../compile-schema.ts";
import { definitionNameOf, definitionNode } from "../definition-table.ts";
import type { ResourceDefinition } from "../resource.ts";
import type { FieldSchema, TypeSchema } from "../type-schema.ts";

export interface GroupVersionKindDocument {
  readonly [key: string]: string;
  readonly group: string;
  readonly kind: string;
  readonly version: string;
}

export const metaPrefix = "io.k8s.apimachinery.pkg.apis.meta.v1";

/** The named types of a resource: its kind and its list. Custom resources get names as upstream gives them ("com.example.v1.Widget"). */
export interface KindTypes {
  readonly object: TypeSchema;
  readonly list: TypeSchema;
}

const customTypes = new WeakMap<ResourceDefinition, KindTypes>();

export function kindTypes(definition: ResourceDefinition): KindTypes {
  const listName = definitionNameOf(definition.group, definition.version, definition.listKind);
  if (
    definition.schema.definition !== undefined &&
    definitionNode(definition.schema.definition) !== undefined
  ) {
    const object = definition.schema;
    return { object, list: listName === undefined ? object : schemaOf(listName) };
  }
  const known = customTypes.get(definition);
  if (known !== undefined) return known;
  const prefix = [...definition.group.split(".").reverse(), definition.version].join(".");
  const object = named(definition.schema, `${prefix}.${definition.kind}`);
  const types = { object, list: listOf(object, `${prefix}.${definition.listKind}`) };
  customTypes.set(definition, types);
  return types;
}

/** Group, version and kind that a definition carries in the document. */
export function kindsOf(
  name: string,
  customKinds: ReadonlyMap<string, GroupVersionKindDocument>,
): readonly GroupVersionKindDocument[] {
  const custom = customKinds.get(name);
  if (custom !== undefined) return [custom];
  const { gvk } = definitionNode(name) ?? {};
  return (gvk ?? []).map(([group, version, kind]) => ({ group, kind, version }));
}

function named(schema: TypeSchema, definition: string): TypeSchema {
  const { properties, values, items } = schema;
  return {
    ...schema,
    definition,
    ...(properties === undefined ? {} : { properties }),
    ...(values === undefined ? {} : { values }),
    ...(items === undefined ? {} : { items }),
  };
}

function listOf(object: TypeSchema, definition: string): TypeSchema {
  const text: TypeSchema = { type: "string" };
  const field = (name: string, schema: TypeSchema, required = false): [string, FieldSchema] => [
    name,
    { name, required, schema },
  ];
  return {
    type: "object",
    definition,
    properties: new Map([
      field("apiVersion", text),
      field("items", { type: "array", items: object }, true),
      field("kind", text),
      field("metadata", schemaOf(`${metaPrefix}.ListMeta`)),
    ]),
  };
}
