import type { Clock } from "@wherry/service-kit";

/** How long one slice of work may hold the event loop, in ms. */
const sliceMs = 5;
/** The clock is looked at once in so many questions. */
const questionsPerLook = 32;

export interface Turns {
  /** True when the slice is used up; cheap enough to ask after each item. */
  isOver(): boolean;
  /** Lets the event loop serve everybody else, then begins a new slice. */
  next(): Promise<void>;
}

/** Divides long work into slices, so that nobody holds the event loop. */
export function createTurns(clock: Pick<Clock, "monotonic">): Turns {
  let begun = clock.monotonic();
  let questions = 0;
  return {
    isOver() {
      questions += 1;
      return questions % questionsPerLook === 0 && clock.monotonic() - begun >= sliceMs;
    },
    async next() {
      await new Promise<void>((resolve) => {
        setImmediate(resolve);
      });
      begun = clock.monotonic();
    },
  };
}
