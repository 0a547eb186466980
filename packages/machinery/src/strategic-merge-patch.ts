import { canonicalJson } from "./canonical-json.ts";
import { goValue } from "./go-format.ts";
import { isJsonArray, isJsonObject, jsonEntries, jsonEqual } from "./json-value.ts";
import { MachineryError } from "./machinery-error.ts";
import type { Json, JsonObject } from "./meta.ts";

/**
 * Strategic merge patch, with the results and error texts of k8s.io/apimachinery/pkg/util/strategicpatch when the API server applies one.
 *
 * 1. Maps merge key by key; null removes a key; `$patch: replace` takes the patch as it is, `$patch: delete` leaves `{}`.
 * 2. Lists are replaced, unless the schema says `merge`: lists of maps are merged by their merge key, lists of scalars are united.
 * 3. `$deleteFromPrimitiveList/x`, `$setElementOrder/x` and `$retainKeys` act on their neighbours. No directive reaches the result.
 */

/** What this needs to know of a type. `TypeSchema` of the schema package has this shape. */
export interface PatchSchema {
  readonly definition?: string;
  readonly properties?: ReadonlyMap<string, PatchField>;
  /** Of maps with free keys. */
  readonly values?: PatchSchema;
  /** Of arrays. */
  readonly items?: PatchSchema;
}

export interface PatchField {
  readonly schema: PatchSchema;
  readonly patchStrategy?: readonly string[];
  readonly patchMergeKey?: string;
}

const directiveKey = "$patch";
const retainKeysKey = "$retainKeys";
const deleteFromPrefix = "$deleteFromPrimitiveList";
const setOrderPrefix = "$setElementOrder";

type Draft = Map<string, Json>;

/** The inputs are left alone. Errors: `badPatch` (malformed directive), `patchFailed`. */
export function applyStrategicMergePatch(
  original: JsonObject,
  patch: JsonObject,
  schema: PatchSchema,
): JsonObject {
  return mergeMap(original, patch, schema);
}

function mergeMap(
  original: JsonObject,
  patch: JsonObject,
  schema: PatchSchema | undefined,
): JsonObject {
  const patchDraft: Draft = new Map(jsonEntries(patch));
  const directive = patchDraft.get(directiveKey);
  if (directive !== undefined) {
    if (directive === "replace") {
      patchDraft.delete(directiveKey);
      return Object.fromEntries(patchDraft);
    }
    if (directive === "delete") return {};
    throw failed(`unknown patch type: ${goValue(directive)} in map: ${goValue(patch)}`);
  }
  const draft: Draft = new Map(jsonEntries(original));
  applyRetainKeys(draft, patchDraft);
  applyElementOrders(draft, patchDraft, schema);
  for (const [key, value] of patchDraft) mergeKey(draft, key, value, schema);
  return Object.fromEntries(draft);
}

function mergeKey(
  draft: Draft,
  patchKey: string,
  value: Json,
  schema: PatchSchema | undefined,
): void {
  const isDeleteList = patchKey.startsWith(deleteFromPrefix);
  const key = isDeleteList ? directiveTarget(patchKey, deleteFromPrefix) : patchKey;
  if (value === null) {
    draft.delete(key);
    return;
  }
  const old = draft.get(key);
  if (old === undefined || typeName(old) !== typeName(value)) {
    if (isDeleteList) return;
    const plain = withoutDirectives(value);
    if (plain === undefined) draft.delete(key);
    else draft.set(key, plain);
    return;
  }
  if (isJsonObject(old) && isJsonObject(value)) {
    const field = fieldOf(schema, key);
    draft.set(key, hasStrategy(field, "replace") ? value : mergeMap(old, value, field?.schema));
  } else if (isJsonArray(old) && isJsonArray(value)) {
    const field = fieldOf(schema, key);
    draft.set(key, mergeList(old, value, field, isDeleteList));
  } else {
    draft.set(key, value);
  }
}

function mergeList(
  old: readonly Json[],
  patch: readonly Json[],
  field: PatchField | undefined,
  isDeleteList: boolean,
): readonly Json[] {
  if (!hasStrategy(field, "merge")) return patch;
  if (old.length === 0 && patch.length === 0) return old;
  if (elementKind(old, patch) !== "map") {
    if (isDeleteList) return old.filter((item) => !patch.some((gone) => jsonEqual(gone, item)));
    const merged = uniqueScalars([...old, ...patch]);
    return arrange(merged, patch, old, "");
  }
  const mergeKey = field?.patchMergeKey ?? "";
  if (mergeKey === "") throw failed("cannot merge lists without merge key for type struct");
  const { list, items } = applyListDirectives(old, patch, mergeKey);
  const merged = mergeItems(list, items, mergeKey, field?.schema.items);
  return arrange(merged, items, list, mergeKey);
}

/** Takes the elements with `$patch` out of the patch list and acts on them. */
function applyListDirectives(
  old: readonly Json[],
  patch: readonly Json[],
  mergeKey: string,
): { readonly list: readonly Json[]; readonly items: readonly JsonObject[] } {
  let list = old;
  let replaced = false;
  const items: JsonObject[] = [];
  for (const item of patch) {
    if (!isJsonObject(item)) continue;
    const directive = item[directiveKey];
    if (directive === undefined) {
      items.push(item);
    } else if (directive === "delete") {
      const value = mergeKeyValue(item, mergeKey);
      list = list.filter((element, index) => !jsonEqual(mapAt(element, index)[mergeKey], value));
    } else if (directive === "replace") {
      replaced = true;
    } else if (directive === "merge") {
      throw failed("merging lists cannot yet be specified in the patch");
    } else {
      throw failed(`unknown patch type: ${goValue(directive)} in map: ${goValue(item)}`);
    }
  }
  return replaced ? { list: items, items: [] } : { list, items };
}

function mergeItems(
  old: readonly Json[],
  patch: readonly JsonObject[],
  mergeKey: string,
  schema: PatchSchema | undefined,
): readonly Json[] {
  const merged = [...old];
  const places = new Map<string, number>();
  for (const [index, element] of old.entries())
    remember(places, mapAt(element, index)[mergeKey], index);
  for (const item of patch) {
    const value = mergeKeyValue(item, mergeKey);
    const index = places.get(canonicalJson(value));
    const found = index === undefined ? undefined : merged[index];
    if (index !== undefined && isJsonObject(found)) {
      merged[index] = mergeMap(found, item, schema);
    } else {
      remember(places, value, merged.length);
      merged.push(item);
    }
  }
  return merged;
}

/**
 * Brings a merged list into order. Elements that the patch names come in the patch's order, the others in the order of the live list; the
 * others are put in front of the first named element that follows them in the live list.
 */
function arrange(
  merged: readonly Json[],
  order: readonly Json[],
  live: readonly Json[],
  mergeKey: string,
): readonly Json[] {
  if (mergeKey !== "") for (const item of merged) mergeKeyValue(asMap(item), mergeKey);
  const inOrder = placesIn(order, mergeKey);
  const inLive = placesIn(live, mergeKey);
  const named = merged.filter((item) => inOrder(item) >= 0).sort((a, b) => inOrder(a) - inOrder(b));
  const others = merged.filter((item) => inOrder(item) < 0).sort((a, b) => inLive(a) - inLive(b));
  const result: Json[] = [];
  let next = 0;
  for (const item of named) {
    const place = inLive(item);
    for (; next < others.length; next += 1) {
      const other = others[next] ?? null;
      const otherPlace = inLive(other);
      if (place < 0 || otherPlace < 0 || otherPlace > place) break;
      result.push(other);
    }
    result.push(item);
  }
  return [...result, ...others.slice(next)];
}

/** Looks up where an element stands in a list: by merge key, or by its own value for scalars; -1 when it is not there. */
function placesIn(list: readonly Json[], mergeKey: string): (item: Json) => number {
  const places = new Map<string, number>();
  for (const [index, element] of list.entries()) {
    if (mergeKey === "") remember(places, element, index);
    else if (isJsonObject(element)) remember(places, element[mergeKey], index);
  }
  return (item) => places.get(canonicalJson(mergeKey === "" ? item : asMap(item)[mergeKey])) ?? -1;
}

/** The first of several equal values counts. */
function remember(places: Map<string, number>, value: Json | undefined, index: number): void {
  const key = canonicalJson(value);
  if (!places.has(key)) places.set(key, index);
}

function applyRetainKeys(draft: Draft, patch: Draft): void {
  const retain = patch.get(retainKeysKey);
  if (retain === undefined) return;
  patch.delete(retainKeysKey);
  if (!isJsonArray(retain)) throw malformed("invalid patch format of retainKeys");
  const kept = new Set<Json>(retain);
  for (const [key, value] of patch) {
    if (value === null || key.startsWith(deleteFromPrefix) || key.startsWith(setOrderPrefix))
      continue;
    if (!kept.has(key)) throw malformed("invalid patch format of retainKeys");
  }
  for (const key of draft.keys()) {
    if (!kept.has(key)) draft.delete(key);
  }
}

/** Handles `$setElementOrder/x` together with the patch list x, which it takes out of the patch. */
function applyElementOrders(draft: Draft, patch: Draft, schema: PatchSchema | undefined): void {
  for (const [directive, order] of patch) {
    if (!directive.startsWith(setOrderPrefix)) continue;
    patch.delete(directive);
    if (!isJsonArray(order))
      throw failed(`expected a []interface {}, but received a ${goType(order)}`);
    const key = directiveTarget(directive, setOrderPrefix);
    const old = listAt(draft, key);
    const next = listAt(patch, key);
    const field = fieldOf(schema, key);
    const mergeKey = field?.patchMergeKey ?? "";
    checkOrder(next ?? [], order, mergeKey);
    if (old === undefined && next === undefined) continue;
    let merged = old ?? next ?? [];
    if (old !== undefined && next !== undefined) merged = mergeList(old, next, field, false);
    elementKind(old ?? [], next ?? []);
    draft.set(key, arrange(merged, order, old ?? [], mergeKey));
    patch.delete(key);
  }
}

/** Each element of the patch list must be in the order list, in the same relative order. */
function checkOrder(patch: readonly Json[], order: readonly Json[], mergeKey: string): void {
  if (patch.length === 0 || order.length === 0) return;
  const remaining = patch.filter((item) => !(isJsonObject(item) && directiveKey in item));
  let index = 0;
  for (const element of order) {
    const item = remaining[index];
    if (item === undefined) break;
    const same =
      mergeKey === ""
        ? jsonEqual(item, element)
        : jsonEqual(mergeKeyValue(asMap(item), mergeKey), mergeKeyValue(asMap(element), mergeKey));
    if (same) index += 1;
  }
  if (index < remaining.length) {
    throw failed(
      `The order in patch list:\n${goValue(patch)}\n doesn't match ${setOrderPrefix} list:\n${goValue(order)}\n`,
    );
  }
}

/** What a patch value becomes where nothing was before: no directives, no nulls in maps. Undefined: nothing stays. */
function withoutDirectives(value: Json): Json | undefined {
  if (isJsonArray(value)) {
    const items: Json[] = [];
    for (const item of value) {
      const plain = withoutDirectives(item);
      if (plain !== undefined) items.push(plain);
    }
    return items;
  }
  if (!isJsonObject(value)) return value;
  const directive = value[directiveKey];
  if (directive === "delete") return undefined;
  const entries: [string, Json][] = [];
  for (const [key, item] of jsonEntries(value)) {
    if (item === null || isDirective(key)) continue;
    const plain = withoutDirectives(item);
    if (plain !== undefined) entries.push([key, plain]);
  }
  if (directive !== undefined && entries.length === 0) return undefined;
  return Object.fromEntries(entries);
}

function isDirective(key: string): boolean {
  return (
    key === directiveKey ||
    key === retainKeysKey ||
    key.startsWith(deleteFromPrefix) ||
    key.startsWith(setOrderPrefix)
  );
}

/** A field without a schema (the type is open there) merges maps and replaces lists. */
function fieldOf(schema: PatchSchema | undefined, key: string): PatchField | undefined {
  if (schema === undefined) return undefined;
  if (schema.properties === undefined) {
    return schema.values === undefined ? undefined : { schema: schema.values };
  }
  const field = schema.properties.get(key);
  if (field !== undefined) return field;
  if (schema.values !== undefined) return { schema: schema.values };
  const name = schema.definition?.split(".").at(-1) ?? "struct";
  throw failed(
    `unable to find api field in struct ${name} for the json field ${JSON.stringify(key)}`,
  );
}

function hasStrategy(field: PatchField | undefined, strategy: "merge" | "replace"): boolean {
  return field?.patchStrategy?.includes(strategy) === true;
}

function directiveTarget(key: string, prefix: string): string {
  if (key.startsWith(`${prefix}/`)) return key.slice(prefix.length + 1);
  throw malformed(
    prefix === deleteFromPrefix
      ? "invalid patch format of primitive list"
      : "invalid patch format of setElementOrder list",
  );
}

function mergeKeyValue(item: JsonObject, mergeKey: string): Json {
  const value = item[mergeKey];
  if (value === undefined) {
    throw failed(`map: ${goValue(item)} does not contain declared merge key: ${mergeKey}`);
  }
  return value;
}

function mapAt(item: Json, index: number): JsonObject {
  if (!isJsonObject(item)) throw failed(`value for key ${index} is not a map.`);
  return item;
}

function asMap(item: Json): JsonObject {
  if (!isJsonObject(item))
    throw failed(`expected a map[string]interface {}, but received a ${goType(item)}`);
  return item;
}

function listAt(draft: Draft, key: string): readonly Json[] | undefined {
  const value = draft.get(key);
  if (value === undefined) return undefined;
  if (!isJsonArray(value))
    throw failed(`expected a []interface {}, but received a ${goType(value)}`);
  return value;
}

/** All elements of both lists must be of one type, and not lists. */
function elementKind(...lists: (readonly Json[])[]): string {
  let kind: string | undefined;
  for (const item of lists.flat(1)) {
    const next = typeName(item);
    if (next === "slice") throw failed("lists of lists are not supported");
    if (kind !== undefined && kind !== next)
      throw failed(`list element types are not identical: ${kind}, ${next}`);
    kind = next;
  }
  return kind ?? "map";
}

/** Later duplicates go, and the last element takes the place of each, as upstream does it; `arrange` sorts afterwards. */
function uniqueScalars(items: readonly Json[]): readonly Json[] {
  const seen = new Set<Json>();
  return items.filter((item) => {
    if (seen.has(item)) return false;
    seen.add(item);
    return true;
  });
}

function typeName(value: Json): string {
  if (value === null) return "nil";
  if (isJsonArray(value)) return "slice";
  if (typeof value === "object") return "map";
  return typeof value;
}

function goType(value: Json): string {
  if (value === null) return "<nil>";
  if (isJsonArray(value)) return "[]interface {}";
  if (isJsonObject(value)) return "map[string]interface {}";
  if (typeof value === "boolean") return "bool";
  if (typeof value === "number") return Number.isInteger(value) ? "int64" : "float64";
  return "string";
}

function failed(message: string): MachineryError {
  return new MachineryError("patchFailed", message);
}

function malformed(message: string): MachineryError {
  return new MachineryError("badPatch", message);
}
