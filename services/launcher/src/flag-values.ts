import { UsageError, type FlagValues } from "@wherry/service-kit";

/** Typed reading of resolved flags. Empty strings count as absent, as in K3s. */
export function textOf(values: FlagValues, name: string): string | undefined {
  const value = values[name];
  return typeof value === "string" && value !== "" ? value : undefined;
}

export function listOf(values: FlagValues, name: string): readonly string[] {
  const value = values[name];
  return Array.isArray(value) ? (value as readonly string[]) : [];
}

export function isSet(values: FlagValues, name: string): boolean {
  return values[name] === true;
}

export function integerOf(values: FlagValues, name: string): number | undefined {
  const value = values[name];
  return typeof value === "number" ? value : undefined;
}

export function oneOf<T extends string>(
  values: FlagValues,
  name: string,
  allowed: readonly T[],
  otherwise: T,
): T {
  const value = textOf(values, name);
  if (value === undefined) return otherwise;
  const found = allowed.find((one) => one === value);
  if (found === undefined)
    throw new UsageError(`--${name} must be ${allowed.join(" or ")}, not "${value}"`);
  return found;
}

/** "a=b" pairs. */
export function pairsOf(values: FlagValues, name: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    listOf(values, name).map((text) => {
      const equals = text.indexOf("=");
      if (equals < 1) throw new UsageError(`--${name} must be KEY=VALUE, not "${text}"`);
      return [text.slice(0, equals), text.slice(equals + 1)];
    }),
  );
}
