export type NetworkErrorCode =
  /** An address, CIDR or interface name that cannot be used. */
  | "invalid-address"
  /** The program is not installed (`ip`, `bridge`, `nft`, `conntrack` …). */
  | "command-not-found"
  /** The program ended with a non-zero code; its message is part of ours. */
  | "command-failed"
  | "command-timed-out"
  | "command-aborted"
  /** More commands wait than the runner's bound allows. */
  | "overloaded"
  /** A DNS message or a program's output that does not follow its format. */
  | "malformed"
  /** The machine lacks what is needed (no default route, no usable interface …). */
  | "unsupported-machine";

/** The operating errors of this package. Callers branch on `code`. */
export class NetworkError extends Error {
  readonly code: NetworkErrorCode;

  constructor(code: NetworkErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "NetworkError";
    this.code = code;
  }
}
