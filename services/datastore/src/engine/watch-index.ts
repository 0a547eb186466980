import { rangeContains, type KeyRange, type KeyText } from "./key-version.ts";

/** Beyond this number of different ranges a lookup compares with each, instead of keeping a table of segments. */
const SEGMENTED_RANGES_MAX = 1024;

/**
 * Finds the watches that a key concerns. Watches of the same range are one group. The ends of all ranges cut the key space
 * into segments, each with the list of groups that cover it; the table is made anew when it is needed after a change.
 */
export class WatchIndex<Watch extends { readonly range: KeyRange }> {
  readonly #byKey = new Map<KeyText, Set<Watch>>();
  readonly #spans = new Map<string, Group<Watch>>();
  #segments: Segments<Watch> | undefined;

  add(watch: Watch): void {
    const { range } = watch;
    if (range.kind === "key") {
      const watches = this.#byKey.get(range.key);
      if (watches === undefined) this.#byKey.set(range.key, new Set([watch]));
      else watches.add(watch);
      return;
    }
    const name = nameOf(range);
    const group = this.#spans.get(name);
    if (group !== undefined) {
      group.watches.add(watch);
      return;
    }
    this.#spans.set(name, { range, watches: new Set([watch]) });
    this.#segments = undefined;
  }

  remove(watch: Watch): void {
    const { range } = watch;
    if (range.kind === "key") {
      const watches = this.#byKey.get(range.key);
      watches?.delete(watch);
      if (watches?.size === 0) this.#byKey.delete(range.key);
      return;
    }
    const name = nameOf(range);
    const group = this.#spans.get(name);
    group?.watches.delete(watch);
    if (group?.watches.size !== 0) return;
    this.#spans.delete(name);
    this.#segments = undefined;
  }

  visit(key: KeyText, visit: (watch: Watch) => void): void {
    const single = this.#byKey.get(key);
    if (single !== undefined) for (const watch of single) visit(watch);
    if (this.#spans.size === 0) return;
    if (this.#spans.size > SEGMENTED_RANGES_MAX) {
      for (const group of this.#spans.values()) {
        if (rangeContains(group.range, key)) for (const watch of group.watches) visit(watch);
      }
      return;
    }
    this.#segments ??= segmentsOf([...this.#spans.values()]);
    for (const group of groupsAt(this.#segments, key)) {
      for (const watch of group.watches) visit(watch);
    }
  }
}

interface Group<Watch> {
  readonly range: Extract<KeyRange, { kind: "span" }>;
  readonly watches: Set<Watch>;
}

interface Segments<Watch> {
  /** Sorted; segment `i` reaches from `bounds[i]` to `bounds[i + 1]`. */
  readonly bounds: readonly KeyText[];
  readonly groups: readonly (readonly Group<Watch>[])[];
}

function nameOf(range: Extract<KeyRange, { kind: "span" }>): string {
  return `${range.from.length}:${range.from}${range.to === undefined ? "" : `>${range.to}`}`;
}

function segmentsOf<Watch>(groups: readonly Group<Watch>[]): Segments<Watch> {
  const bounds = [
    ...new Set(
      groups.flatMap(({ range }) =>
        range.to === undefined ? [range.from] : [range.from, range.to],
      ),
    ),
  ].sort();
  return {
    bounds,
    groups: bounds.map((bound) => groups.filter((group) => rangeContains(group.range, bound))),
  };
}

function groupsAt<Watch>(
  { bounds, groups }: Segments<Watch>,
  key: KeyText,
): readonly Group<Watch>[] {
  let low = 0;
  let high = bounds.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((bounds[middle] as KeyText) <= key) low = middle + 1;
    else high = middle;
  }
  return low === 0 ? [] : (groups[low - 1] ?? []);
}
