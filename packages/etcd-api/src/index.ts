export type * from "./kv.ts";
export { EtcdError, etcdErrors, grpcCode } from "./errors.ts";
export type { GrpcCodeName } from "./errors.ts";
export type { TlsMaterial } from "./grpc/endpoint.ts";
export { createGrpcStore } from "./grpc/grpc-store.ts";
export type { GrpcStore, GrpcStoreOptions } from "./grpc/grpc-store.ts";
export { serveStore } from "./grpc/serve-store.ts";
export type { ServeStoreOptions, StoreServer } from "./grpc/serve-store.ts";
