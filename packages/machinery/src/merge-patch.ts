import { isJsonObject, jsonEntries, jsonEqual, ownValue } from "./json-value.ts";
import type { Json, JsonObject } from "./meta.ts";

/** RFC 7386. The inputs are left alone; untouched parts are shared with the result. */
export function applyMergePatch(original: Json | undefined, patch: Json): Json {
  if (!isJsonObject(patch)) return patch;
  const merged = new Map(isJsonObject(original) ? jsonEntries(original) : []);
  for (const [key, value] of jsonEntries(patch)) {
    if (value === null) merged.delete(key);
    else merged.set(key, applyMergePatch(merged.get(key), value));
  }
  return Object.fromEntries(merged);
}

/**
 * The merge patch that turns `from` into `to`; `{}` when they are equal. Nulls inside `to` cannot be expressed: they count as
 * absent.
 */
export function createMergePatch(from: JsonObject, to: JsonObject): JsonObject {
  const patch = new Map<string, Json>();
  for (const [key, value] of jsonEntries(from)) {
    const next = ownValue(to, key);
    if ((next === undefined || next === null) && value !== null) patch.set(key, null);
  }
  for (const [key, next] of jsonEntries(to)) {
    if (next === null) continue;
    const old = ownValue(from, key);
    if (isJsonObject(next) && isJsonObject(old)) {
      const inner = createMergePatch(old, next);
      if (Object.keys(inner).length > 0) patch.set(key, inner);
    } else if (!jsonEqual(old, next)) {
      patch.set(key, next);
    }
  }
  return Object.fromEntries(patch);
}
