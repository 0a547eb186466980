export { canonicalJson } from "./canonical-json.ts";
export type * from "./core.ts";
export { deepFreeze } from "./deep-freeze.ts";
export {
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldNotFound,
  fieldNotSupported,
  fieldRequired,
  fieldTooLong,
  fieldTooMany,
  fieldTypeInvalid,
} from "./field-error.ts";
export { escapeFieldValue, everyField, parseFieldSelector } from "./field-selector.ts";
export type { FieldMatcher, FieldRequirement } from "./field-selector.ts";
export { goQuote, goValue } from "./go-format.ts";
export { formatGroupVersion, parseGroupVersion } from "./group-version.ts";
export type { GroupVersion } from "./group-version.ts";
export { isPercent, scaleIntOrPercent } from "./int-or-string.ts";
export type { IntOrString } from "./int-or-string.ts";
export { applyJsonPatch, jsonPatchOperationsMax } from "./json-patch.ts";
export { isJsonArray, isJsonObject, jsonEqual } from "./json-value.ts";
export {
  everyLabel,
  labelSelectorFrom,
  labelSelectorFromMap,
  noLabel,
  parseLabelSelector,
  requirement,
} from "./label-selector.ts";
export type { LabelMatcher, LabelOperator, LabelRequirement, Labels } from "./label-selector.ts";
export { MachineryError } from "./machinery-error.ts";
export type { MachineryErrorCode } from "./machinery-error.ts";
export { applyMergePatch, createMergePatch } from "./merge-patch.ts";
export type * from "./meta.ts";
export {
  configMapKeyErrors,
  dns1035LabelErrors,
  dnsLabelErrors,
  dnsSubdomainErrors,
  generateName,
  generateNameSuffix,
  labelValueErrors,
  nameIsDnsLabel,
  nameIsDnsSubdomain,
  qualifiedNameErrors,
  safeEncode,
} from "./names.ts";
export {
  controllerOf,
  controllerReference,
  findCondition,
  hasFinalizer,
  isBeingDeleted,
  isControlledBy,
  keyOf,
  objectKey,
  splitKey,
  withAnnotations,
  withCondition,
  withFinalizer,
  withLabels,
  withoutFinalizer,
} from "./object-meta.ts";
export type { ConditionLike } from "./object-meta.ts";
export { hashPodTemplate } from "./pod-template-hash.ts";
export { createProtobufCodec } from "./protobuf.ts";
export type {
  ProtobufCodec,
  ProtobufField,
  ProtobufObject,
  ProtobufTable,
  ProtobufValue,
} from "./protobuf.ts";
export {
  addQuantities,
  canonicalQuantity,
  compareQuantities,
  formatQuantity,
  isQuantity,
  parseQuantity,
  quantityFromMilli,
  quantityFromValue,
  quantityMilliValue,
  quantityValue,
  roundUpToMilli,
  subtractQuantities,
  zeroQuantity,
} from "./quantity.ts";
export type { Quantity, QuantityFormat } from "./quantity.ts";
export { ApiError } from "./status.ts";
export type { GroupResource, Status, StatusCause, StatusDetails, StatusReason } from "./status.ts";
export {
  isAlreadyExists,
  isApiError,
  isConflict,
  isExpired,
  isNotFound,
  modifiedMessage,
  newAlreadyExists,
  newApplyConflict,
  newBadRequest,
  newConflict,
  newExpired,
  newForbidden,
  newGenerateNameConflict,
  newGenericFailure,
  newGone,
  newInternal,
  newInvalid,
  newMethodNotSupported,
  newNotAcceptable,
  newNotFound,
  newRequestEntityTooLarge,
  newServerTimeout,
  newServiceUnavailable,
  newTimeout,
  newTooLargeResourceVersion,
  newTooManyRequests,
  newUnauthorized,
  newUnknownResource,
  newUnsupportedMediaType,
  qualified,
  statusOf,
  successStatus,
} from "./status-errors.ts";
export type { GroupKind } from "./status-errors.ts";
export { applyStrategicMergePatch } from "./strategic-merge-patch.ts";
export type { PatchField, PatchSchema } from "./strategic-merge-patch.ts";
export { formatMicroTime, formatTime, parseTime } from "./time.ts";
export type { UserInfo } from "./user.ts";
export {
  findUntoleratedTaint,
  matchesNodeSelection,
  matchesNodeTerm,
  toleratesTaint,
} from "./node-match.ts";
export { amountsOf, containerRequests, podRequests } from "./pod-requests.ts";
export type { ResourceAmounts } from "./pod-requests.ts";
