/**
 * A mutable JSON object while a request is under way. Defaults, strategies and validation work on many kinds alike, so they read untyped trees
 * by name: what is missing or of another type reads as empty, because decoding has already refused wrong types.
 */
export type Tree = { [key: string]: unknown };

export function isTree(value: unknown): value is Tree {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The object at the path, or undefined. */
export function treeAt(tree: unknown, ...path: readonly string[]): Tree | undefined {
  const value = valueAt(tree, ...path);
  return isTree(value) ? value : undefined;
}

export function valueAt(tree: unknown, ...path: readonly string[]): unknown {
  let value = tree;
  for (const key of path) {
    if (!isTree(value)) return undefined;
    value = value[key];
  }
  return value;
}

/** The object under the key, made if it is missing. */
export function ensureTree(tree: Tree, key: string): Tree {
  const value = tree[key];
  if (isTree(value)) return value;
  const made: Tree = {};
  tree[key] = made;
  return made;
}

/** The objects of the array at the path; empty if there is none. */
export function treesAt(tree: unknown, ...path: readonly string[]): readonly Tree[] {
  const value = valueAt(tree, ...path);
  return Array.isArray(value) ? value.filter(isTree) : [];
}

export function listAt(tree: unknown, ...path: readonly string[]): readonly unknown[] {
  const value = valueAt(tree, ...path);
  return Array.isArray(value) ? value : [];
}

export function stringsAt(tree: unknown, ...path: readonly string[]): readonly string[] {
  return listAt(tree, ...path).filter((value) => typeof value === "string");
}

/** The string at the path, "" if there is none. */
export function textAt(tree: unknown, ...path: readonly string[]): string {
  const value = valueAt(tree, ...path);
  return typeof value === "string" ? value : "";
}

/** The number at the path, undefined if there is none. */
export function numberAt(tree: unknown, ...path: readonly string[]): number | undefined {
  const value = valueAt(tree, ...path);
  return typeof value === "number" ? value : undefined;
}

export function booleanAt(tree: unknown, ...path: readonly string[]): boolean | undefined {
  const value = valueAt(tree, ...path);
  return typeof value === "boolean" ? value : undefined;
}

/** The map of strings at the path; empty if there is none. */
export function textMapAt(
  tree: unknown,
  ...path: readonly string[]
): Readonly<Record<string, string>> {
  return (treeAt(tree, ...path) ?? {}) as Record<string, string>;
}

/** Sets a field that is unset; zero counts as set (a pointer in Go). */
export function setIfUnset(tree: Tree, key: string, value: unknown): void {
  if (tree[key] === undefined || tree[key] === null) tree[key] = value;
}

/** Sets a field that is unset or zero (a value in Go). */
export function setIfZero(tree: Tree, key: string, value: unknown): void {
  const present = tree[key];
  if (present === undefined || present === null || present === "" || present === 0) {
    tree[key] = value;
  }
}

export function isEmptyTree(value: unknown): boolean {
  return !isTree(value) || Object.keys(value).length === 0;
}

/** A deep copy that shares nothing with the original. */
export function copyOf<T>(value: T): T {
  if (Array.isArray(value)) return value.map(copyOf) as T;
  if (!isTree(value)) return value;
  const copy: Tree = {};
  for (const key of Object.keys(value)) copy[key] = copyOf(value[key]);
  return copy as T;
}

/**
 * Equality of two JSON values as upstream's semantic comparison sees it: null, missing and empty lists and maps are the same.
 */
export function sameValue(left: unknown, right: unknown): boolean {
  if (left === right) return true;
  if (isNothing(left) || isNothing(right)) return isNothing(left) && isNothing(right);
  if (Array.isArray(left)) {
    return (
      Array.isArray(right) &&
      left.length === right.length &&
      left.every((item, index) => sameValue(item, right[index]))
    );
  }
  if (!isTree(left) || !isTree(right)) return false;
  for (const key of Object.keys(left)) if (!sameValue(left[key], right[key])) return false;
  for (const key of Object.keys(right)) {
    if (!(key in left) && !isNothing(right[key])) return false;
  }
  return true;
}

function isNothing(value: unknown): boolean {
  if (value === undefined || value === null) return true;
  if (Array.isArray(value)) return value.length === 0;
  return isTree(value) && Object.keys(value).length === 0;
}
