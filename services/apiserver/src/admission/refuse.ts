import { ApiError, newForbidden, type StatusCause } from "@wherry/machinery";
import type { AdmissionRequest } from "../chain.ts";

/** 403 as upstream's admission.NewForbidden words it, for the object that the request is about. */
export function admissionForbidden(
  request: AdmissionRequest,
  why: string,
  causes: readonly StatusCause[] = [],
): ApiError {
  const { group, resource } = request.definition;
  const error = newForbidden({ group, resource }, nameInRequest(request), why);
  return causes.length === 0
    ? error
    : new ApiError({ ...error.status, details: { ...error.status.details, causes } });
}

/** The name may not have been made yet; then what it will begin with stands for it. */
export function nameInRequest(request: AdmissionRequest): string {
  if (request.name !== "") return request.name;
  const metadata = (request.draft?.metadata ?? {}) as {
    readonly name?: string;
    readonly generateName?: string;
  };
  return metadata.name || metadata.generateName || "Unknown";
}
