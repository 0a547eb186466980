export type ContainerdErrorCode =
  | "notInstalled"
  | "startFailed"
  | "socketInUse"
  | "unsupportedVersion"
  | "stopFailed";

/** Why the managed containerd could not be run. The message says what to do. */
export class ContainerdError extends Error {
  readonly code: ContainerdErrorCode;

  constructor(code: ContainerdErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "ContainerdError";
    this.code = code;
  }
}
