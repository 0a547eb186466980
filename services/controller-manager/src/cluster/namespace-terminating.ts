import { ApiError } from "@wherry/machinery";

/** True for a refusal to create something in a namespace that is being deleted: there is no point in trying again. */
export function isNamespaceTerminating(error: unknown): boolean {
  return (
    error instanceof ApiError &&
    (error.status.details?.causes ?? []).some((cause) => cause.reason === "NamespaceTerminating")
  );
}
