import type { Clock, Logger, Timer } from "@wherry/service-kit";

/**
 * Runs rounds of work, one at a time: when woken, when a time that was asked for has come, and again with back-off after a failure. Between
 * rounds nothing runs but one timer.
 */
export interface RoundLoop {
  /** Makes a round follow; during a round, another one afterwards. Returns whether one was under way. */
  wake(): boolean;
  /** Makes a round follow at this time, unless one comes earlier. Asked for anew in every round. */
  wakeBy(atMs: number): void;
  /** No further round. Resolves when the one under way has ended. */
  stop(): Promise<void>;
  readonly stopped: boolean;
}

const retryMinMs = 1_000;
const retryMaxMs = 120_000;

export function createRoundLoop(
  round: () => Promise<void>,
  deps: { readonly clock: Clock; readonly log: Logger },
): RoundLoop {
  const { clock, log } = deps;
  let stopped = false;
  let dirty = false;
  let failures = 0;
  let timer: Timer | undefined;
  let dueMs: number | undefined;
  let running: Promise<void> | undefined;

  const hasWork = (): boolean => dirty && !stopped;

  const wakeBy = (atMs: number): void => {
    dueMs = Math.min(dueMs ?? atMs, atMs);
  };

  const run = async (): Promise<void> => {
    while (hasWork()) {
      dirty = false;
      timer?.cancel();
      dueMs = undefined;
      try {
        await round();
        failures = 0;
      } catch (error) {
        failures += 1;
        const delayMs = Math.min(retryMinMs * 2 ** (failures - 1), retryMaxMs);
        log.warn(
          { err: error, retryMs: delayMs },
          "a round of a pod's worker failed, trying again",
        );
        wakeBy(clock.now() + delayMs);
      }
    }
    running = undefined;
    if (dueMs !== undefined && !stopped)
      timer = clock.setTimer(Math.max(dueMs - clock.now(), 0), wake);
  };

  const wake = (): boolean => {
    dirty = true;
    if (running !== undefined || stopped) return running !== undefined;
    // The timer is set again by the round that follows.
    timer?.cancel();
    running = Promise.resolve().then(run);
    return false;
  };

  return {
    wake,
    wakeBy,
    async stop() {
      stopped = true;
      timer?.cancel();
      await running;
    },
    get stopped() {
      return stopped;
    },
  };
}
