import { silentLogger, type Clock, type Logger, type Timer } from "@wherry/service-kit";
import { createPacer } from "./pacer.ts";
import { createTokenBucket } from "./token-bucket.ts";

/**
 * A queue of keys for controllers, with the guarantees of client-go's rate limiting queue:
 * 1. A key waits at most once, however often it is added; its place is that of the first add.
 * 2. A key is never worked on twice at the same time; added meanwhile, it comes again afterwards.
 * 3. A key whose worker failed comes again after 5 ms, 10 ms … 1000 s; all failures together not faster than 10/s (bursts of 100).
 * The queue holds each key once, so it is bounded by the number of objects.
 */
export interface WorkQueue {
  add(key: string): void;
  /** The earlier of two pending times counts. A delay of 0 or less is `add`. */
  addAfter(key: string, delayMs: number): void;
  /** Adds after the key's back-off, which grows with each call until `forget`. */
  addRateLimited(key: string): void;
  /** Ends the back-off of the key. */
  forget(key: string): void;
  /** Failures of the key since the last success or `forget`. */
  failures(key: string): number;
  /** Waiting keys, without delayed ones and those in work. */
  readonly size: number;
  /** True when nothing waits, nothing is delayed and nothing is in work. */
  readonly idle: boolean;
  /**
   * Works until the signal aborts and what is in work has ended. A worker that throws gets its key again with back-off; one that returns
   * `{ requeueAfterMs }` gets it again after that time. Called once per queue.
   */
  run(worker: Worker, concurrency: number, signal: AbortSignal): Promise<void>;
}

export type Worker = (key: string, signal: AbortSignal) => Promise<WorkResult | void>;

export interface WorkResult {
  readonly requeueAfterMs: number;
}

export interface WorkQueueOptions {
  readonly clock: Clock;
  /** Failures are logged as warnings. */
  readonly log?: Logger;
  /** First back-off; 5 by default. */
  readonly backoffMinMs?: number;
  /** Largest back-off; 1,000,000 by default. */
  readonly backoffMaxMs?: number;
  /** Overall rate of rate limited adds; 10 per second and bursts of 100 by default. */
  readonly perSecond?: number;
  readonly burst?: number;
}

interface Delayed {
  readonly dueMs: number;
  readonly timer: Timer;
}

/** Larger powers of two overflow nothing but are beyond every sensible maximum. */
const exponentMax = 30;

export function createWorkQueue(options: WorkQueueOptions): WorkQueue {
  const { clock, log = silentLogger, backoffMinMs = 5, backoffMaxMs = 1_000_000 } = options;
  const bucket = createTokenBucket(clock, options.perSecond ?? 10, options.burst ?? 100);
  const pacer = createPacer();
  const waiting = new Set<string>();
  const inWork = new Set<string>();
  /** Keys in work that were added again. */
  const dirty = new Set<string>();
  const delayed = new Map<string, Delayed>();
  const failures = new Map<string, number>();
  let stopped = false;
  let pump = (): void => {};

  const cancelDelayed = (key: string): void => {
    delayed.get(key)?.timer.cancel();
    delayed.delete(key);
  };

  const queue: WorkQueue = {
    add(key) {
      if (stopped) return;
      if (inWork.has(key)) {
        dirty.add(key);
        return;
      }
      waiting.add(key);
      pump();
    },
    addAfter(key, delayMs) {
      if (stopped) return;
      if (delayMs <= 0) {
        queue.add(key);
        return;
      }
      const dueMs = clock.monotonic() + delayMs;
      const pending = delayed.get(key);
      if (pending !== undefined && pending.dueMs <= dueMs) return;
      pending?.timer.cancel();
      const timer = clock.setTimer(delayMs, () => {
        delayed.delete(key);
        queue.add(key);
      });
      delayed.set(key, { dueMs, timer });
    },
    addRateLimited(key) {
      const count = failures.get(key) ?? 0;
      failures.set(key, count + 1);
      const ownMs = Math.min(backoffMinMs * 2 ** Math.min(count, exponentMax), backoffMaxMs);
      queue.addAfter(key, Math.max(ownMs, bucket.reserve()));
    },
    forget(key) {
      failures.delete(key);
    },
    failures: (key) => failures.get(key) ?? 0,
    get size() {
      return waiting.size;
    },
    get idle() {
      return waiting.size === 0 && delayed.size === 0 && inWork.size === 0;
    },
    run(worker, concurrency, signal) {
      return new Promise((resolve) => {
        const finishIfDone = (): void => {
          if (stopped && inWork.size === 0) resolve();
        };
        const work = async (key: string): Promise<void> => {
          await pacer.pause();
          try {
            const result = await worker(key, signal);
            failures.delete(key);
            if (result !== undefined) queue.addAfter(key, Math.max(result.requeueAfterMs, 1));
          } catch (error) {
            if (!signal.aborted) {
              log.warn(
                { key, failures: (failures.get(key) ?? 0) + 1, err: error },
                "work on a key failed",
              );
              queue.addRateLimited(key);
            }
          }
          inWork.delete(key);
          if (dirty.delete(key)) queue.add(key);
          pump();
          finishIfDone();
        };
        pump = () => {
          for (const key of waiting) {
            if (stopped || inWork.size >= concurrency) return;
            waiting.delete(key);
            inWork.add(key);
            void work(key);
          }
        };
        const stop = (): void => {
          stopped = true;
          waiting.clear();
          dirty.clear();
          for (const key of delayed.keys()) cancelDelayed(key);
          finishIfDone();
        };
        if (signal.aborted) {
          stop();
          return;
        }
        signal.addEventListener("abort", stop, { once: true });
        pump();
      });
    },
  };
  return queue;
}
