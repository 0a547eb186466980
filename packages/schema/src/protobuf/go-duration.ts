import { MachineryError } from "@wherry/machinery";

/** Nanoseconds of Go's units. */
const units: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  "\u00b5s": 1e3,
  "\u03bcs": 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/** As Go prints a duration: "1h0m0s", "1.5s", "20ms". */
export function durationText(nanos: number): string {
  if (nanos === 0) return "0s";
  const sign = nanos < 0 ? "-" : "";
  const size = Math.abs(nanos);
  if (size < 1e9) {
    const unit = size < 1e3 ? "ns" : size < 1e6 ? "\u00b5s" : "ms";
    return `${sign}${size / units[unit]!}${unit}`;
  }
  const hours = Math.floor(size / 3600e9);
  const minutes = Math.floor((size % 3600e9) / 60e9);
  const rest = Number(((size % 60e9) / 1e9).toFixed(9));
  return `${sign}${hours > 0 ? `${hours}h` : ""}${hours > 0 || minutes > 0 ? `${minutes}m` : ""}${rest}s`;
}

/** Nanoseconds of a duration as Go prints it. Throws `badValue`. */
export function parseDuration(text: string): number {
  const [, sign = "", parts = ""] = /^([+-]?)(.*)$/s.exec(text) ?? [];
  const part = /(\d+(?:\.\d*)?|\.\d+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)/y;
  let nanos = 0;
  while (parts !== "0" && (part.lastIndex < parts.length || parts === "")) {
    const match = part.exec(parts);
    if (match === null)
      throw new MachineryError("badValue", `${JSON.stringify(text)} is not a duration`);
    nanos += Number(match[1]) * (units[match[2] ?? ""] ?? 0);
  }
  return Math.round(sign === "-" ? -nanos : nanos);
}
