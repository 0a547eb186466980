import { goQuote } from "./go-format.ts";
import { MachineryError } from "./machinery-error.ts";
import { ApiError } from "./status.ts";
import type { GroupResource, Status, StatusCause, StatusDetails, StatusReason } from "./status.ts";

/** Group and kind as Invalid answers name them: `Deployment.apps`. */
export interface GroupKind {
  readonly group: string;
  readonly kind: string;
}

export const modifiedMessage =
  "the object has been modified; please apply your changes to the latest version and try again";

export function newNotFound(resource: GroupResource, name: string): ApiError {
  const message = `${qualified(resource)} ${goQuote(name)} not found`;
  return failure(404, "NotFound", message, detailsOf(resource, name));
}

export function newAlreadyExists(resource: GroupResource, name: string): ApiError {
  const message = `${qualified(resource)} ${goQuote(name)} already exists`;
  return failure(409, "AlreadyExists", message, detailsOf(resource, name));
}

export function newGenerateNameConflict(
  resource: GroupResource,
  name: string,
  retryAfterSeconds: number,
): ApiError {
  const message = `${qualified(resource)} ${goQuote(name)} already exists, the server was not able to generate a unique name for the object`;
  return failure(409, "AlreadyExists", message, {
    ...detailsOf(resource, name),
    retryAfterSeconds,
  });
}

export function newUnauthorized(message = ""): ApiError {
  return failure(401, "Unauthorized", message === "" ? "not authorized" : message);
}

export function newForbidden(resource: GroupResource, name: string, why: string): ApiError {
  let message = `${qualified(resource)} ${goQuote(name)} is forbidden: ${why}`;
  if (isEmpty(resource)) message = `forbidden: ${why}`;
  else if (name === "") message = `${qualified(resource)} is forbidden: ${why}`;
  return failure(403, "Forbidden", message, detailsOf(resource, name));
}

export function newConflict(
  resource: GroupResource,
  name: string,
  why = modifiedMessage,
): ApiError {
  const message = `Operation cannot be fulfilled on ${qualified(resource)} ${goQuote(name)}: ${why}`;
  return failure(409, "Conflict", message, detailsOf(resource, name));
}

/** Conflicts of server-side apply. */
export function newApplyConflict(causes: readonly StatusCause[], message: string): ApiError {
  return failure(409, "Conflict", message, { causes });
}

export function newGone(message: string): ApiError {
  return failure(410, "Gone", message);
}

/** The resourceVersion asked for has been compacted: the client lists again. */
export function newExpired(message: string): ApiError {
  return failure(410, "Expired", message);
}

export function newInvalid(
  kind: GroupKind,
  name: string,
  causes: readonly StatusCause[],
): ApiError {
  const head = `${kind.group === "" ? kind.kind : `${kind.kind}.${kind.group}`} ${goQuote(name)} is invalid`;
  const texts = [...new Set(causes.map((cause) => `${cause.field ?? ""}: ${cause.message ?? ""}`))];
  const tail = texts.length > 1 ? `[${texts.join(", ")}]` : texts[0];
  const details = detailsOf({ group: kind.group, resource: kind.kind }, name);
  return failure(
    422,
    "Invalid",
    tail === undefined ? head : `${head}: ${tail}`,
    causes.length === 0 ? details : { ...details, causes },
  );
}

export function newBadRequest(message: string): ApiError {
  return failure(400, "BadRequest", message);
}

export function newTooManyRequests(message: string, retryAfterSeconds: number): ApiError {
  return failure(429, "TooManyRequests", message, retryAfter(retryAfterSeconds));
}

export function newServiceUnavailable(message: string): ApiError {
  return failure(503, "ServiceUnavailable", message);
}

export function newMethodNotSupported(resource: GroupResource, action: string): ApiError {
  const message = `${action} is not supported on resources of kind ${goQuote(qualified(resource))}`;
  return failure(405, "MethodNotAllowed", message, detailsOf(resource, ""));
}

export function newServerTimeout(
  resource: GroupResource,
  operation: string,
  retryAfterSeconds: number,
): ApiError {
  const message = `The ${operation} operation against ${qualified(resource)} could not be completed at this time, please try again.`;
  return failure(500, "ServerTimeout", message, {
    ...detailsOf(resource, operation),
    ...retryAfter(retryAfterSeconds),
  });
}

export function newInternal(message: string): ApiError {
  return failure(500, "InternalError", `Internal error occurred: ${message}`, {
    causes: [{ message }],
  });
}

export function newTimeout(message: string, retryAfterSeconds: number): ApiError {
  return failure(504, "Timeout", `Timeout: ${message}`, retryAfter(retryAfterSeconds));
}

/** The resourceVersion asked for lies ahead of the server; the client waits and tries again. */
export function newTooLargeResourceVersion(
  requested: string,
  current: string,
  retryAfterSeconds: number,
): ApiError {
  const message = `Timeout: Too large resource version: ${requested}, current: ${current}`;
  const causes = [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }];
  return failure(504, "Timeout", message, { causes, ...retryAfter(retryAfterSeconds) });
}

export function newRequestEntityTooLarge(message: string): ApiError {
  return failure(413, "RequestEntityTooLarge", `Request entity too large: ${message}`);
}

export function newNotAcceptable(accepted: readonly string[]): ApiError {
  const message = `only the following media types are accepted: ${accepted.join(", ")}`;
  return failure(406, "NotAcceptable", message);
}

export function newUnsupportedMediaType(accepted: readonly string[]): ApiError {
  const message = `the body of the request was in an unknown format - accepted media types include: ${accepted.join(", ")}`;
  return failure(415, "UnsupportedMediaType", message);
}

/** The answer for a path or a resource that is not served at all. */
export function newUnknownResource(): ApiError {
  return failure(404, "NotFound", "the server could not find the requested resource", {});
}

/** A failure that upstream answers without a reason of its own (generic server response), by HTTP status code. */
export function newGenericFailure(code: number, serverMessage = ""): ApiError {
  const known = generic[code];
  if (known !== undefined)
    return failure(code, known[0], known[1] === "" ? serverMessage : known[1], {});
  if (code >= 500) {
    const message = `an error on the server (${goQuote(serverMessage)}) has prevented the request from succeeding`;
    return failure(code, "InternalError", message, {});
  }
  const message = `the server responded with the status code ${code} but did not return more information`;
  return failure(code, "", message, {});
}

/** The Status that answers for any thrown value. What is not an operating error of the API becomes a 500 without reason. */
export function statusOf(error: unknown): Status {
  if (error instanceof ApiError) return error.status;
  const message = error instanceof Error ? error.message : String(error);
  if (!(error instanceof MachineryError)) return failure(500, "", message).status;
  switch (error.code) {
    case "badValue":
    case "badPatch":
    case "badMessage":
      return newBadRequest(message).status;
    case "patchNotApplicable":
      return newGenericFailure(422, message).status;
    case "patchFailed":
      return failure(500, "", message).status;
  }
}

export function isApiError(error: unknown, reason?: StatusReason): error is ApiError {
  return error instanceof ApiError && (reason === undefined || error.reason === reason);
}

export function isNotFound(error: unknown): error is ApiError {
  return (
    error instanceof ApiError &&
    (error.reason === "NotFound" || (error.reason === "" && error.code === 404))
  );
}

export function isConflict(error: unknown): error is ApiError {
  return (
    error instanceof ApiError &&
    (error.reason === "Conflict" || (error.reason === "" && error.code === 409))
  );
}

export function isAlreadyExists(error: unknown): error is ApiError {
  return isApiError(error, "AlreadyExists");
}

/** True for both forms of 410: the watch or the continue token is too old. */
export function isExpired(error: unknown): error is ApiError {
  return (
    error instanceof ApiError &&
    (error.reason === "Expired" || error.reason === "Gone" || error.code === 410)
  );
}

/** `pods`, `deployments.apps`. */
export function qualified(resource: GroupResource): string {
  return resource.group === "" ? resource.resource : `${resource.resource}.${resource.group}`;
}

/** The Status that answers for a successful deletion. */
export function successStatus(details: StatusDetails): Status {
  return { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", details };
}

const generic: Readonly<Record<number, readonly [StatusReason, string]>> = {
  400: ["BadRequest", "the server rejected our request for an unknown reason"],
  401: ["Unauthorized", "the server has asked for the client to provide credentials"],
  403: ["Forbidden", ""],
  404: ["NotFound", "the server could not find the requested resource"],
  405: ["MethodNotAllowed", "the server does not allow this method on the requested resource"],
  406: [
    "NotAcceptable",
    "the server was unable to respond with a content type that the client supports",
  ],
  409: ["Conflict", "the server reported a conflict"],
  415: ["UnsupportedMediaType", ""],
  422: ["Invalid", "the server rejected our request due to an error in our request"],
  429: [
    "TooManyRequests",
    "the server has received too many requests and has asked us to try again later",
  ],
  503: ["ServiceUnavailable", "the server is currently unable to handle the request"],
  504: [
    "Timeout",
    "the server was unable to return a response in the time allotted, but may still be processing the request",
  ],
};

function failure(
  code: number,
  reason: StatusReason,
  message: string,
  details?: StatusDetails,
): ApiError {
  return new ApiError({
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message,
    ...(reason === "" ? {} : { reason }),
    ...(details === undefined ? {} : { details }),
    code,
  });
}

function detailsOf(resource: GroupResource, name: string): StatusDetails {
  return {
    ...(name === "" ? {} : { name }),
    ...(resource.group === "" ? {} : { group: resource.group }),
    ...(resource.resource === "" ? {} : { kind: resource.resource }),
  };
}

function retryAfter(seconds: number): StatusDetails {
  return seconds > 0 ? { retryAfterSeconds: seconds } : {};
}

function isEmpty(resource: GroupResource): boolean {
  return resource.group === "" && resource.resource === "";
}
