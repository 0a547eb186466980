/** A volume that cannot be made ready. `code` tells whether waiting can help. */
export class VolumeError extends Error {
  readonly code: "missing" | "invalid" | "unsupported" | "io";

  constructor(code: VolumeError["code"], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "VolumeError";
    this.code = code;
  }
}
