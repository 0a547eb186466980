import { EtcdError } from "@wherry/etcd-api";
import {
  ApiError,
  newExpired,
  newRequestEntityTooLarge,
  newServerTimeout,
} from "@wherry/machinery";
import type { ResourceId } from "./object-store.ts";

const expiredText = "The resourceVersion for the provided watch is too old.";

/** What a client is told when the store failed. Everything but EtcdError is given back as it is. */
export function apiErrorOfStore(error: unknown, resource: ResourceId, operation: string): unknown {
  if (!(error instanceof EtcdError)) return error;
  if (isCompacted(error)) return newExpired(expiredText);
  if (error.message === "etcdserver: request is too large")
    return newRequestEntityTooLarge(error.message);
  if (error.code === "unavailable" || error.code === "deadlineExceeded")
    return newServerTimeout(resource, operation, 1);
  return new ApiError(
    {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message: error.message,
      code: 500,
    },
    { cause: error },
  );
}

export function isCompacted(error: unknown): boolean {
  return (
    error instanceof EtcdError &&
    error.code === "outOfRange" &&
    error.message.includes("has been compacted")
  );
}

export function isFutureRevision(error: unknown): boolean {
  return (
    error instanceof EtcdError &&
    error.code === "outOfRange" &&
    error.message.includes("future revision")
  );
}
