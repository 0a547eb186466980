import {
  addQuantities,
  canonicalQuantity,
  formatQuantity,
  MachineryError,
  parseQuantity,
  roundUpToMilli,
} from "@wherry/machinery";

/** Canonical text of a quantity in a body, or the reason why it is none. */
export function readQuantity(
  value: string | number,
): { readonly text: string } | { readonly error: string } {
  try {
    return { text: canonicalQuantity(typeof value === "string" ? value.trim() : value) };
  } catch (error) {
    if (error instanceof MachineryError) return { error: error.message };
    throw error;
  }
}

/** Billionths of a quantity that decoding has accepted; 0 for anything else. */
export function nanosOf(value: unknown): bigint {
  return typeof value === "string" || typeof value === "number" ? parseQuantity(value).nanos : 0n;
}

export function sumOfQuantities(left: string, right: unknown): string {
  if (typeof right !== "string" && typeof right !== "number") return left;
  return formatQuantity(addQuantities(parseQuantity(left), parseQuantity(right)));
}

/** As resource lists keep quantities: nothing finer than a thousandth, rounded away from zero. */
export function roundedToMilli(text: string): string {
  return formatQuantity(roundUpToMilli(parseQuantity(text)));
}
