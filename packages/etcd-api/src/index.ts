export type * from "./kv.ts";
export { EtcdError, etcdErrors, grpcCode } from "./errors.ts";
export type { GrpcCodeName } from "./errors.ts";
