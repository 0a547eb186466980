/**
 * What is wrong with a value that this package was asked to read. `statusOf` turns it into the answer that upstream gives.
 * - `badValue`: text that does not parse (selector, quantity, time, group/version, name).
 * - `badPatch`: a patch document of the wrong form.
 * - `patchNotApplicable`: a well-formed JSON patch that does not fit the object.
 * - `patchFailed`: a strategic merge patch that upstream fails with 500.
 * - `badMessage`: bytes that are not the protobuf message they should be.
 */
export type MachineryErrorCode =
  | "badValue"
  | "badPatch"
  | "patchNotApplicable"
  | "patchFailed"
  | "badMessage";

export class MachineryError extends Error {
  readonly code: MachineryErrorCode;

  constructor(code: MachineryErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "MachineryError";
    this.code = code;
  }
}
