import {
  labelSelectorFrom,
  labelValueErrors,
  MachineryError,
  qualifiedNameErrors,
} from "@wherry/machinery";
import { isEmptyTree, listAt, stringsAt, textAt, textMapAt, treesAt, type Tree } from "../tree.ts";
import { validateLabels } from "./metadata.ts";
import type { Problems } from "./problems.ts";

export function validateLabelSelector(
  problems: Problems,
  selector: Tree | undefined,
  path: string,
): void {
  if (selector === undefined) return;
  validateLabels(problems, textMapAt(selector, "matchLabels"), `${path}.matchLabels`);
  for (const [index, requirement] of treesAt(selector, "matchExpressions").entries()) {
    const field = `${path}.matchExpressions[${index}]`;
    const operator = textAt(requirement, "operator");
    const values = listAt(requirement, "values");
    if (operator === "In" || operator === "NotIn") {
      if (values.length === 0)
        problems.required(
          `${field}.values`,
          "must be specified when `operator` is 'In' or 'NotIn'",
        );
    } else if (operator === "Exists" || operator === "DoesNotExist") {
      if (values.length > 0) {
        problems.forbidden(
          `${field}.values`,
          "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
        );
      }
    } else problems.invalid(`${field}.operator`, operator, "not a valid selector operator");
    const key = textAt(requirement, "key");
    problems.invalidBy(`${field}.key`, key, qualifiedNameErrors(key));
    for (const [position, value] of stringsAt(requirement, "values").entries()) {
      problems.invalidBy(`${field}.values[${position}]`, value, labelValueErrors(value));
    }
  }
}

/** True if the labels match; undefined for a selector that cannot be used. A missing selector matches nothing. */
export function selectorMatches(
  selector: Tree | undefined,
  labels: Readonly<Record<string, string>>,
): boolean | undefined {
  if (selector === undefined) return false;
  if (isEmptyTree(selector)) return true;
  try {
    return labelSelectorFrom(selector).matches(labels);
  } catch (error) {
    if (error instanceof MachineryError) return undefined;
    throw error;
  }
}

/** Requirements on nodes, which know two operators more. */
export function validateNodeRequirement(
  problems: Problems,
  requirement: Tree,
  field: string,
): void {
  const operator = textAt(requirement, "operator");
  const values = stringsAt(requirement, "values");
  switch (operator) {
    case "In":
    case "NotIn":
      if (values.length === 0)
        problems.required(
          `${field}.values`,
          "must be specified when `operator` is 'In' or 'NotIn'",
        );
      break;
    case "Exists":
    case "DoesNotExist":
      if (values.length > 0) {
        problems.forbidden(
          `${field}.values`,
          "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
        );
      }
      break;
    case "Gt":
    case "Lt":
      if (values.length !== 1) {
        problems.required(
          `${field}.values`,
          "must be specified single value when `operator` is 'Lt' or 'Gt'",
        );
      }
      break;
    default:
      problems.invalid(`${field}.operator`, operator, "not a valid selector operator");
  }
  const key = textAt(requirement, "key");
  problems.invalidBy(`${field}.key`, key, qualifiedNameErrors(key));
}
