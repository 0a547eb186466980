import { isJsonArray, isJsonObject, jsonEqual } from "./json-value.ts";
import { MachineryError } from "./machinery-error.ts";
import type { Json } from "./meta.ts";

/** Operations in one patch; upstream's limit. */
export const jsonPatchOperationsMax = 10_000;

/** A container that is being changed; it is private to one application of a patch. */
type Container = Map<string, Node> | Node[];
type Node = Container | Json;

interface Operation {
  readonly op: string;
  readonly path: string | undefined;
  readonly from: string | undefined;
  /** Absent and null are told apart only by `test`. */
  readonly value: Json | undefined;
}

/**
 * RFC 6902 as the API server applies it: beyond the RFC, `replace` of a missing key of an object adds it and negative array indexes
 * count from the end. The inputs are left alone. Errors: `badPatch` (the document is no patch), `patchNotApplicable`.
 */
export function applyJsonPatch(original: Json, patch: Json): Json {
  const operations = readOperations(patch);
  let root: Node = thaw(original);
  for (const operation of operations) root = applyOne(root, operation);
  return freeze(root);
}

function readOperations(patch: Json): Operation[] {
  if (!isJsonArray(patch)) {
    const type = isJsonObject(patch) ? "object" : patch === null ? "null" : typeof patch;
    throw new MachineryError(
      "badPatch",
      `error decoding patch: json: cannot unmarshal ${type} into Go value of type []handlers.jsonPatchOp`,
    );
  }
  if (patch.length > jsonPatchOperationsMax) {
    throw new MachineryError(
      "badPatch",
      `The allowed maximum operations in a JSON patch is ${jsonPatchOperationsMax}, got ${patch.length}`,
    );
  }
  return patch.map((item: Json) => {
    if (!isJsonObject(item)) {
      throw new MachineryError(
        "badPatch",
        `error decoding patch: json: cannot unmarshal ${typeof item} into Go value of type handlers.jsonPatchOp`,
      );
    }
    const { op, path, from, value } = item;
    return {
      op: typeof op === "string" ? op : "unknown",
      path: typeof path === "string" ? path : undefined,
      from: typeof from === "string" ? from : undefined,
      value,
    };
  });
}

function applyOne(root: Node, operation: Operation): Node {
  const { op, path, value } = operation;
  switch (op) {
    case "add": {
      if (path === undefined) throw refused("add operation failed to decode path: missing value");
      const target = find(root, path);
      if (target === undefined) {
        throw refused(
          `add operation does not apply: doc is missing path: "${path}": missing value`,
        );
      }
      addTo(target, thaw(value ?? null), `error in add for path: '${path}'`);
      return root;
    }
    case "remove": {
      if (path === undefined)
        throw refused("remove operation failed to decode path: missing value");
      const target = find(root, path);
      if (target === undefined) {
        throw refused(
          `remove operation does not apply: doc is missing path: "${path}": missing value`,
        );
      }
      removeFrom(target, `error in remove for path: '${path}'`);
      return root;
    }
    case "replace":
      return replace(root, path, value);
    case "move":
    case "copy":
      return transfer(root, operation);
    case "test":
      test(root, path, value);
      return root;
    default:
      throw refused(`Unexpected kind: ${op}`);
  }
}

function replace(root: Node, path: string | undefined, value: Json | undefined): Node {
  if (path === undefined) {
    throw refused(
      "replace operation failed to decode path: operation missing path field: missing value",
    );
  }
  if (path === "") {
    if (!isJsonObject(value) && !isJsonArray(value)) {
      throw refused("replace operation value must be object or array");
    }
    return thaw(value);
  }
  const target = find(root, path);
  if (target === undefined) {
    throw refused(`replace operation does not apply: doc is missing path: ${path}: missing value`);
  }
  const { container, key } = target;
  if (container instanceof Map) {
    container.set(key, thaw(value ?? null));
  } else {
    const index = existingIndex(container, key);
    if (typeof index === "string") {
      throw refused(`replace operation does not apply: doc is missing key: ${path}: missing value`);
    }
    container[index] = thaw(value ?? null);
  }
  return root;
}

function transfer(root: Node, operation: Operation): Node {
  const { op, path, from } = operation;
  if (from === undefined) {
    throw refused(
      `${op} operation failed to decode from: operation, missing from field: missing value`,
    );
  }
  const source = find(root, from);
  if (source === undefined) {
    throw refused(
      `${op} operation does not apply: doc is missing from path: ${from}: missing value`,
    );
  }
  const node = valueAt(source, `error in ${op} for path: '${source.key}'`);
  if (op === "move") removeFrom(source, `error in move for path: '${source.key}'`);
  if (path === undefined) {
    throw refused(
      `${op} operation failed to decode path: operation missing path field: missing value`,
    );
  }
  const target = find(root, path);
  if (target === undefined) {
    throw refused(
      `${op} operation does not apply: doc is missing destination path: ${path}: missing value`,
    );
  }
  const moved = op === "move" ? (node ?? null) : thaw(freeze(node ?? null));
  addTo(target, moved, `error in ${op} for path: '${path}'`);
  return root;
}

function test(root: Node, path: string | undefined, value: Json | undefined): void {
  if (path === undefined) {
    throw refused(
      "test operation failed to decode path: operation missing path field: missing value",
    );
  }
  let actual: Node | undefined = root;
  if (path !== "") {
    const target = find(root, path);
    if (target === undefined) {
      throw refused(`test operation does not apply: is missing path: ${path}: missing value`);
    }
    actual = valueAt(target, `error in test for path: '${path}'`);
  }
  if (!jsonEqual(freeze(actual ?? null), value ?? null)) {
    throw refused(`testing value ${path} failed: test failed`);
  }
}

interface Target {
  readonly container: Container;
  readonly key: string;
}

/** The container that holds the last part of the path; undefined when the way there does not exist. */
function find(root: Node, path: string): Target | undefined {
  const parts = path.split("/").slice(1);
  const key = parts.pop();
  if (key === undefined) return undefined;
  let node: Node | undefined = root;
  for (const part of parts) {
    if (node instanceof Map) {
      node = node.get(decodePart(part));
    } else if (isContainer(node)) {
      const index: number | string = existingIndex(node, decodePart(part));
      node = typeof index === "string" ? undefined : node[index];
    } else {
      return undefined;
    }
  }
  return isContainer(node) ? { container: node, key: decodePart(key) } : undefined;
}

function decodePart(part: string): string {
  return part.replaceAll("~1", "/").replaceAll("~0", "~");
}

function valueAt({ container, key }: Target, what: string): Node | undefined {
  if (container instanceof Map) return container.get(key);
  const index = existingIndex(container, key);
  if (typeof index === "string") throw refused(`${what}: ${index}`);
  return container[index];
}

function addTo({ container, key }: Target, node: Node, what: string): void {
  if (container instanceof Map) {
    container.set(key, node);
  } else if (key === "-") {
    container.push(node);
  } else {
    const index = arrayIndex(key, container.length + 1);
    if (typeof index === "string") throw refused(`${what}: ${index}`);
    container.splice(index, 0, node);
  }
}

function removeFrom({ container, key }: Target, what: string): void {
  if (container instanceof Map) {
    if (!container.delete(key)) {
      throw refused(`${what}: Unable to remove nonexistent key: ${key}: missing value`);
    }
    return;
  }
  const index = existingIndex(container, key);
  if (typeof index === "string") throw refused(`${what}: ${index}`);
  container.splice(index, 1);
}

/** The index, or the text of the error. */
function existingIndex(array: readonly Node[], key: string): number | string {
  return arrayIndex(key, array.length);
}

function arrayIndex(key: string, length: number): number | string {
  if (!/^[+-]?[0-9]+$/.test(key)) return `value was not a proper array index: '${key}'`;
  const index = Number(key);
  const positive = index < 0 ? index + length : index;
  if (positive < 0 || positive >= length) {
    return `Unable to access invalid index: ${index}: invalid index referenced`;
  }
  return positive;
}

function isContainer(node: Node | undefined): node is Container {
  return node instanceof Map || Array.isArray(node);
}

function thaw(value: Json): Node {
  if (isJsonArray(value)) return value.map((item) => thaw(item));
  if (!isJsonObject(value)) return value;
  const map = new Map<string, Node>();
  for (const [key, item] of Object.entries(value)) {
    if (item !== undefined) map.set(key, thaw(item));
  }
  return map;
}

function freeze(node: Node): Json {
  if (node instanceof Map) {
    return Object.fromEntries([...node].map(([key, item]) => [key, freeze(item)]));
  }
  return Array.isArray(node) ? node.map((item: Node) => freeze(item)) : node;
}

function refused(message: string): MachineryError {
  return new MachineryError("patchNotApplicable", message);
}
