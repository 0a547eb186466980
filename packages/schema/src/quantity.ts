/**
 * Quantities as objects carry them ("100m", "1Gi"): exact, as a number of nano units. Only what decoding, defaulting and validation
 * need; arithmetic for schedulers lives in machinery.
 */
export interface Amount {
  /** In units of 10^-9. */
  readonly nano: bigint;
  readonly form: "decimal" | "binary" | "exponent";
}

export type QuantityError = "format" | "suffix";

export const quantityErrors: Readonly<Record<QuantityError, string>> = {
  format:
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
  suffix: "unable to parse quantity's suffix",
};

const decimalSuffixes = new Map<string, number>([
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
const binarySuffixes = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const nanoPerUnit = 1_000_000_000n;
const nanoPerMilli = 1_000_000n;
const maximum = (1n << 63n) - 1n;

export function parseAmount(text: string): Amount | QuantityError {
  const match = /^([+-]?)(\d*)(?:\.(\d*))?([a-zA-Z]*)([-+]?\d+)?$/.exec(text);
  if (match === null) return "format";
  const [, sign, whole = "", fraction = "", letters = "", digits] = match;
  if (whole === "" && fraction === "") return "format";
  const digitsOf = BigInt(`${whole}${fraction}` || "0");
  let form: Amount["form"] = "decimal";
  let numerator = digitsOf;
  let exponent = -fraction.length;
  if (digits !== undefined) {
    if (letters !== "e" && letters !== "E") return "suffix";
    form = "exponent";
    exponent += Number(digits);
  } else if (binarySuffixes.includes(letters)) {
    form = "binary";
    numerator <<= 10n * BigInt(binarySuffixes.indexOf(letters) + 1);
  } else {
    const power = decimalSuffixes.get(letters);
    if (power === undefined) return "suffix";
    exponent += power;
  }
  const nano = scaleUp(numerator, exponent + 9);
  const capped = nano > maximum * nanoPerUnit ? maximum * nanoPerUnit : nano;
  return { nano: sign === "-" ? -capped : capped, form };
}

/** The canonical text of a quantity ("1000m" is "1", "1024Mi" is "1Gi"). */
export function formatAmount({ nano, form }: Amount): string {
  if (nano === 0n) return "0";
  const absolute = nano < 0n ? -nano : nano;
  const sign = nano < 0n ? "-" : "";
  if (form === "binary" && absolute >= 1024n * nanoPerUnit) {
    let value = ceilDivide(absolute, nanoPerUnit);
    let step = 0;
    while (step < binarySuffixes.length && value % 1024n === 0n && value !== 0n) {
      value /= 1024n;
      step += 1;
    }
    return `${sign}${value}${step === 0 ? "" : binarySuffixes[step - 1]}`;
  }
  let value = absolute;
  let exponent = -9;
  while (exponent < 18 && value % 1000n === 0n) {
    value /= 1000n;
    exponent += 3;
  }
  if (form === "exponent") return `${sign}${value}${exponent === 0 ? "" : `e${exponent}`}`;
  const suffix = [...decimalSuffixes].find(([, power]) => power === exponent)?.[0] ?? "";
  return `${sign}${value}${suffix}`;
}

/** As resource lists keep quantities: nothing finer than a thousandth, rounded away from zero. */
export function roundToMilli(amount: Amount): Amount {
  const { nano } = amount;
  if (nano % nanoPerMilli === 0n) return amount;
  const rounded = ceilDivide(nano < 0n ? -nano : nano, nanoPerMilli) * nanoPerMilli;
  return { ...amount, nano: nano < 0n ? -rounded : rounded };
}

/** Nano units of a quantity that decoding has accepted; 0 for anything else. */
export function nanoOf(value: unknown): bigint {
  if (typeof value !== "string" && typeof value !== "number") return 0n;
  const amount = parseAmount(String(value));
  return typeof amount === "string" ? 0n : amount.nano;
}

export function addQuantities(left: unknown, right: unknown): string {
  const first = parseAmount(String(left));
  const second = parseAmount(String(right));
  const form = typeof first === "string" ? "decimal" : first.form;
  return formatAmount({
    nano: nanoOf(left) + nanoOf(right),
    form: nanoOf(left) === 0n && typeof second !== "string" ? second.form : form,
  });
}

function scaleUp(value: bigint, power: number): bigint {
  if (power >= 0) return value * 10n ** BigInt(Math.min(power, 400));
  return ceilDivide(value, 10n ** BigInt(Math.min(-power, 400)));
}

function ceilDivide(value: bigint, divisor: bigint): bigint {
  return (value + divisor - 1n) / divisor;
}
