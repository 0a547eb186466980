import { safeEncode } from "./names.ts";
import type { Json } from "./meta.ts";

/**
 * The value of the `pod-template-hash` and `controller-revision-hash` labels: equal for equal templates whatever the order of
 * their keys, different after a collision when `collisionCount` is raised.
 */
export function hashPodTemplate(template: Json, collisionCount?: number): string {
  const hash = fnv32a(canonicalJson(template) + (collisionCount === undefined ? "" : `\n${collisionCount}`));
  return safeEncode(String(hash));
}

/** JSON with sorted keys and without absent values. */
export function canonicalJson(value: Json | undefined): string {
  if (Array.isArray(value)) return `[${value.map((item: Json) => canonicalJson(item)).join(",")}]`;
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value)
      .filter(([, item]) => item !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item)}`).join(",")}}`;
  }
  return JSON.stringify(value ?? null);
}

function fnv32a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) {
    hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  }
  return hash;
}
