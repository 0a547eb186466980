import type { KubeObject } from "@wherry/machinery";
import type { Clock } from "@wherry/service-kit";

/**
 * Remembers what a controller wrote until its informer shows it, so that a cache that lags behind is not acted upon (it would create what
 * exists already under another generated name). A write that is never shown, because it was undone at once, is forgotten after a while.
 */
export interface WriteLedger {
  wrote(group: string, object: KubeObject): void;
  /** Milliseconds to wait at most until the cache can be trusted for this group, or undefined when it can be already. */
  pendingMs(group: string, cached: (name: string) => KubeObject | undefined): number | undefined;
  forget(group: string): void;
}

interface Entry {
  readonly resourceVersion: string;
  readonly untilMs: number;
}

const waitMaxMs = 5_000;

export function createWriteLedger(clock: Clock): WriteLedger {
  const groups = new Map<string, Map<string, Entry>>();
  return {
    wrote(group, { metadata }) {
      const entries = groups.get(group) ?? new Map<string, Entry>();
      groups.set(group, entries);
      entries.set(metadata.name ?? "", {
        resourceVersion: metadata.resourceVersion ?? "",
        untilMs: clock.monotonic() + waitMaxMs,
      });
    },
    pendingMs(group, cached) {
      const entries = groups.get(group);
      if (entries === undefined) return undefined;
      const nowMs = clock.monotonic();
      let waitMs: number | undefined;
      for (const [name, entry] of entries) {
        const shown = cached(name)?.metadata.resourceVersion;
        const isShown = shown !== undefined && !isOlder(shown, entry.resourceVersion);
        if (isShown || nowMs >= entry.untilMs) entries.delete(name);
        else waitMs = Math.max(waitMs ?? 0, entry.untilMs - nowMs);
      }
      if (entries.size === 0) groups.delete(group);
      return waitMs;
    },
    forget: (group) => void groups.delete(group),
  };
}

/** Versions are the store's revisions; one that is no number is taken as another, newer one. */
function isOlder(a: string, b: string): boolean {
  return /^\d+$/.test(a) && /^\d+$/.test(b) && BigInt(a) < BigInt(b);
}
