import type { GroupVersionKind } from "@wherry/machinery";
import { schemaOf } from "./compile-schema.ts";
import { definitionNameOf } from "./definition-table.ts";
import type { TypeSchema } from "./type-schema.ts";

/** Schema of any kind of the built-in table, also of those that are no resources of their own (Binding, Scale, DeleteOptions …). */
export function schemaOfKind({ group, version, kind }: GroupVersionKind): TypeSchema | undefined {
  const definition = definitionNameOf(group, version, kind);
  return definition === undefined ? undefined : schemaOf(definition);
}
