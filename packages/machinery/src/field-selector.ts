import { MachineryError } from "./machinery-error.ts";

export interface FieldRequirement {
  readonly field: string;
  readonly operator: "=" | "!=";
  readonly value: string;
}

export interface FieldMatcher {
  readonly requirements: readonly FieldRequirement[];
  readonly empty: boolean;
  /** A field that is not in `fields` counts as "". */
  matches(fields: Readonly<Record<string, string>>): boolean;
  toString(): string;
}

/** Matches every object. */
export const everyField: FieldMatcher = matcherOf([]);

/**
 * Parses the `fieldSelector` query parameter: terms `field=value`, `field==value`, `field!=value` separated by commas. In values
 * `\\`, `\,` and `\=` are escapes. Which fields exist is for the resource to say.
 */
export function parseFieldSelector(text: string): FieldMatcher {
  const requirements: FieldRequirement[] = [];
  for (const term of splitTerms(text).sort()) {
    if (term !== "") requirements.push(parseTerm(term, text));
  }
  return matcherOf(requirements);
}

/** `value` as it must stand in a field selector. */
export function escapeFieldValue(value: string): string {
  return value.replace(/[\\,=]/g, String.raw`\$&`);
}

function matcherOf(requirements: readonly FieldRequirement[]): FieldMatcher {
  return {
    requirements,
    empty: requirements.length === 0,
    matches: (fields) =>
      requirements.every(
        ({ field, operator, value }) => (valueOf(fields, field) === value) === (operator === "="),
      ),
    toString: () =>
      requirements
        .map(({ field, operator, value }) => `${field}${operator}${escapeFieldValue(value)}`)
        .join(","),
  };
}

function valueOf(fields: Readonly<Record<string, string>>, field: string): string {
  return (Object.hasOwn(fields, field) ? fields[field] : undefined) ?? "";
}

function splitTerms(text: string): string[] {
  const terms: string[] = [];
  let start = 0;
  for (let index = 0; index < text.length; index += 1) {
    if (text[index] === "\\") index += 1;
    else if (text[index] === ",") {
      terms.push(text.slice(start, index));
      start = index + 1;
    }
  }
  terms.push(text.slice(start));
  return terms;
}

/** The first operator decides; an "=" further on must be escaped. */
function parseTerm(term: string, whole: string): FieldRequirement {
  const match = /(!=|==|=)/.exec(term);
  if (match === null) {
    throw new MachineryError(
      "badValue",
      `invalid selector: '${whole}'; can't understand '${term}'`,
    );
  }
  const field = term.slice(0, match.index);
  const value = unescape(term.slice(match.index + match[0].length));
  return { field, operator: match[0] === "!=" ? "!=" : "=", value };
}

function unescape(value: string): string {
  let plain = "";
  for (let index = 0; index < value.length; index += 1) {
    const char = value[index] ?? "";
    if (char === "\\") {
      const next = value[index + 1];
      if (next !== "\\" && next !== "," && next !== "=") {
        const sequence = char + (next ?? "");
        throw new MachineryError(
          "badValue",
          `invalid field selector: invalid escape sequence: ${sequence}`,
        );
      }
      plain += next;
      index += 1;
    } else if (char === "," || char === "=") {
      throw new MachineryError(
        "badValue",
        `invalid field selector: unescaped character in value: ${char.codePointAt(0) ?? 0}`,
      );
    } else {
      plain += char;
    }
  }
  return plain;
}
