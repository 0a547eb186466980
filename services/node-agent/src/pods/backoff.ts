/**
 * Back-off as the kubelet has it: 10 s doubling to a maximum, forgotten when the last failure lies twice the maximum back. Entries are
 * plain values, so that decisions about them stay pure.
 */
export interface BackoffEntry {
  readonly delayMs: number;
  readonly updatedAtMs: number;
}

export interface BackoffLimits {
  readonly initialMs: number;
  readonly maxMs: number;
}

export const restartBackoff: BackoffLimits = { initialMs: 10_000, maxMs: 300_000 };
export const imagePullBackoff: BackoffLimits = { initialMs: 10_000, maxMs: 300_000 };

/** The entry after one more failure at `eventMs`. */
export function nextBackoff(
  entry: BackoffEntry | undefined,
  eventMs: number,
  nowMs: number,
  limits: BackoffLimits,
): BackoffEntry {
  const delayMs =
    entry === undefined || isExpired(entry, eventMs, limits) ? limits.initialMs : entry.delayMs * 2;
  return { delayMs: Math.min(delayMs, limits.maxMs), updatedAtMs: nowMs };
}

/** Time until which to wait because of a failure at `eventMs`; undefined: no need to wait. */
export function backoffUntil(
  entry: BackoffEntry | undefined,
  eventMs: number,
  nowMs: number,
  limits: BackoffLimits,
): number | undefined {
  if (entry === undefined || isExpired(entry, eventMs, limits)) return undefined;
  const untilMs = eventMs + entry.delayMs;
  return nowMs < untilMs ? untilMs : undefined;
}

/** Go's notation of a whole number of seconds: `40s`, `2m40s`, `5m0s`. */
export function formatGoDuration(milliseconds: number): string {
  if (milliseconds < 1_000) return milliseconds === 0 ? "0s" : `${milliseconds}ms`;
  const seconds = milliseconds / 1_000;
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  const rest = `${Number((seconds - minutes * 60).toFixed(3))}s`;
  if (hours > 0) return `${hours}h${minutes % 60}m${rest}`;
  return minutes > 0 ? `${minutes}m${rest}` : rest;
}

function isExpired(entry: BackoffEntry, eventMs: number, limits: BackoffLimits): boolean {
  return eventMs - entry.updatedAtMs > 2 * limits.maxMs;
}
