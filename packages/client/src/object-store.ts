import type { KubeObject } from "@wherry/machinery";
import type { IndexFunction, InformerStore } from "./informer.ts";

/** The writing side of an informer's store. */
export interface ObjectStore<T extends KubeObject> extends InformerStore<T> {
  set(key: string, object: T): void;
  delete(key: string): void;
  /** Indexes what is there already; an index that exists stays as it is. */
  addIndex(name: string, index: IndexFunction<T>): void;
}

interface Index<T> {
  readonly valuesOf: IndexFunction<T>;
  readonly buckets: Map<string, Map<string, T>>;
}

const namespaceIndex = "\0namespace";

export function createObjectStore<T extends KubeObject>(): ObjectStore<T> {
  const objects = new Map<string, T>();
  const indexes = new Map<string, Index<T>>();

  const put = (index: Index<T>, key: string, object: T): void => {
    for (const value of index.valuesOf(object)) {
      const bucket = index.buckets.get(value) ?? new Map<string, T>();
      index.buckets.set(value, bucket);
      bucket.set(key, object);
    }
  };
  const remove = (index: Index<T>, key: string, object: T): void => {
    for (const value of index.valuesOf(object)) {
      const bucket = index.buckets.get(value);
      bucket?.delete(key);
      if (bucket?.size === 0) index.buckets.delete(value);
    }
  };

  const store: ObjectStore<T> = {
    get: (key) => objects.get(key),
    list: (namespace) =>
      namespace === undefined ? [...objects.values()] : store.byIndex(namespaceIndex, namespace),
    keys: () => objects.keys(),
    byIndex(name, value) {
      const index = indexes.get(name);
      if (index === undefined) throw new Error(`the informer has no index ${JSON.stringify(name)}`);
      return [...(index.buckets.get(value)?.values() ?? [])];
    },
    get size() {
      return objects.size;
    },
    set(key, object) {
      const previous = objects.get(key);
      objects.set(key, object);
      for (const index of indexes.values()) {
        if (previous !== undefined) remove(index, key, previous);
        put(index, key, object);
      }
    },
    delete(key) {
      const previous = objects.get(key);
      if (previous === undefined) return;
      objects.delete(key);
      for (const index of indexes.values()) remove(index, key, previous);
    },
    addIndex(name, valuesOf) {
      if (indexes.has(name)) return;
      const index: Index<T> = { valuesOf, buckets: new Map() };
      indexes.set(name, index);
      for (const [key, object] of objects) put(index, key, object);
    },
  };
  store.addIndex(namespaceIndex, (object) => [object.metadata.namespace ?? ""]);
  return store;
}
