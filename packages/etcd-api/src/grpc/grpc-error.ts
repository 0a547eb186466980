import type { ServiceError, StatusObject } from "@grpc/grpc-js";
import { WireError } from "../codec/wire-reader.ts";
import { EtcdError, grpcCode, type GrpcCodeName } from "../errors.ts";

const codeNames = new Map<number, GrpcCodeName>(
  Object.entries(grpcCode).map(([name, code]) => [code, name as GrpcCodeName]),
);

/** What a call failed with, as the error that an in-process store would throw. */
export function etcdErrorOf(error: ServiceError | StatusObject): EtcdError {
  return new EtcdError(codeNames.get(error.code) ?? "unknown", error.details, { cause: error });
}

/** How a failure travels. Errors that are not etcd's own are the server's fault. */
export function statusOf(error: unknown): { readonly code: number; readonly details: string } {
  if (error instanceof EtcdError) return { code: grpcCode[error.code], details: error.message };
  if (error instanceof WireError)
    return { code: grpcCode.internal, details: `the request cannot be read: ${error.message}` };
  return {
    code: grpcCode.internal,
    details: error instanceof Error ? error.message : String(error),
  };
}
