/**
 * The logger that libraries and services take. Constant message, data first: `log.info({ revision }, "watch started")`.
 * Errors go under the key `err`. pino satisfies this interface.
 */
export interface Logger {
  debug(data: object, message: string): void;
  debug(message: string): void;
  info(data: object, message: string): void;
  info(message: string): void;
  warn(data: object, message: string): void;
  warn(message: string): void;
  error(data: object, message: string): void;
  error(message: string): void;
  child(bindings: Readonly<Record<string, unknown>>): Logger;
}
