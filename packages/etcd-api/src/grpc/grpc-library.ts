import type * as grpcLibrary from "@grpc/grpc-js";

export type Grpc = typeof grpcLibrary;

/** Loaded when first needed. It would write to stderr by itself; what matters reaches callers as errors. */
export async function loadGrpc(): Promise<Grpc> {
  const grpc = await import("@grpc/grpc-js");
  grpc.setLogVerbosity(grpc.logVerbosity.NONE);
  return grpc;
}
