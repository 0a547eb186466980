/**
 * Why no usable answer came.
 * - `aborted`: the caller's signal.
 * - `unreachable`: no connection, or it broke before an answer.
 * - `interrupted`: the answer's body broke off.
 * - `badAnswer`: the answer is not what the protocol says.
 * - `badCredentials`: a certificate, key or token file cannot be read.
 */
export type TransportErrorCode =
  | "aborted"
  | "unreachable"
  | "interrupted"
  | "badAnswer"
  | "badCredentials";

export class TransportError extends Error {
  readonly code: TransportErrorCode;

  constructor(code: TransportErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "TransportError";
    this.code = code;
  }
}

/** Any rejection of a transport as a TransportError; an aborted signal decides first. */
export function transportErrorFrom(
  error: unknown,
  code: "unreachable" | "interrupted",
  signal: AbortSignal | undefined,
): TransportError {
  if (error instanceof TransportError) return error;
  const message = error instanceof Error ? error.message : String(error);
  if (signal?.aborted === true)
    return new TransportError("aborted", "the request was aborted", { cause: error });
  return new TransportError(code, `the API server gave no complete answer: ${message}`, {
    cause: error,
  });
}

export function isAborted(error: unknown): boolean {
  return error instanceof TransportError && error.code === "aborted";
}
