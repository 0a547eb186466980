import { RuntimeError } from "@wherry/cri-api";

/** As Go prints a gRPC status: `rpc error: code = NotFound desc = …`, which is what users know from pull failures. */
export function grpcErrorText(error: unknown): string {
  if (!(error instanceof RuntimeError)) return errorText(error);
  const code = error.code.charAt(0).toUpperCase() + error.code.slice(1);
  return `rpc error: code = ${code} desc = ${error.message}`;
}

export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The runtime does not know the object any more, which is what a removal wants. */
export function isGone(error: unknown): boolean {
  return error instanceof RuntimeError && error.code === "notFound";
}
