import type { Json } from "@wherry/machinery";
import { definitionNode, type DefinitionNode } from "./definition-table.ts";
import type { FieldSchema, TypeSchema } from "./type-schema.ts";

const compiled = new Map<string, TypeSchema>();

/** Definitions whose values are free-form JSON, or one of several types, whatever the table says of them. */
const freeForm = new Set([
  "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray",
  "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool",
  "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray",
  "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
  "io.k8s.apimachinery.pkg.runtime.RawExtension",
  "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON",
]);

export const quantityDefinition = "io.k8s.apimachinery.pkg.api.resource.Quantity";
export const timeDefinition = "io.k8s.apimachinery.pkg.apis.meta.v1.Time";
export const microTimeDefinition = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime";
export const intOrStringDefinition = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";

/** Schema of a definition of the built-in table. Schemas are shared: the same name gives the same value. */
export function schemaOf(definition: string): TypeSchema {
  const known = compiled.get(definition);
  if (known !== undefined) return known;
  const node = definitionNode(definition);
  if (node === undefined) throw new Error(`no definition is named ${definition}`);
  const schema = createSchema(node, definition, undefined);
  compiled.set(definition, schema);
  return schema;
}

/** What every type has; fields that do not apply are absent, not undefined. */
class TableSchema implements TypeSchema {
  readonly type: TypeSchema["type"];
  declare readonly definition?: string;
  declare readonly format?: string;
  declare readonly intOrString?: boolean;
  declare readonly preservesUnknownFields?: boolean;
  declare readonly listType?: "atomic" | "set" | "map";
  declare readonly listMapKeys?: readonly string[];
  declare readonly mapType?: "atomic" | "granular";
  declare readonly enum?: readonly string[];
  readonly goType: string;

  constructor(
    type: TypeSchema["type"],
    node: DefinitionNode,
    definition: string | undefined,
    goType: string,
  ) {
    this.type = type;
    this.goType = goType;
    const optional = this as { -readonly [K in keyof TypeSchema]: TypeSchema[K] };
    if (definition !== undefined) optional.definition = definition;
    if (definition === intOrStringDefinition) optional.intOrString = true;
    else if (type === "any") optional.preservesUnknownFields = true;
    if (node.f !== undefined) optional.format = node.f;
    if (node.lt !== undefined) optional.listType = node.lt;
    if (node.lk !== undefined) optional.listMapKeys = node.lk;
    if (node.mt !== undefined) optional.mapType = node.mt;
    if (node.e !== undefined) optional.enum = node.e;
  }
}

class StructSchema extends TableSchema {
  readonly #node: DefinitionNode;
  #properties: ReadonlyMap<string, FieldSchema> | undefined;

  constructor(node: DefinitionNode, definition: string | undefined, goType: string) {
    super("object", node, definition, goType);
    this.#node = node;
  }

  get properties(): ReadonlyMap<string, FieldSchema> {
    if (this.#properties !== undefined) return this.#properties;
    const required = new Set(this.#node.q);
    const fields = new Map<string, FieldSchema>();
    for (const [name, node] of Object.entries(this.#node.p ?? {})) {
      fields.set(name, compileField(name, node, required.has(name)));
    }
    this.#properties = fields;
    return fields;
  }
}

class ListSchema extends TableSchema {
  readonly #item: DefinitionNode;
  #items: TypeSchema | undefined;

  constructor(
    node: DefinitionNode,
    item: DefinitionNode,
    definition: string | undefined,
    goType: string,
  ) {
    super("array", node, definition, goType);
    this.#item = item;
  }

  get items(): TypeSchema {
    this.#items ??= compileNode(this.#item, this.goType.replace(/^\[\]\*?/, ""));
    return this.#items;
  }
}

class MapSchema extends TableSchema {
  readonly #value: DefinitionNode;
  #values: TypeSchema | undefined;

  constructor(
    node: DefinitionNode,
    value: DefinitionNode,
    definition: string | undefined,
    goType: string,
  ) {
    super("object", node, definition, goType);
    this.#value = value;
  }

  get values(): TypeSchema {
    const isSpelledOut = this.goType.startsWith("map[");
    this.#values ??= compileNode(
      this.#value,
      isSpelledOut ? this.goType.replace(/^map\[[^\]]*\]/, "") : undefined,
    );
    return this.#values;
  }
}

function createSchema(
  node: DefinitionNode,
  definition: string | undefined,
  givenGoType: string | undefined,
): TypeSchema {
  const goType = givenGoType ?? goTypeOf(node, definition);
  const isOpaque =
    definition === intOrStringDefinition || (definition !== undefined && freeForm.has(definition));
  if (isOpaque || node.t === undefined) return new TableSchema("any", node, definition, goType);
  if (node.i !== undefined) return new ListSchema(node, node.i, definition, goType);
  if (node.ap !== undefined) return new MapSchema(node, node.ap, definition, goType);
  if (node.t === "object") return new StructSchema(node, definition, goType);
  return new TableSchema(node.t as TypeSchema["type"], node, definition, goType);
}

function compileField(name: string, node: DefinitionNode, required: boolean): FieldSchema {
  return {
    name,
    required,
    schema: compileNode(node, node.g),
    ...(node.ps === undefined ? {} : { patchStrategy: node.ps.split(",") }),
    ...(node.pk === undefined ? {} : { patchMergeKey: node.pk }),
    ...(node.n === undefined ? {} : { nullable: true }),
    ...(node.z === undefined ? {} : { alwaysWritten: true }),
    ...(node.d === undefined ? {} : { default: node.d as Json }),
  };
}

function compileNode(node: DefinitionNode, goType: string | undefined): TypeSchema {
  if (node.r === undefined) return createSchema(node, undefined, goType);
  const target = schemaOf(node.r);
  // A field may say of a shared type that it is merged as a whole.
  if (node.mt === undefined || node.mt === target.mapType) return target;
  return createSchema({ ...definitionNode(node.r), mt: node.mt }, node.r, undefined);
}

function goTypeOf(node: DefinitionNode, definition: string | undefined): string {
  if (definition !== undefined) return definition.split(".").slice(-2).join(".");
  if (node.r !== undefined) return node.r.split(".").slice(-2).join(".");
  if (node.i !== undefined) return `[]${node.i.g ?? goTypeOf(node.i, undefined)}`;
  if (node.ap !== undefined) return `map[string]${node.ap.g ?? goTypeOf(node.ap, undefined)}`;
  if (node.t === "integer") return node.f ?? "int";
  if (node.t === "boolean") return "bool";
  if (node.t === "number") return "float64";
  return node.f === "byte" ? "[]uint8" : "string";
}
