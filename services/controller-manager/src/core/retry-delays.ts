import type { Clock } from "@wherry/service-kit";

/** Growing pauses between repeated attempts, by key. A key that was not used for twice the longest pause starts anew. */
export interface RetryDelays {
  /** Milliseconds until the key may be tried again; 0 = now. */
  leftMs(key: string): number;
  /** Says that the key is being tried now; its next pause is twice as long. */
  attempted(key: string): void;
}

export interface RetryDelaysOptions {
  readonly clock: Clock;
  readonly firstMs: number;
  readonly longestMs: number;
}

/** Keys that are remembered; beyond it the one that was longest unused is forgotten. */
const KEYS_MAX = 10_000;

export function createRetryDelays({ clock, firstMs, longestMs }: RetryDelaysOptions): RetryDelays {
  const known = new Map<string, { readonly delayMs: number; readonly atMs: number }>();
  const live = (key: string) => {
    const entry = known.get(key);
    return entry === undefined || clock.monotonic() - entry.atMs > entry.delayMs + 2 * longestMs
      ? undefined
      : entry;
  };
  return {
    leftMs(key) {
      const entry = live(key);
      return entry === undefined ? 0 : Math.max(0, entry.atMs + entry.delayMs - clock.monotonic());
    },
    attempted(key) {
      const entry = live(key);
      known.delete(key);
      known.set(key, {
        delayMs: entry === undefined ? firstMs : Math.min(entry.delayMs * 2, longestMs),
        atMs: clock.monotonic(),
      });
      const [oldest] = known.keys();
      if (known.size > KEYS_MAX && oldest !== undefined) known.delete(oldest);
    },
  };
}
