import { isEmptyTree, listAt, textAt, textMapAt, treesAt } from "../tree.ts";

const operators = new Set(["In", "NotIn", "Exists", "DoesNotExist"]);

/** A label selector as text ("a=b,c in (d,e)"), "" for an empty or missing one, undefined for an invalid one. */
export function selectorText(selector: unknown): string | undefined {
  const parts: { key: string; text: string }[] = [];
  for (const [key, value] of Object.entries(textMapAt(selector, "matchLabels"))) {
    parts.push({ key, text: `${key}=${value}` });
  }
  for (const expression of treesAt(selector, "matchExpressions")) {
    const key = textAt(expression, "key");
    const operator = textAt(expression, "operator");
    const values = listAt(expression, "values").map(String).sort();
    if (!operators.has(operator)) return undefined;
    if ((operator === "In" || operator === "NotIn") && values.length === 0) return undefined;
    parts.push({ key, text: expressionText(key, operator, values) });
  }
  return parts
    .sort((left, right) => (left.key < right.key ? -1 : left.key > right.key ? 1 : 0))
    .map((part) => part.text)
    .join(",");
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

function expressionText(key: string, operator: string, values: readonly string[]): string {
  switch (operator) {
    case "In":
      return `${key} in (${values.join(",")})`;
    case "NotIn":
      return `${key} notin (${values.join(",")})`;
    case "Exists":
      return key;
    default:
      return `!${key}`;
  }
}
