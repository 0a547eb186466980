import type { Clock } from "@wherry/service-kit";

/** Why a wanted number was not given, or none at all. */
export type Refusal = "allocated" | "outOfRange" | "full";

export interface NumberPoolOptions {
  /** Lowest and highest number, both included. */
  readonly first: number;
  readonly last: number;
  /** Numbers at the beginning of the range that are given out unasked only when the rest is used up; they are for those who ask for one. */
  readonly staticCount: number;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

export interface NumberPool {
  /** Takes a certain number for `owner`. */
  take(number: number, owner: string, keep: boolean): Refusal | undefined;
  /** Takes any free number. */
  takeNext(owner: string, keep: boolean): number | Exclude<Refusal, "allocated" | "outOfRange">;
  /** A stored object holds the number. */
  hold(number: number): void;
  release(number: number): void;
}

/** How long a number is kept for a write that has not been seen in the store; more than a request may last. */
const reservationMs = 60_000;
/** Reservations beyond this are swept for expired ones before another is made. */
const reservationsMax = 4096;

/**
 * Who has which number of a range. What stored objects hold is told by `hold` and `release`; a number that was just given out is reserved until its object
 * appears or a minute has passed, so that a write that failed gives it back without anybody having to say so.
 */
export function createNumberPool(options: NumberPoolOptions): NumberPool {
  const held = new Map<number, number>();
  const reserved = new Map<number, { readonly owner: string; readonly until: number }>();
  const { first, last } = options;
  const size = last - first + 1;
  const staticCount = Math.min(options.staticCount, size);

  const free = (number: number, owner: string | undefined): boolean => {
    if (held.has(number)) return false;
    const reservation = reserved.get(number);
    return (
      reservation === undefined ||
      reservation.owner === owner ||
      reservation.until <= options.clock.monotonic()
    );
  };
  const reserve = (number: number, owner: string): void => {
    const now = options.clock.monotonic();
    if (reserved.size >= reservationsMax) {
      for (const [other, { until }] of reserved) {
        if (until <= now) reserved.delete(other);
      }
    }
    reserved.set(number, { owner, until: now + reservationMs });
  };
  /** The first free number at or after a random place in [from, from + count), wrapping around. */
  const search = (from: number, count: number): number | undefined => {
    if (count <= 0) return undefined;
    const start = Math.floor(options.random() * count);
    for (let step = 0; step < count; step += 1) {
      const number = from + ((start + step) % count);
      if (free(number, undefined)) return number;
    }
    return undefined;
  };

  return {
    take(number, owner, keep) {
      if (!Number.isInteger(number) || number < first || number > last) return "outOfRange";
      if (!free(number, owner)) return "allocated";
      if (keep) reserve(number, owner);
      return undefined;
    },
    takeNext(owner, keep) {
      const number = search(first + staticCount, size - staticCount) ?? search(first, staticCount);
      if (number === undefined) return "full";
      if (keep) reserve(number, owner);
      return number;
    },
    hold(number) {
      held.set(number, (held.get(number) ?? 0) + 1);
      reserved.delete(number);
    },
    release(number) {
      const count = (held.get(number) ?? 0) - 1;
      if (count > 0) held.set(number, count);
      else held.delete(number);
    },
  };
}

/** How many numbers upstream sets aside at the beginning of a range: a share of it within limits. */
export function staticBand(size: number, share: number, most: number): number {
  const least = 16;
  if (size <= least) return 0;
  return Math.min(Math.max(least, Math.floor(size / share)), most);
}
