export type * from "./api-client.ts";
export type * from "./informer.ts";
export type * from "./transport.ts";
