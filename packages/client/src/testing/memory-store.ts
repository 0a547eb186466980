import { deepFreeze, keyOf, newExpired, type KubeObject } from "@wherry/machinery";
import type { ResourceRef } from "../api-client.ts";

/** Every change in the order of its revision; `previous` decides what a selector makes of it. */
export interface MemoryChange {
  readonly revision: number;
  readonly resource: string;
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: KubeObject;
  readonly previous: KubeObject | undefined;
}

/** The objects of a memory API at one revision, and the changes that led there. Objects are frozen. */
export interface MemoryStore {
  readonly revision: number;
  get(ref: ResourceRef, namespace: string | undefined, name: string): KubeObject | undefined;
  /** In the order of their keys. */
  list(ref: ResourceRef, namespace: string | undefined): readonly KubeObject[];
  /** Writes at the next revision and returns what is stored. */
  put(ref: ResourceRef, object: KubeObject): KubeObject;
  /** Returns the object as its DELETED event shows it. */
  remove(ref: ResourceRef, object: KubeObject): KubeObject;
  /** The changes after a revision. Throws 410 when they are forgotten. */
  changesAfter(ref: ResourceRef, revision: number): readonly MemoryChange[];
  /** Forgets all changes up to now. */
  compact(): void;
  /** Called with each change, after the store shows it. */
  onChange(listener: (change: MemoryChange) => void): () => void;
}

/** Changes that are remembered; older watches get 410. */
const historyMax = 100_000;

export function createMemoryStore(): MemoryStore {
  const tables = new Map<string, Map<string, KubeObject>>();
  const listeners = new Set<(change: MemoryChange) => void>();
  let history: MemoryChange[] = [];
  let revision = 1;
  let compacted = 1;

  const tableOf = (ref: ResourceRef): Map<string, KubeObject> => {
    const id = tableId(ref);
    const table = tables.get(id) ?? new Map<string, KubeObject>();
    tables.set(id, table);
    return table;
  };
  const record = (change: MemoryChange): void => {
    history.push(change);
    if (history.length > historyMax) compacted = history.shift()?.revision ?? compacted;
    for (const listener of listeners) listener(change);
  };
  const stamped = (object: KubeObject): KubeObject => {
    revision += 1;
    const copy = JSON.parse(JSON.stringify(object)) as KubeObject;
    return deepFreeze({
      ...copy,
      metadata: { ...copy.metadata, resourceVersion: String(revision) },
    });
  };

  return {
    get revision() {
      return revision;
    },
    get: (ref, namespace, name) => tableOf(ref).get(keyOf(namespace, name)),
    list(ref, namespace) {
      const entries = [...tableOf(ref)].sort(([a], [b]) => (a < b ? -1 : 1));
      const objects = entries.map(([, object]) => object);
      if (namespace === undefined) return objects;
      return objects.filter((object) => object.metadata.namespace === namespace);
    },
    put(ref, object) {
      const stored = stamped(object);
      const table = tableOf(ref);
      const key = keyOf(stored.metadata.namespace, stored.metadata.name ?? "");
      const previous = table.get(key);
      table.set(key, stored);
      const type = previous === undefined ? "ADDED" : "MODIFIED";
      record({ revision, resource: tableId(ref), type, object: stored, previous });
      return stored;
    },
    remove(ref, object) {
      const key = keyOf(object.metadata.namespace, object.metadata.name ?? "");
      const previous = tableOf(ref).get(key);
      const last = stamped(object);
      tableOf(ref).delete(key);
      record({ revision, resource: tableId(ref), type: "DELETED", object: last, previous });
      return last;
    },
    changesAfter(ref, after) {
      if (after < compacted) {
        throw newExpired(`too old resource version: ${after} (${compacted})`);
      }
      const id = tableId(ref);
      return history.filter((change) => change.revision > after && change.resource === id);
    },
    compact() {
      history = [];
      compacted = revision;
    },
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** Versions of one resource share their objects. */
export function tableId(ref: ResourceRef): string {
  return `${ref.group}/${ref.resource}`;
}
