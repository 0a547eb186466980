export type * from "./meta.ts";
export { ApiError } from "./status.ts";
export type { GroupResource, Status, StatusCause, StatusDetails, StatusReason } from "./status.ts";
export type { UserInfo } from "./user.ts";
