/**
 * A persistent (copy-on-write) map from string keys to values in key order: a B-tree of two levels. Every change returns a new map that
 * shares all leaves but one with the old map, so a reader keeps a consistent snapshot for free. Leaves hold up to `leafEntriesMax` entries; the
 * index above them is one array, copied on each change (150,000 entries = about 2,000 pointers).
 *
 * Keys compare by UTF-16 code unit, which for the ASCII names of Kubernetes is the byte order of the store.
 */
const leafEntriesMax = 128;

interface Leaf<V> {
  readonly keys: readonly string[];
  readonly values: readonly V[];
}

export class SortedMap<V> {
  readonly size: number;
  readonly #leaves: readonly Leaf<V>[];

  private constructor(leaves: readonly Leaf<V>[], size: number) {
    this.#leaves = leaves;
    this.size = size;
  }

  static empty<V>(): SortedMap<V> {
    return new SortedMap<V>([], 0);
  }

  /** `entries` must be in strictly rising key order. */
  static fromSorted<V>(entries: readonly (readonly [string, V])[]): SortedMap<V> {
    const leaves: Leaf<V>[] = [];
    const leafEntries = leafEntriesMax / 2;
    for (let start = 0; start < entries.length; start += leafEntries) {
      const part = entries.slice(start, start + leafEntries);
      leaves.push({ keys: part.map(([key]) => key), values: part.map(([, value]) => value) });
    }
    return new SortedMap(leaves, entries.length);
  }

  get(key: string): V | undefined {
    const leaf = this.#leaves[this.#leafIndexOf(key)];
    if (leaf === undefined) return undefined;
    const at = lowerBound(leaf.keys, key);
    return leaf.keys[at] === key ? leaf.values[at] : undefined;
  }

  set(key: string, value: V): SortedMap<V> {
    const leafIndex = this.#leafIndexOf(key);
    const leaf = this.#leaves[leafIndex];
    if (leaf === undefined) return new SortedMap([{ keys: [key], values: [value] }], 1);
    const at = lowerBound(leaf.keys, key);
    const leaves = this.#leaves.slice();
    if (leaf.keys[at] === key) {
      leaves[leafIndex] = { keys: leaf.keys, values: leaf.values.with(at, value) };
      return new SortedMap(leaves, this.size);
    }
    const keys = leaf.keys.toSpliced(at, 0, key);
    const values = leaf.values.toSpliced(at, 0, value);
    if (keys.length <= leafEntriesMax) {
      leaves[leafIndex] = { keys, values };
    } else {
      // Appending in order (names with a rising suffix) leaves full leaves behind; anything else splits in the middle.
      const half = at === leaf.keys.length ? leafEntriesMax : keys.length >>> 1;
      leaves.splice(
        leafIndex,
        1,
        { keys: keys.slice(0, half), values: values.slice(0, half) },
        { keys: keys.slice(half), values: values.slice(half) },
      );
    }
    return new SortedMap(leaves, this.size + 1);
  }

  delete(key: string): SortedMap<V> {
    const leafIndex = this.#leafIndexOf(key);
    const leaf = this.#leaves[leafIndex];
    if (leaf === undefined) return this;
    const at = lowerBound(leaf.keys, key);
    if (leaf.keys[at] !== key) return this;
    const leaves = this.#leaves.slice();
    if (leaf.keys.length === 1) leaves.splice(leafIndex, 1);
    else
      leaves[leafIndex] = {
        keys: leaf.keys.toSpliced(at, 1),
        values: leaf.values.toSpliced(at, 1),
      };
    return new SortedMap(leaves, this.size - 1);
  }

  /** Values with `from <= key < to` in key order; `to` absent = to the end. */
  *range(from = "", to?: string): Generator<V, void, undefined> {
    for (
      let leafIndex = Math.max(0, this.#leafIndexOf(from));
      leafIndex < this.#leaves.length;
      leafIndex++
    ) {
      const { keys, values } = this.#leaves[leafIndex]!;
      for (let at = lowerBound(keys, from); at < keys.length; at++) {
        if (to !== undefined && keys[at]! >= to) return;
        yield values[at]!;
      }
    }
  }

  /** Number of keys with `from <= key < to`, without visiting them all. */
  count(from = "", to?: string): number {
    return (to === undefined ? this.size : this.#rank(to)) - this.#rank(from);
  }

  /** Number of keys below `key`. */
  #rank(key: string): number {
    const leafIndex = this.#leafIndexOf(key);
    let rank = 0;
    for (let before = 0; before < leafIndex; before++) rank += this.#leaves[before]!.keys.length;
    const leaf = this.#leaves[leafIndex];
    return leaf === undefined ? rank : rank + lowerBound(leaf.keys, key);
  }

  /** The last leaf whose first key is not above `key`; 0 if there is none. */
  #leafIndexOf(key: string): number {
    let low = 0;
    let high = this.#leaves.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#leaves[middle]!.keys[0]! <= key) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }
}

function lowerBound(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (keys[middle]! < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
