import { MachineryError } from "./machinery-error.ts";

/** metav1.Time: RFC 3339, whole seconds (cut, not rounded), UTC. */
export function formatTime(epochMs: number): string {
  return `${new Date(epochMs).toISOString().slice(0, 19)}Z`;
}

/** metav1.MicroTime: six digits after the point. */
export function formatMicroTime(epochMs: number): string {
  const whole = Math.floor(epochMs);
  const micros = Math.floor((epochMs - whole) * 1000);
  return `${new Date(whole).toISOString().slice(0, 23)}${String(micros).padStart(3, "0")}Z`;
}

const rfc3339 = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/;

/** Milliseconds since the epoch of an RFC 3339 time (Time and MicroTime alike). */
export function parseTime(text: string): number {
  const epochMs = rfc3339.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(epochMs)) {
    throw new MachineryError("badValue", `${JSON.stringify(text)} is not an RFC 3339 time`);
  }
  return epochMs;
}
