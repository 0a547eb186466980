/** One element of an nftables set (no `value`) or map. */
export interface Element {
  /** The set's or map's name. */
  readonly set: string;
  readonly key: string;
  readonly value?: string;
}

export interface ElementChanges {
  readonly removed: readonly Element[];
  readonly added: readonly Element[];
}

interface Claim {
  readonly owner: string;
  readonly element: Element;
}

/**
 * What the elements of a table should be, as the sum of what each owner (a service, a pod) claims, and what changed since it was last
 * asked. Two owners may claim one key (a hairpin pair that they share, or a node port that both want): the owner whose name sorts
 * first has it, whatever the order in which they came.
 */
export class ElementLedger {
  readonly #claims = new Map<string, Claim | Claim[]>();
  readonly #owned = new Map<string, readonly Element[]>();
  /** What the kernel holds for each touched key (undefined = nothing). */
  readonly #before = new Map<string, Element | undefined>();

  /** Replaces everything that `owner` claims; an empty list forgets it. */
  replace(owner: string, elements: readonly Element[]): void {
    const previous = this.#owned.get(owner) ?? [];
    if (
      previous.length === elements.length &&
      previous.every((element, index) => sameElement(element, elements[index]))
    )
      return;
    for (const element of previous) this.#release(owner, element);
    for (const element of elements) this.#claim(owner, element);
    if (elements.length === 0) this.#owned.delete(owner);
    else this.#owned.set(owner, elements);
  }

  owners(): IterableIterator<string> {
    return this.#owned.keys();
  }

  /** True when the owner's claim of this key is the one in force. */
  holds(owner: string, element: Element): boolean {
    const claim = this.#holder(elementId(element));
    return claim?.owner === owner;
  }

  /** Everything that should be in the table. */
  *elements(): IterableIterator<Element> {
    for (const claim of this.#claims.values()) {
      const first = Array.isArray(claim) ? claim[0] : claim;
      if (first !== undefined) yield first.element;
    }
  }

  get size(): number {
    return this.#claims.size;
  }

  get hasChanges(): boolean {
    return this.#before.size > 0;
  }

  /** The difference to the last call; the caller either applies it or does a full sync from `elements()`. */
  takeChanges(): ElementChanges {
    const removed: Element[] = [];
    const added: Element[] = [];
    for (const [id, before] of this.#before) {
      const after = this.#holder(id)?.element;
      if (before !== undefined && after !== undefined && before.value === after.value) continue;
      if (before !== undefined) removed.push(before);
      if (after !== undefined) added.push(after);
    }
    this.#before.clear();
    return { removed, added };
  }

  #claim(owner: string, element: Element): void {
    const id = elementId(element);
    const held = this.#claims.get(id);
    this.#touch(id);
    const claim = { owner, element };
    if (held === undefined) {
      this.#claims.set(id, claim);
      return;
    }
    const claims = Array.isArray(held) ? held : [held];
    const own = claims.findIndex((other) => other.owner === owner);
    if (own >= 0) claims[own] = claim;
    else claims.push(claim);
    claims.sort((a, b) => (a.owner < b.owner ? -1 : a.owner > b.owner ? 1 : 0));
    this.#claims.set(id, claims);
  }

  #release(owner: string, element: Element): void {
    const id = elementId(element);
    const held = this.#claims.get(id);
    if (held === undefined) return;
    this.#touch(id);
    const left = (Array.isArray(held) ? held : [held]).filter((claim) => claim.owner !== owner);
    const first = left[0];
    if (first === undefined) this.#claims.delete(id);
    else this.#claims.set(id, left.length === 1 ? first : left);
  }

  #touch(id: string): void {
    if (!this.#before.has(id)) this.#before.set(id, this.#holder(id)?.element);
  }

  #holder(id: string): Claim | undefined {
    const held = this.#claims.get(id);
    return Array.isArray(held) ? held[0] : held;
  }
}

function elementId(element: Element): string {
  return `${element.set} ${element.key}`;
}

function sameElement(a: Element, b: Element | undefined): boolean {
  return b !== undefined && a.set === b.set && a.key === b.key && a.value === b.value;
}
