import { MachineryError } from "./machinery-error.ts";

/**
 * resource.Quantity: an exact amount in billionths, with the family of suffixes it is printed in. Amounts finer than a billionth are
 * rounded away from zero when parsed.
 */
export interface Quantity {
  readonly nanos: bigint;
  readonly format: QuantityFormat;
}

/** `DecimalSI`: n u m "" k M G T P E. `BinarySI`: Ki Mi Gi Ti Pi Ei. `DecimalExponent`: e3, e-9 … */
export type QuantityFormat = "DecimalSI" | "BinarySI" | "DecimalExponent";

export const zeroQuantity: Quantity = { nanos: 0n, format: "DecimalSI" };

const nano = 1_000_000_000n;
/** Binary amounts are capped here, as upstream does. */
const int64Max = 2n ** 63n - 1n;
/** Decimal amounts are capped at 10^decimalExponentMax; it keeps hostile exponents from filling the memory. */
const decimalExponentMax = 36;
const textLengthMax = 512;

const pattern = /^([+-]?)([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*)([-+]?[0-9]*)$/;
const binarySuffixes = new Map([
  ["Ki", 10n],
  ["Mi", 20n],
  ["Gi", 30n],
  ["Ti", 40n],
  ["Pi", 50n],
  ["Ei", 60n],
]);
const decimalSuffixes = new Map([
  ["n", -9],
  ["u", -6],
  ["m", -3],
  ["", 0],
  ["k", 3],
  ["M", 6],
  ["G", 9],
  ["T", 12],
  ["P", 15],
  ["E", 18],
]);
const suffixOfExponent = new Map(
  [...decimalSuffixes].map(([suffix, exponent]) => [exponent, suffix]),
);

/** Parses what manifests hold: "500m", "1.5Gi", "1e3", or a bare number. Errors carry upstream's texts (code `badValue`). */
export function parseQuantity(value: string | number): Quantity {
  const text = String(value);
  const match = text.length > textLengthMax ? null : pattern.exec(text);
  const [, sign = "", whole = "", fraction = "", letters = "", exponentText = ""] = match ?? [];
  if (match === null || whole + fraction === "") {
    throw new MachineryError(
      "badValue",
      "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    );
  }
  const digits = BigInt(whole + fraction);
  const { format, exponent, shift } = parseSuffix(letters, exponentText);
  let nanos: bigint;
  if (format === "BinarySI") {
    nanos = divideUp((digits << shift) * nano, 10n ** BigInt(fraction.length));
    if (nanos > int64Max * nano) nanos = int64Max * nano;
  } else {
    nanos = scaleDecimal(digits, exponent - fraction.length);
  }
  return { nanos: sign === "-" ? -nanos : nanos, format };
}

/** True if `value` parses. */
export function isQuantity(value: string | number): boolean {
  try {
    parseQuantity(value);
    return true;
  } catch (error) {
    if (error instanceof MachineryError) return false;
    throw error;
  }
}

/** The canonical form: no fraction, the largest suffix that loses nothing. */
export function formatQuantity(quantity: Quantity): string {
  const { nanos, format } = quantity;
  if (nanos === 0n) return "0";
  const isWhole = nanos % nano === 0n;
  const whole = nanos / nano;
  if (format === "BinarySI" && isWhole && (whole >= 1024n || whole <= -1024n))
    return formatBinary(whole);
  return formatDecimal(nanos, format);
}

/** Parses and prints in canonical form. */
export function canonicalQuantity(value: string | number): string {
  return formatQuantity(parseQuantity(value));
}

export function compareQuantities(a: Quantity, b: Quantity): -1 | 0 | 1 {
  if (a.nanos === b.nanos) return 0;
  return a.nanos < b.nanos ? -1 : 1;
}

/** A zero takes over the format of what is added to it. */
export function addQuantities(a: Quantity, b: Quantity): Quantity {
  return { nanos: a.nanos + b.nanos, format: a.nanos === 0n ? b.format : a.format };
}

export function subtractQuantities(a: Quantity, b: Quantity): Quantity {
  return { nanos: a.nanos - b.nanos, format: a.nanos === 0n ? b.format : a.format };
}

/** Whole units, rounded away from zero. Exact up to 2^53; larger amounts lose their last digits. */
export function quantityValue(quantity: Quantity): number {
  return Number(roundAway(quantity.nanos, nano));
}

/** Thousandths, rounded away from zero. */
export function quantityMilliValue(quantity: Quantity): number {
  return Number(roundAway(quantity.nanos, 1_000_000n));
}

/** `value` must be an integer. */
export function quantityFromValue(
  value: number | bigint,
  format: QuantityFormat = "DecimalSI",
): Quantity {
  return { nanos: BigInt(value) * nano, format };
}

/** `milli` must be an integer: 1500 is "1500m". */
export function quantityFromMilli(
  milli: number | bigint,
  format: QuantityFormat = "DecimalSI",
): Quantity {
  return { nanos: BigInt(milli) * 1_000_000n, format };
}

/** Rounded away from zero to a multiple of a thousandth: what upstream does to every value of a ResourceList. */
export function roundUpToMilli(quantity: Quantity): Quantity {
  return { nanos: roundAway(quantity.nanos, 1_000_000n) * 1_000_000n, format: quantity.format };
}

interface Suffix {
  readonly format: QuantityFormat;
  /** Power of ten. */
  readonly exponent: number;
  /** Power of two. */
  readonly shift: bigint;
}

function parseSuffix(letters: string, exponentText: string): Suffix {
  const shift = binarySuffixes.get(letters);
  if (shift !== undefined && exponentText === "") return { format: "BinarySI", exponent: 0, shift };
  const exponent = decimalSuffixes.get(letters);
  if (exponent !== undefined && exponentText === "")
    return { format: "DecimalSI", exponent, shift: 0n };
  if ((letters === "e" || letters === "E") && /^[+-]?[0-9]+$/.test(exponentText)) {
    return { format: "DecimalExponent", exponent: Number(exponentText), shift: 0n };
  }
  throw new MachineryError("badValue", "unable to parse quantity's suffix");
}

function scaleDecimal(digits: bigint, exponent: number): bigint {
  if (digits === 0n) return 0n;
  const power = exponent + 9;
  const digitCount = digits.toString().length;
  if (digitCount + exponent > decimalExponentMax) return 10n ** BigInt(decimalExponentMax) * nano;
  if (power >= 0) return digits * 10n ** BigInt(power);
  if (-power > digitCount) return 1n;
  return divideUp(digits, 10n ** BigInt(-power));
}

function formatBinary(whole: bigint): string {
  let mantissa = whole;
  let suffix = "";
  for (const [next] of binarySuffixes) {
    if (mantissa % 1024n !== 0n) break;
    mantissa /= 1024n;
    suffix = next;
  }
  return `${mantissa}${suffix}`;
}

function formatDecimal(nanos: bigint, format: QuantityFormat): string {
  let mantissa = nanos;
  let exponent = -9;
  const exponentMax = format === "DecimalExponent" ? Number.POSITIVE_INFINITY : 18;
  while (mantissa % 1000n === 0n && exponent < exponentMax) {
    mantissa /= 1000n;
    exponent += 3;
  }
  if (format === "DecimalExponent")
    return exponent === 0 ? String(mantissa) : `${mantissa}e${exponent}`;
  return `${mantissa}${suffixOfExponent.get(exponent) ?? ""}`;
}

/** For values that are not negative. */
function divideUp(value: bigint, by: bigint): bigint {
  return (value + by - 1n) / by;
}

function roundAway(value: bigint, unit: bigint): bigint {
  return value < 0n ? -divideUp(-value, unit) : divideUp(value, unit);
}
