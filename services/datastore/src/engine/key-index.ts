import { invariant } from "@wherry/service-kit";
import type { KeyEntry, KeyText } from "./key-version.ts";

/** Children of a node; half of it is kept when a node is split, and nodes are joined below a quarter. */
const FANOUT = 64;
const JOIN_BELOW = FANOUT / 4;

interface Leaf {
  readonly kind: "leaf";
  entries: KeyEntry[];
  live: number;
}

interface Branch {
  readonly kind: "branch";
  children: Node[];
  /** `firsts[i]` is a lower bound of what `children[i]` holds and an upper bound of what `children[i - 1]` holds. */
  firsts: KeyText[];
  live: number;
}

type Node = Leaf | Branch;

/**
 * All keys in order: a B+tree that knows how many live keys lie under each node, so that counting a range costs the same
 * as finding its two ends.
 */
export class KeyIndex {
  #root: Node = { kind: "leaf", entries: [], live: 0 };
  #size = 0;

  /** Keys, deleted ones that still have history included. */
  get size(): number {
    return this.#size;
  }

  get liveCount(): number {
    return this.#root.live;
  }

  get(key: KeyText): KeyEntry | undefined {
    let node = this.#root;
    while (node.kind === "branch") node = node.children[childFor(node, key)] as Node;
    const entry = node.entries[lowerBound(node.entries, key)];
    return entry !== undefined && entry.key === key ? entry : undefined;
  }

  /** The key must not be there yet. */
  insert(entry: KeyEntry): void {
    const split = insertInto(this.#root, entry);
    this.#size += 1;
    if (split === undefined) return;
    this.#root = {
      kind: "branch",
      children: [this.#root, split.node],
      firsts: ["", split.first],
      live: this.#root.live + split.node.live,
    };
  }

  remove(entry: KeyEntry): void {
    removeFrom(this.#root, entry);
    this.#size -= 1;
    while (this.#root.kind === "branch" && this.#root.children.length === 1)
      this.#root = this.#root.children[0] as Node;
  }

  setLive(entry: KeyEntry, live: boolean): void {
    if (entry.live === live) return;
    entry.live = live;
    const by = live ? 1 : -1;
    let node = this.#root;
    for (;;) {
      node.live += by;
      if (node.kind === "leaf") return;
      node = node.children[childFor(node, entry.key)] as Node;
    }
  }

  /** Live keys in `[from, to)`. */
  countLive(from: KeyText, to: KeyText | undefined): number {
    if (to !== undefined && to <= from) return 0;
    const below = to === undefined ? this.#root.live : this.#liveBelow(to);
    return below - this.#liveBelow(from);
  }

  /** Visits the entries of `[from, to)` in order until `visit` returns false. The index must not change meanwhile. */
  scan(from: KeyText, to: KeyText | undefined, visit: (entry: KeyEntry) => boolean): void {
    scanNode(this.#root, from, to, visit);
  }

  #liveBelow(key: KeyText): number {
    let count = 0;
    let node = this.#root;
    while (node.kind === "branch") {
      const at = childFor(node, key);
      for (let index = 0; index < at; index += 1) count += (node.children[index] as Node).live;
      node = node.children[at] as Node;
    }
    for (const entry of node.entries) {
      if (entry.key >= key) break;
      if (entry.live) count += 1;
    }
    return count;
  }
}

function lowerBound(entries: readonly KeyEntry[], key: KeyText): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((entries[middle] as KeyEntry).key < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The child that holds `key` or would hold it. */
function childFor(branch: Branch, key: KeyText): number {
  let low = 1;
  let high = branch.firsts.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((branch.firsts[middle] as KeyText) <= key) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

interface Split {
  readonly node: Node;
  readonly first: KeyText;
}

function insertInto(node: Node, entry: KeyEntry): Split | undefined {
  if (entry.live) node.live += 1;
  if (node.kind === "leaf") {
    const at = lowerBound(node.entries, entry.key);
    invariant(node.entries[at]?.key !== entry.key, "a key is inserted once");
    node.entries.splice(at, 0, entry);
    return node.entries.length <= FANOUT ? undefined : splitLeaf(node, at);
  }
  const at = childFor(node, entry.key);
  const split = insertInto(node.children[at] as Node, entry);
  if (split === undefined) return undefined;
  node.children.splice(at + 1, 0, split.node);
  node.firsts.splice(at + 1, 0, split.first);
  return node.children.length <= FANOUT ? undefined : splitBranch(node);
}

/** Keys that only grow (a load in order) fill leaves up instead of leaving them half empty. */
function splitLeaf(leaf: Leaf, insertedAt: number): Split {
  const isAppend = insertedAt === leaf.entries.length - 1;
  const moved = leaf.entries.splice(isAppend ? FANOUT : FANOUT / 2);
  const live = moved.reduce((sum, entry) => sum + (entry.live ? 1 : 0), 0);
  leaf.live -= live;
  return { node: { kind: "leaf", entries: moved, live }, first: (moved[0] as KeyEntry).key };
}

function splitBranch(branch: Branch): Split {
  const children = branch.children.splice(FANOUT / 2);
  const firsts = branch.firsts.splice(FANOUT / 2);
  const live = children.reduce((sum, child) => sum + child.live, 0);
  branch.live -= live;
  return { node: { kind: "branch", children, firsts, live }, first: firsts[0] as KeyText };
}

function removeFrom(node: Node, entry: KeyEntry): void {
  if (entry.live) node.live -= 1;
  if (node.kind === "leaf") {
    const at = lowerBound(node.entries, entry.key);
    invariant(node.entries[at] === entry, "a removed key is in the index");
    node.entries.splice(at, 1);
    return;
  }
  const at = childFor(node, entry.key);
  const child = node.children[at] as Node;
  removeFrom(child, entry);
  if (widthOf(child) < JOIN_BELOW) joinChild(node, at);
}

function widthOf(node: Node): number {
  return node.kind === "leaf" ? node.entries.length : node.children.length;
}

/** Joins a thin child with a neighbour when both fit into one node. */
function joinChild(parent: Branch, at: number): void {
  const leftAt = at > 0 ? at - 1 : at;
  const left = parent.children[leftAt];
  const right = parent.children[leftAt + 1];
  if (left === undefined || right === undefined || widthOf(left) + widthOf(right) > FANOUT) return;
  if (left.kind === "leaf" && right.kind === "leaf") {
    left.entries.push(...right.entries);
  } else if (left.kind === "branch" && right.kind === "branch") {
    left.children.push(...right.children);
    left.firsts.push(parent.firsts[leftAt + 1] as KeyText, ...right.firsts.slice(1));
  }
  left.live += right.live;
  parent.children.splice(leftAt + 1, 1);
  parent.firsts.splice(leftAt + 1, 1);
}

/** False when the visitor asked to stop or the end of the range is passed. */
function scanNode(
  node: Node,
  from: KeyText,
  to: KeyText | undefined,
  visit: (entry: KeyEntry) => boolean,
): boolean {
  if (node.kind === "leaf") {
    for (let index = lowerBound(node.entries, from); index < node.entries.length; index += 1) {
      const entry = node.entries[index] as KeyEntry;
      if (to !== undefined && entry.key >= to) return false;
      if (!visit(entry)) return false;
    }
    return true;
  }
  for (let index = childFor(node, from); index < node.children.length; index += 1) {
    if (!scanNode(node.children[index] as Node, from, to, visit)) return false;
  }
  return true;
}
