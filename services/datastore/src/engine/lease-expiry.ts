import type { Clock, Timer } from "@wherry/service-kit";
import type { Lease } from "./lease-table.ts";

/** Leases that expire together are revoked in groups of this size, so that a wave of them does not hold the loop. */
const EXPIRE_GROUP = 50;

/** After a revocation that the log did not accept. */
const RETRY_MS = 1000;

export interface LeaseExpiryDeps {
  readonly clock: Clock;
  /** The lease with the earliest end comes first in `due`; gives false when nothing could be revoked now. */
  readonly revoke: (lease: Lease) => boolean;
}

interface Entry {
  readonly lease: Lease;
  readonly expiresMs: number;
}

/**
 * One timer for all leases, set for the earliest end: a binary heap with an entry per grant. A renewal does not touch the heap;
 * the entry is put back when its old end comes.
 */
export class LeaseExpiry {
  readonly #deps: LeaseExpiryDeps;
  readonly #heap: Entry[] = [];
  #timer: Timer | undefined;
  #timerMs = Number.POSITIVE_INFINITY;
  #stopped = false;

  constructor(deps: LeaseExpiryDeps) {
    this.#deps = deps;
  }

  track(lease: Lease): void {
    this.#push({ lease, expiresMs: lease.expiresMs });
    this.#arm();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #arm(waitMs = 0): void {
    const first = this.#heap[0];
    if (first === undefined || this.#stopped) return;
    const nowMs = this.#deps.clock.monotonic();
    const dueMs = Math.max(first.expiresMs, nowMs + waitMs);
    if (this.#timer !== undefined && this.#timerMs <= dueMs) return;
    this.#timer?.cancel();
    this.#timerMs = dueMs;
    this.#timer = this.#deps.clock.setTimer(Math.max(dueMs - nowMs, 0), () => {
      this.#timer = undefined;
      this.#expire();
    });
  }

  #expire(): void {
    const nowMs = this.#deps.clock.monotonic();
    for (let count = 0; count < EXPIRE_GROUP; count += 1) {
      const first = this.#heap[0];
      if (first === undefined || first.expiresMs > nowMs) break;
      this.#pop();
      if (first.lease.expiresMs > nowMs) {
        this.#push({ lease: first.lease, expiresMs: first.lease.expiresMs });
      } else if (!this.#deps.revoke(first.lease)) {
        this.#push(first);
        return this.#arm(RETRY_MS);
      }
    }
    this.#arm();
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    let at = heap.push(entry) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if ((heap[parent] as Entry).expiresMs <= entry.expiresMs) break;
      heap[at] = heap[parent] as Entry;
      at = parent;
    }
    heap[at] = entry;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= heap.length) break;
      if (
        child + 1 < heap.length &&
        (heap[child + 1] as Entry).expiresMs < (heap[child] as Entry).expiresMs
      )
        child += 1;
      if ((heap[child] as Entry).expiresMs >= last.expiresMs) break;
      heap[at] = heap[child] as Entry;
      at = child;
    }
    heap[at] = last;
  }
}
