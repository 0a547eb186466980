import { sleepOn, type Clock, type Timer } from "./clock.ts";

export interface ManualClock extends Clock {
  /**
   * Moves time on, firing due timers in order of their time. Before the first and after each timer it lets everything run that is ready
   * (microtasks and immediates), so that timers set in reaction are honoured within the same call.
   */
  advance(byMs: number): Promise<void>;
  /** Number of timers that wait. */
  readonly pending: number;
}

interface Waiting {
  readonly dueMs: number;
  readonly order: number;
  readonly callback: () => void;
}

/** A clock that stands still until it is told to move. `startMs` is the wall clock's beginning. */
export function createManualClock(startMs = Date.UTC(2026, 0, 1)): ManualClock {
  let elapsedMs = 0;
  let order = 0;
  const waiting = new Set<Waiting>();

  const earliest = (untilMs: number): Waiting | undefined => {
    let best: Waiting | undefined;
    for (const timer of waiting) {
      if (timer.dueMs > untilMs) continue;
      if (
        best === undefined ||
        timer.dueMs < best.dueMs ||
        (timer.dueMs === best.dueMs && timer.order < best.order)
      ) {
        best = timer;
      }
    }
    return best;
  };

  const clock: ManualClock = {
    now: () => startMs + elapsedMs,
    monotonic: () => elapsedMs,
    setTimer(delayMs, callback): Timer {
      const timer = { dueMs: elapsedMs + Math.max(delayMs, 0), order: order++, callback };
      waiting.add(timer);
      return { cancel: () => waiting.delete(timer) };
    },
    sleep: (delayMs, signal) => sleepOn(clock, delayMs, signal),
    async advance(byMs) {
      const targetMs = elapsedMs + byMs;
      await settle();
      for (let timer = earliest(targetMs); timer !== undefined; timer = earliest(targetMs)) {
        waiting.delete(timer);
        elapsedMs = Math.max(elapsedMs, timer.dueMs);
        timer.callback();
        await settle();
      }
      elapsedMs = targetMs;
    },
    get pending() {
      return waiting.size;
    },
  };
  return clock;
}

/** Lets promise chains of any sensible depth, and immediates, run to rest. */
async function settle(): Promise<void> {
  for (let round = 0; round < 4; round += 1) {
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
  }
}
