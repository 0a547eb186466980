import { canonicalJson } from "./canonical-json.ts";
import { safeEncode } from "./names.ts";
import type { Json } from "./meta.ts";

/**
 * The value of the `pod-template-hash` and `controller-revision-hash` labels: equal for equal templates whatever the order of
 * their keys, different after a collision when `collisionCount` is raised.
 */
export function hashPodTemplate(template: Json, collisionCount?: number): string {
  const hash = fnv32a(
    canonicalJson(template) + (collisionCount === undefined ? "" : `\n${collisionCount}`),
  );
  return safeEncode(String(hash));
}

function fnv32a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) {
    hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  }
  return hash;
}
