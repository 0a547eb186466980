import type { z } from "zod";
import { UsageError } from "./flags.ts";

/** Parses with a zod schema and freezes the result. Throws UsageError naming each field that is wrong. */
export function parseConfig<Schema extends z.ZodType>(
  schema: Schema,
  input: unknown,
): z.output<Schema> {
  const result = schema.safeParse(input);
  if (!result.success) {
    const problems = result.error.issues.map(
      (issue) => `${issue.path.join(".") || "configuration"}: ${issue.message}`,
    );
    throw new UsageError(problems.join("; "));
  }
  return freeze(result.data);
}

function freeze<T>(value: T): T {
  if (
    typeof value === "object" &&
    value !== null &&
    !Object.isFrozen(value) &&
    !ArrayBuffer.isView(value)
  ) {
    for (const child of Object.values(value)) freeze(child);
    Object.freeze(value);
  }
  return value;
}
