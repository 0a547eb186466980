import { labelSelectorFrom, MachineryError, type LabelSelector } from "@wherry/machinery";
import { isEmptyTree, textMapAt } from "../tree.ts";

/** A label selector as text ("a=b,c in (d,e)"), "" for an empty or missing one, undefined for an invalid one. */
export function selectorText(selector: unknown): string | undefined {
  if (isEmptyTree(selector)) return "";
  try {
    return labelSelectorFrom(selector as LabelSelector).toString();
  } catch (error) {
    if (error instanceof MachineryError) return undefined;
    throw error;
  }
}

/** As table cells show it. */
export function selectorCell(selector: unknown): string {
  if (isEmptyTree(selector)) return "<none>";
  const text = selectorText(selector);
  if (text === undefined) return "<error>";
  return text === "" ? "<none>" : text;
}

/** A map as "k=v,k=v" in the order of its keys. */
export function mapCell(map: unknown): string {
  const entries = Object.entries(textMapAt(map)).sort(([left], [right]) => (left < right ? -1 : 1));
  if (entries.length === 0) return "<none>";
  return entries.map(([key, value]) => `${key}=${value}`).join(",");
}
