import { goQuote } from "./go-format.ts";
import { MachineryError } from "./machinery-error.ts";

/** An integer, or a percentage such as "25%" (a port name where ports are meant). */
export type IntOrString = number | string;

/** The number itself, or the percentage of `total` rounded as asked. */
export function scaleIntOrPercent(
  value: IntOrString,
  total: number,
  rounding: "up" | "down",
): number {
  if (typeof value === "number") return value;
  const percent = parsePercent(value);
  const share = (percent * total) / 100;
  return rounding === "up" ? Math.ceil(share) : Math.floor(share);
}

export function isPercent(value: IntOrString): value is string {
  return typeof value === "string" && /^[0-9]+%$/.test(value);
}

function parsePercent(text: string): number {
  if (!text.endsWith("%")) {
    throw new MachineryError(
      "badValue",
      "invalid value for IntOrString: invalid type: string is not a percentage",
    );
  }
  const digits = text.slice(0, -1);
  if (!/^[+-]?[0-9]+$/.test(digits)) {
    throw new MachineryError(
      "badValue",
      `invalid value for IntOrString: invalid value ${goQuote(text)}: strconv.Atoi: parsing ${goQuote(digits)}: invalid syntax`,
    );
  }
  return Number(digits);
}
