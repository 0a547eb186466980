import { goQuote } from "./go-format.ts";
import type { Json } from "./meta.ts";
import type { StatusCause } from "./status.ts";

/**
 * The causes of an Invalid answer, worded as k8s.io/apimachinery/pkg/util/validation/field words them. `field` is the path in
 * JSON names ("spec.containers[0].image").
 */
export function fieldInvalid(field: string, value: Json | undefined, detail: string): StatusCause {
  return cause("FieldValueInvalid", field, `Invalid value: ${bad(value)}`, detail);
}

export function fieldRequired(field: string, detail = ""): StatusCause {
  return cause("FieldValueRequired", field, "Required value", detail);
}

export function fieldForbidden(field: string, detail: string): StatusCause {
  return cause("FieldValueForbidden", field, "Forbidden", detail);
}

export function fieldDuplicate(field: string, value: Json | undefined): StatusCause {
  return cause("FieldValueDuplicate", field, `Duplicate value: ${bad(value)}`, "");
}

export function fieldNotFound(field: string, value: Json | undefined): StatusCause {
  return cause("FieldValueNotFound", field, `Not found: ${bad(value)}`, "");
}

export function fieldNotSupported(
  field: string,
  value: Json | undefined,
  supported: readonly string[],
): StatusCause {
  const detail =
    supported.length === 0
      ? ""
      : `supported values: ${supported.map((one) => goQuote(one)).join(", ")}`;
  return cause("FieldValueNotSupported", field, `Unsupported value: ${bad(value)}`, detail);
}

export function fieldTooLong(field: string, bytesMax: number): StatusCause {
  return cause("FieldValueTooLong", field, "Too long", `may not be more than ${bytesMax} bytes`);
}

export function fieldTooMany(field: string, actual: number, itemsMax: number): StatusCause {
  const noun = itemsMax === 1 ? "item" : "items";
  return cause(
    "FieldValueTooMany",
    field,
    `Too many: ${actual}`,
    `must have at most ${itemsMax} ${noun}`,
  );
}

export function fieldTypeInvalid(
  field: string,
  value: Json | undefined,
  detail: string,
): StatusCause {
  return cause("FieldValueTypeInvalid", field, `Invalid value: ${bad(value)}`, detail);
}

function cause(reason: string, field: string, head: string, detail: string): StatusCause {
  return { reason, message: detail === "" ? head : `${head}: ${detail}`, field };
}

function bad(value: Json | undefined): string {
  if (value === undefined) return "null";
  return typeof value === "string" ? goQuote(value) : JSON.stringify(value);
}
