import type { Clock } from "@wherry/service-kit";

/** Reserves tokens in advance, as golang.org/x/time/rate does: each `reserve` says how long its caller has to wait. */
export interface TokenBucket {
  /** Takes one token and returns the wait in ms, 0 when it is there already. */
  reserve(): number;
  /** Takes one token if it is there. */
  tryTake(): boolean;
}

export function createTokenBucket(clock: Clock, perSecond: number, burst: number): TokenBucket {
  let tokens = burst;
  let lastMs = clock.monotonic();
  const refill = (): void => {
    const nowMs = clock.monotonic();
    tokens = Math.min(burst, tokens + ((nowMs - lastMs) / 1000) * perSecond);
    lastMs = nowMs;
  };
  return {
    reserve() {
      refill();
      tokens -= 1;
      return tokens >= 0 ? 0 : (-tokens / perSecond) * 1000;
    },
    tryTake() {
      refill();
      if (tokens < 1) return false;
      tokens -= 1;
      return true;
    },
  };
}
