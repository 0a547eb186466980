import { parseQuantity, quantityMilliValue, quantityValue } from "@wherry/machinery";

/** Absent and malformed quantities count as 0: the API server has validated them, and a node must not stop over one. */
export function cpuMilli(quantity: string | number | undefined): number {
  return read(quantity, quantityMilliValue);
}

export function memoryBytes(quantity: string | number | undefined): number {
  return read(quantity, quantityValue);
}

export function wholeUnits(quantity: string | number | undefined): number {
  return read(quantity, quantityValue);
}

function read(
  quantity: string | number | undefined,
  convert: (parsed: ReturnType<typeof parseQuantity>) => number,
): number {
  if (quantity === undefined) return 0;
  try {
    return convert(parseQuantity(quantity));
  } catch {
    return 0;
  }
}
