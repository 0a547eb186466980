import type { Clock, Timer } from "@wherry/service-kit";

/** Wakes all watches that want bookmarks with one timer, and none at all while there is no such watch. */
export interface BookmarkClock {
  add(callback: () => void): () => void;
}

export const bookmarkIntervalMs = 60_000;

export function createBookmarkClock(clock: Clock, intervalMs = bookmarkIntervalMs): BookmarkClock {
  const callbacks = new Set<() => void>();
  let timer: Timer | undefined;
  const arm = (): void => {
    timer = clock.setTimer(intervalMs, () => {
      timer = undefined;
      for (const callback of callbacks) callback();
      if (callbacks.size > 0) arm();
    });
  };
  return {
    add(callback) {
      callbacks.add(callback);
      if (timer === undefined) arm();
      return () => {
        callbacks.delete(callback);
        if (callbacks.size > 0) return;
        timer?.cancel();
        timer = undefined;
      };
    },
  };
}
