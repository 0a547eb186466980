export { builtinResources } from "./builtin-resources.ts";
export { decodeObject, decodeValue } from "./decode.ts";
export type { Decoded, DecodeOptions, DecodeTarget, FieldValidation } from "./decode.ts";
export { schemaOfKind } from "./kind-schema.ts";
export { createResourceRegistry } from "./registry.ts";
export type { ResourceRegistry } from "./registry.ts";
export type {
  Draft,
  ResourceDefinition,
  ResourceStrategy,
  StrategyContext,
  SubresourceDefinition,
  TableColumn,
  VersionConversion,
} from "./resource.ts";
export type { FieldSchema, TypeSchema } from "./type-schema.ts";
