import { isTree } from "./tree.ts";
import type { TypeSchema } from "./type-schema.ts";

/**
 * JSON.parse keeps the last of several equal keys and does not tell. Whether a text has such keys is found by counting; only when it has, the
 * text is read again by a slower reader that knows where.
 */

/** Keys of all objects in a JSON text that JSON.parse has accepted. */
export function countKeysInText(text: string): number {
  let count = 0;
  for (let start = text.indexOf('"'); start >= 0;) {
    let end = text.indexOf('"', start + 1);
    while (isEscaped(text, end)) end = text.indexOf('"', end + 1);
    let next = end + 1;
    while (isBlank(text.charCodeAt(next))) next += 1;
    if (text.charCodeAt(next) === 58) count += 1;
    start = text.indexOf('"', end + 1);
  }
  return count;
}

export function countKeys(value: unknown): number {
  if (Array.isArray(value)) {
    let count = 0;
    for (const item of value) if (typeof item === "object") count += countKeys(item);
    return count;
  }
  if (!isTree(value)) return 0;
  const keys = Object.keys(value);
  let count = keys.length;
  for (const key of keys) if (typeof value[key] === "object") count += countKeys(value[key]);
  return count;
}

/** Unknown and duplicate fields in the order in which they stand in the text. */
export function strictErrorsInText(text: string, schema: TypeSchema): readonly string[] {
  const errors: string[] = [];
  let at = 0;

  const skipBlanks = (): void => {
    while (isBlank(text.charCodeAt(at))) at += 1;
  };
  const readString = (): string => {
    const start = at;
    let end = text.indexOf('"', at + 1);
    while (isEscaped(text, end)) end = text.indexOf('"', end + 1);
    at = end + 1;
    return JSON.parse(text.slice(start, at)) as string;
  };
  const readScalar = (): void => {
    while (at < text.length && !/[,\]}\s]/.test(text[at] ?? "")) at += 1;
  };

  const readObject = (type: TypeSchema | undefined, path: string): void => {
    const seen = new Set<string>();
    at += 1;
    skipBlanks();
    while (text[at] !== "}") {
      const key = readString();
      const place = path === "" ? key : `${path}.${key}`;
      skipBlanks();
      at += 1;
      const field = type?.properties?.get(key);
      if (seen.has(key) && type !== undefined) errors.push(`duplicate field "${place}"`);
      const isUnknown = type?.properties !== undefined && field === undefined;
      if (isUnknown && type.preservesUnknownFields !== true && !seen.has(key))
        errors.push(`unknown field "${place}"`);
      seen.add(key);
      readValue(field?.schema ?? type?.values, place);
      skipBlanks();
      if (text[at] === ",") at += 1;
      skipBlanks();
    }
    at += 1;
  };
  const readArray = (type: TypeSchema | undefined, path: string): void => {
    at += 1;
    skipBlanks();
    for (let index = 0; text[at] !== "]"; index += 1) {
      readValue(type?.items, `${path}[${index}]`);
      skipBlanks();
      if (text[at] === ",") at += 1;
      skipBlanks();
    }
    at += 1;
  };
  const readValue = (type: TypeSchema | undefined, path: string): void => {
    skipBlanks();
    if (text[at] === "{") readObject(type, path);
    else if (text[at] === "[") readArray(type, path);
    else if (text[at] === '"') readString();
    else readScalar();
  };

  readValue(schema, "");
  return errors;
}

function isEscaped(text: string, quote: number): boolean {
  let slashes = 0;
  while (text.charCodeAt(quote - 1 - slashes) === 92) slashes += 1;
  return slashes % 2 === 1;
}

function isBlank(code: number): boolean {
  return code === 32 || code === 10 || code === 13 || code === 9;
}
