import type { WatchEventType } from "@wherry/machinery";
import type { CacheEntry } from "./cache-entry.ts";
import type { ObjectSelector } from "./object-selector.ts";

/** A change of one object, from the cache's window or the store's log. */
export interface ObjectTransition {
  readonly revision: number;
  readonly entry: CacheEntry | undefined;
  readonly previous: CacheEntry | undefined;
}

export interface SelectedEvent {
  readonly type: Extract<WatchEventType, "ADDED" | "MODIFIED" | "DELETED">;
  readonly entry: CacheEntry;
  /** resourceVersion that the event shows. */
  readonly revision: number;
}

/**
 * What a watcher with a selector sees of a change: an object that begins to match is ADDED, one that no longer matches (or is gone) is DELETED in its last
 * matching state with the revision of the change.
 */
export function selectEvent(
  selector: ObjectSelector,
  { entry, previous, revision }: ObjectTransition,
): SelectedEvent | undefined {
  const path = (entry ?? previous)?.path;
  if (path === undefined || !selector.inRange(path)) return undefined;
  const now = entry !== undefined && (selector.matchesAll || selector.matches(entry));
  const before = previous !== undefined && (selector.matchesAll || selector.matches(previous));
  if (now) return { type: before ? "MODIFIED" : "ADDED", entry, revision };
  return before ? { type: "DELETED", entry: previous, revision } : undefined;
}
