export type { Draft, ResourceDefinition, ResourceStrategy, StrategyContext, SubresourceDefinition, TableColumn } from "./resource.ts";
export type { FieldSchema, TypeSchema } from "./type-schema.ts";
