import {
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldNotFound,
  fieldNotSupported,
  fieldRequired,
  fieldTooLong,
  type Json,
  type StatusCause,
} from "@wherry/machinery";
import { numberAt, textAt, type Tree } from "../tree.ts";

/** Collects what is wrong with an object, in the order in which upstream reports it. */
export class Problems {
  readonly causes: StatusCause[] = [];

  invalid(field: string, value: unknown, detail: string): void {
    this.causes.push(fieldInvalid(field, value as Json | undefined, detail));
  }

  /** One cause per text of a name rule. */
  invalidBy(field: string, value: string, texts: readonly string[]): void {
    for (const text of texts) this.invalid(field, value, text);
  }

  required(field: string, detail = ""): void {
    this.causes.push(fieldRequired(field, detail));
  }

  forbidden(field: string, detail: string): void {
    this.causes.push(fieldForbidden(field, detail));
  }

  duplicate(field: string, value: unknown): void {
    this.causes.push(fieldDuplicate(field, value as Json));
  }

  notFound(field: string, value: string): void {
    this.causes.push(fieldNotFound(field, value));
  }

  /** Upstream lists the supported values sorted, but for a few places, which pass them as they stand. */
  notSupported(
    field: string,
    value: unknown,
    supported: readonly string[],
    order: "sorted" | "given" = "sorted",
  ): void {
    const list = order === "sorted" ? [...supported].sort() : supported;
    this.causes.push(fieldNotSupported(field, value as Json, list));
  }

  tooLong(field: string, bytesMax: number): void {
    this.causes.push(fieldTooLong(field, bytesMax));
  }

  /** A number that is set must not be below zero. */
  nonNegative(tree: Tree | undefined, key: string, path: string): void {
    const value = numberAt(tree, key);
    if (value !== undefined && value < 0)
      this.invalid(`${path}.${key}`, value, "must be greater than or equal to 0");
  }

  positive(field: string, value: number | undefined): void {
    if (value !== undefined && value <= 0) this.invalid(field, value, "must be greater than zero");
  }

  /** A text that is set must be one of those. */
  oneOf(tree: Tree | undefined, key: string, path: string, supported: readonly string[]): void {
    const value = textAt(tree, key);
    if (value !== "" && !supported.includes(value))
      this.notSupported(`${path}.${key}`, value, supported);
  }

  add(causes: readonly StatusCause[]): void {
    this.causes.push(...causes);
  }
}

export const portRange = "must be between 1 and 65535, inclusive";

export function isPort(value: number): boolean {
  return value >= 1 && value <= 65535;
}
