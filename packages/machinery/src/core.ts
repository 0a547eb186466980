/**
 * The built-in types as the house uses them. They follow the published OpenAPI document: quantities and times are strings; a field that
 * may be absent is optional. `spec` counts as present, since every server fills it in; `status` does not.
 */
export type * from "./types/autoscaling.ts";
export type * from "./types/batch.ts";
export type * from "./types/certificate.ts";
export type * from "./types/container.ts";
export type * from "./types/core-object.ts";
export type * from "./types/endpoint-slice.ts";
export type * from "./types/lease.ts";
export type * from "./types/networking.ts";
export type * from "./types/node.ts";
export type * from "./types/persistent-volume.ts";
export type * from "./types/pod.ts";
export type * from "./types/policy.ts";
export type * from "./types/rbac.ts";
export type * from "./types/review.ts";
export type * from "./types/scheduling.ts";
export type * from "./types/service.ts";
export type * from "./types/storage.ts";
export type * from "./types/volume.ts";
export type * from "./types/workload.ts";
