import type { LoggerOptions } from "pino";

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

export type LogLevel = "debug" | "info" | "warn" | "error";
export type LogFormat = "text" | "json";

export interface LoggerConfig {
  readonly level: LogLevel;
  readonly format: LogFormat;
  /** File descriptor; 2 (stderr) by default. */
  readonly fd?: number;
}

/** Discards everything. */
export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLogger,
};

/**
 * A logger on a file descriptor. `json` is pino's own form; `text` is one line a record in logrus' style, as K3s writes it
 * (`time="…" level=info msg="…" key=value`), which its users' tools parse.
 */
export async function createLogger(config: LoggerConfig): Promise<Logger> {
  const { default: pino } = await import("pino");
  const destination = pino.destination({ fd: config.fd ?? 2, sync: true });
  const options: LoggerOptions = { level: config.level, base: null };
  if (config.format === "json")
    return pino({ ...options, timestamp: pino.stdTimeFunctions.isoTime }, destination);
  return pino(
    { ...options, timestamp: false },
    { write: (line: string) => destination.write(textLine(line)) },
  );
}

const LEVEL_NAMES: Readonly<Record<number, string>> = {
  20: "debug",
  30: "info",
  40: "warning",
  50: "error",
};

/** Turns one of pino's JSON lines into a text line. Exported for tests. */
export function textLine(line: string, now: Date = new Date()): string {
  const { level, msg, ...rest } = JSON.parse(line) as { level: number; msg?: string } & Record<
    string,
    unknown
  >;
  const fields = Object.entries(rest).map(([key, value]) => ` ${key}=${textValue(value)}`);
  const time = now.toISOString().replace(/\.\d+Z$/, "Z");
  return `time="${time}" level=${LEVEL_NAMES[level] ?? "info"} msg=${JSON.stringify(msg ?? "")}${fields.join("")}\n`;
}

function textValue(value: unknown): string {
  if (typeof value === "object" && value !== null && "message" in value)
    return JSON.stringify(value.message);
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return /^[\w./:@+-]+$/.test(text) ? text : JSON.stringify(text);
}
