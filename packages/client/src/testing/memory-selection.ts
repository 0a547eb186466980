import {
  everyField,
  everyLabel,
  newBadRequest,
  parseFieldSelector,
  parseLabelSelector,
  type FieldMatcher,
  type KubeObject,
  type LabelMatcher,
} from "@wherry/machinery";
import type { ResourceRef } from "../api-client.ts";
import { fieldValues, selectableFields } from "./memory-resources.ts";
import type { MemoryChange } from "./memory-store.ts";

/** The selectors of a list, a watch or a deletion of many. */
export interface Selection {
  readonly labels: LabelMatcher;
  readonly fields: FieldMatcher;
}

export function parseSelection(ref: ResourceRef, query: URLSearchParams): Selection {
  const labelText = query.get("labelSelector") ?? "";
  const fieldText = query.get("fieldSelector") ?? "";
  const fields = fieldText === "" ? everyField : parseFieldSelector(fieldText);
  const known = selectableFields(ref);
  for (const { field } of fields.requirements) {
    if (!known.includes(field)) throw newBadRequest(`field label not supported: ${field}`);
  }
  return { labels: labelText === "" ? everyLabel : parseLabelSelector(labelText), fields };
}

export function isSelected(
  ref: ResourceRef,
  { labels, fields }: Selection,
  object: KubeObject,
): boolean {
  return (
    labels.matches(object.metadata.labels) &&
    (fields.empty || fields.matches(fieldValues(ref, object)))
  );
}

/** What a change is to a watcher with a selection: coming into it is ADDED, leaving it DELETED. */
export function visibleChange(
  ref: ResourceRef,
  selection: Selection,
  change: MemoryChange,
): string | undefined {
  const before = change.previous !== undefined && isSelected(ref, selection, change.previous);
  if (change.type === "DELETED") return before ? "DELETED" : undefined;
  const after = isSelected(ref, selection, change.object);
  if (after) return before ? "MODIFIED" : "ADDED";
  return before ? "DELETED" : undefined;
}
