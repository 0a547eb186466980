import type { Json } from "./meta.ts";

/** A string as Go's %q prints it, as far as it differs from JSON. */
export function goQuote(text: string): string {
  return JSON.stringify(text)
    .replace(/\\u00([0-9a-f]{2})/g, "\\x$1")
    .replace(/\\b/g, "\\b");
}

/** A JSON value as Go's %v prints it: maps with sorted keys. */
export function goValue(value: Json | undefined): string {
  if (value === null || value === undefined) return "<nil>";
  if (Array.isArray(value)) return `[${value.map((item: Json) => goValue(item)).join(" ")}]`;
  if (typeof value === "object") {
    const entries = Object.entries(value)
      .filter(([, item]) => item !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1));
    return `map[${entries.map(([key, item]) => `${key}:${goValue(item)}`).join(" ")}]`;
  }
  return String(value);
}
