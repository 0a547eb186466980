import type { Clock, Timer } from "@wherry/service-kit";

export interface GathererOptions {
  readonly clock: Clock;
  /** Quiet time before the work runs. */
  readonly delayMs: number;
  /** The work runs at the latest this long after the first request. */
  readonly delayMaxMs: number;
  /** First wait after a failure; doubled up to `retryMaxMs`. */
  readonly retryMs?: number;
  readonly retryMaxMs?: number;
  /** Never runs twice at once. A rejection makes it run again after a wait. */
  readonly work: () => Promise<void>;
  readonly onFailure: (error: unknown, retryMs: number) => void;
}

export interface Gatherer {
  request(): void;
  /** No further run is begun; resolves when the one under way has ended. */
  stop(): Promise<void>;
}

/** Turns bursts of requests into single runs, one after another. */
export function createGatherer(options: GathererOptions): Gatherer {
  const { clock, delayMs, delayMaxMs, work, onFailure } = options;
  const retryMs = options.retryMs ?? 500;
  const retryMaxMs = options.retryMaxMs ?? 30_000;
  let timer: Timer | undefined;
  let firstRequest: number | undefined;
  let running: Promise<void> | undefined;
  let failures = 0;
  let stopped = false;

  const schedule = (waitMs: number): void => {
    timer?.cancel();
    timer = clock.setTimer(waitMs, () => {
      timer = undefined;
      firstRequest = undefined;
      running = runOnce();
    });
  };
  const runOnce = async (): Promise<void> => {
    try {
      await work();
      failures = 0;
    } catch (error) {
      if (stopped) return;
      const waitMs = Math.min(retryMs * 2 ** failures, retryMaxMs);
      failures += 1;
      onFailure(error, waitMs);
      firstRequest ??= clock.monotonic();
      schedule(waitMs);
    } finally {
      running = undefined;
      if (firstRequest !== undefined && timer === undefined && !stopped) schedule(delayMs);
    }
  };
  return {
    request() {
      if (stopped) return;
      const now = clock.monotonic();
      firstRequest ??= now;
      // While the work runs or waits for its retry, the request is remembered and served after it.
      if (running !== undefined || failures > 0) return;
      schedule(Math.max(0, Math.min(delayMs, firstRequest + delayMaxMs - now)));
    },
    async stop() {
      stopped = true;
      timer?.cancel();
      await running;
    },
  };
}
