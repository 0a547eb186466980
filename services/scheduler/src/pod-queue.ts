import type { Clock, Timer } from "@wherry/service-kit";

/**
 * The pods that wait for a node, by key. Active pods are taken by priority, then age in the queue. A pod that did not fit is *parked* until something changes
 * that could help, and then waits out its back-off. Bounded by the number of pods.
 */
export interface PodQueue {
  /** A new or changed pod; one that is parked or backing off stays so. */
  add(key: string, priority: number): void;
  /** Could not be placed; comes again by `wake` or by the flush, not before its back-off. */
  park(key: string): void;
  /** Something went wrong that is not the pod's fault: comes again after its back-off. */
  retry(key: string): void;
  /** Forgets the pod. */
  remove(key: string): void;
  /** The cluster changed: parked pods become active once their back-off is over. */
  wake(): void;
  take(): string | undefined;
  readonly parked: number;
  readonly active: number;
  readonly backingOff: number;
  stop(): void;
}

export interface PodQueueOptions {
  readonly clock: Clock;
  readonly backoffInitialMs: number;
  readonly backoffMaxMs: number;
  readonly unschedulableFlushMs: number;
  /** Called when `take` may give something again. */
  readonly onReady: () => void;
}

interface Entry {
  readonly key: string;
  priority: number;
  order: number;
  attempts: number;
  notBeforeMs: number;
  parkedAtMs: number;
  state: "active" | "backoff" | "parked" | "taken";
}

export function createPodQueue(options: PodQueueOptions): PodQueue {
  const { clock } = options;
  const entries = new Map<string, Entry>();
  let order = 0;
  let timer: Timer | undefined;
  let timerAtMs = Number.POSITIVE_INFINITY;

  const count = (state: Entry["state"]): number =>
    [...entries.values()].filter((entry) => entry.state === state).length;
  const activate = (entry: Entry): void => {
    entry.state = "active";
    order += 1;
    entry.order = order;
    options.onReady();
  };
  const dueMs = (entry: Entry): number => {
    if (entry.state === "backoff") return entry.notBeforeMs;
    return entry.state === "parked"
      ? entry.parkedAtMs + options.unschedulableFlushMs
      : Number.POSITIVE_INFINITY;
  };
  const arm = (): void => {
    const nextMs = Math.min(Number.POSITIVE_INFINITY, ...[...entries.values()].map(dueMs));
    if (nextMs === timerAtMs) return;
    timer?.cancel();
    timerAtMs = nextMs;
    if (nextMs !== Number.POSITIVE_INFINITY)
      timer = clock.setTimer(Math.max(0, nextMs - clock.monotonic()), release);
  };
  const release = (): void => {
    timerAtMs = Number.POSITIVE_INFINITY;
    for (const entry of entries.values()) if (dueMs(entry) <= clock.monotonic()) activate(entry);
    arm();
  };
  const backOff = (entry: Entry): void => {
    entry.attempts += 1;
    const delayMs = Math.min(
      options.backoffInitialMs * 2 ** (entry.attempts - 1),
      options.backoffMaxMs,
    );
    entry.notBeforeMs = clock.monotonic() + delayMs;
  };

  return {
    add(key, priority) {
      const known = entries.get(key);
      if (known !== undefined) {
        known.priority = priority;
        return;
      }
      const entry: Entry = {
        key,
        priority,
        order: 0,
        attempts: 0,
        notBeforeMs: 0,
        parkedAtMs: 0,
        state: "active",
      };
      entries.set(key, entry);
      activate(entry);
    },
    park(key) {
      const entry = entries.get(key);
      if (entry === undefined) return;
      backOff(entry);
      entry.state = "parked";
      entry.parkedAtMs = clock.monotonic();
      arm();
    },
    retry(key) {
      const entry = entries.get(key);
      if (entry === undefined) return;
      backOff(entry);
      entry.state = "backoff";
      arm();
    },
    remove(key) {
      entries.delete(key);
      arm();
    },
    wake() {
      for (const entry of entries.values()) if (entry.state === "parked") entry.state = "backoff";
      for (const entry of entries.values())
        if (entry.state === "backoff" && entry.notBeforeMs <= clock.monotonic()) activate(entry);
      arm();
    },
    take() {
      let best: Entry | undefined;
      for (const entry of entries.values()) {
        if (entry.state !== "active") continue;
        if (
          best === undefined ||
          entry.priority > best.priority ||
          (entry.priority === best.priority && entry.order < best.order)
        )
          best = entry;
      }
      if (best === undefined) return undefined;
      best.state = "taken";
      return best.key;
    },
    get parked() {
      return count("parked");
    },
    get active() {
      return count("active");
    },
    get backingOff() {
      return count("backoff");
    },
    stop() {
      timer?.cancel();
      entries.clear();
    },
  };
}
