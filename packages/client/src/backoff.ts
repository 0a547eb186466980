/** Delays that double from failure to failure, with jitter, up to a maximum. */
export interface Backoff {
  nextMs(): number;
  reset(): void;
}

export interface BackoffOptions {
  readonly minMs: number;
  readonly maxMs: number;
  /** Numbers in [0, 1). */
  readonly random: () => number;
}

export function createBackoff({ minMs, maxMs, random }: BackoffOptions): Backoff {
  let failures = 0;
  return {
    nextMs() {
      const baseMs = Math.min(minMs * 2 ** failures, maxMs);
      failures = Math.min(failures + 1, 30);
      return Math.min(baseMs * (1 + random()), maxMs);
    },
    reset() {
      failures = 0;
    },
  };
}
