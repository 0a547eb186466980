import { ApiError } from "@wherry/machinery";

/** 401 as upstream answers it: what was wrong with the credentials stays in `cause`, for the log, and is not told to the caller. */
export function unauthorized(reason: string, cause?: unknown): ApiError {
  return new ApiError(
    {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message: "Unauthorized",
      reason: "Unauthorized",
      code: 401,
    },
    { cause: cause ?? new Error(reason) },
  );
}
