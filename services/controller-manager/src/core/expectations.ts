import type { Clock } from "@wherry/service-kit";

/**
 * Creations and deletions that a controller has asked for and not yet seen in its cache (client-go's ControllerExpectations): while some are
 * outstanding, the cache is behind and must not be counted. Given up after five minutes, as upstream does.
 */
export interface Expectations {
  expectCreations(key: string, count: number): void;
  expectDeletions(key: string, uids: readonly string[]): void;
  sawCreation(key: string): void;
  sawDeletion(key: string, uid: string): void;
  satisfied(key: string): boolean;
  forget(key: string): void;
}

/** After this a creation or deletion that was never seen is no longer waited for. */
export const GIVE_UP_MS = 300_000;

export function createExpectations(clock: Clock): Expectations {
  const open = new Map<
    string,
    { creations: number; readonly deletions: Set<string>; readonly sinceMs: number }
  >();
  const entry = (key: string) => {
    const existing = open.get(key);
    if (existing !== undefined) return existing;
    const made = { creations: 0, deletions: new Set<string>(), sinceMs: clock.monotonic() };
    open.set(key, made);
    return made;
  };
  return {
    expectCreations(key, count) {
      entry(key).creations += count;
    },
    expectDeletions(key, uids) {
      for (const uid of uids) entry(key).deletions.add(uid);
    },
    sawCreation(key) {
      const found = open.get(key);
      if (found !== undefined) found.creations -= 1;
    },
    sawDeletion(key, uid) {
      open.get(key)?.deletions.delete(uid);
    },
    satisfied(key) {
      const found = open.get(key);
      if (found === undefined) return true;
      if (
        (found.creations > 0 || found.deletions.size > 0) &&
        clock.monotonic() - found.sinceMs < GIVE_UP_MS
      )
        return false;
      open.delete(key);
      return true;
    },
    forget: (key) => void open.delete(key),
  };
}
