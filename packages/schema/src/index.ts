export { builtinResources } from "./builtin-resources.ts";
export { humanDuration } from "./columns/human-duration.ts";
export { schemaOf } from "./compile-schema.ts";
export { decodeObject, decodeValue } from "./decode.ts";
export type { Decoded, DecodeOptions, DecodeTarget, FieldValidation } from "./decode.ts";
export { definitionNameOf } from "./definition-table.ts";
export {
  aggregatedDiscovery,
  coreVersions,
  groupDocument,
  groupList,
  groupNames,
  resourceList,
  versionsOf,
} from "./discovery.ts";
export {
  openApiV2Json,
  openApiV2Protobuf,
  openApiV2ProtobufTypes,
} from "./openapi/openapi-bytes.ts";
export { buildOpenApiV2 } from "./openapi/openapi-v2.ts";
export { encodeOpenApiV2Protobuf } from "./openapi/openapi-v2-protobuf.ts";
export { buildOpenApiV3, openApiV3Hash, openApiV3Index } from "./openapi/openapi-v3.ts";
export {
  createProtobufList,
  decodeKubernetesProtobuf,
  encodeKubernetesProtobuf,
  encodeProtobufWatchEvent,
  hasProtobufForm,
} from "./protobuf/kubernetes-protobuf.ts";
export type { ProtobufDecoded, ProtobufIdentity } from "./protobuf/kubernetes-protobuf.ts";
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
export { compareVersions } from "./version-order.ts";
