import { roundedToMilli } from "../quantity.ts";
import { treeAt, type Tree } from "../tree.ts";

export function roundResources(holder: Tree): void {
  roundResourceList(treeAt(holder, "resources", "requests"));
  roundResourceList(treeAt(holder, "resources", "limits"));
}

/** Resource lists keep nothing finer than a thousandth. */
export function roundResourceList(list: Tree | undefined): void {
  if (list === undefined) return;
  for (const [name, value] of Object.entries(list)) {
    // Only suffixes below "m" can be finer.
    if (typeof value === "string" && /[nu]$/.test(value)) list[name] = roundedToMilli(value);
  }
}
