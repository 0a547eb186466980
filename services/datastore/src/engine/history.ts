import type { KeyVersion } from "./key-version.ts";

/** Space of dropped versions is given back once this many lie at the front. */
const SHRINK_AT = 4096;

/** Every version since the last compaction in order of revision: what watches from old revisions are fed from. */
export class History {
  #versions: KeyVersion[] = [];
  /** Versions before this index are dropped already. */
  #start = 0;

  get length(): number {
    return this.#versions.length - this.#start;
  }

  push(version: KeyVersion): void {
    this.#versions.push(version);
  }

  /** Takes the newest version back. */
  pop(): void {
    this.#versions.pop();
  }

  at(index: number): KeyVersion {
    return this.#versions[this.#start + index] as KeyVersion;
  }

  /** Index of the first version with that revision or a later one. */
  indexOf(revision: number): number {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.at(middle).revision < revision) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  dropBefore(revision: number): void {
    this.#start += this.indexOf(revision);
    if (this.#start < SHRINK_AT && this.length > 0) return;
    this.#versions.splice(0, this.#start);
    this.#start = 0;
  }
}
