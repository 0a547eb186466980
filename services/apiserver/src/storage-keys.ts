/**
 * Where objects lie in the store, as upstream's etcd layout has it: `/registry/<storagePrefix>/[<namespace>/]<name>`. Inside a resource an
 * object is addressed by what follows the prefix ("default/web", "node-1"): its *path*.
 */
export const registryRoot = "/registry/";

export function resourcePrefix(storagePrefix: string): string {
  return `${registryRoot}${storagePrefix}/`;
}

export function objectPath(namespace: string, name: string): string {
  return namespace === "" ? name : `${namespace}/${name}`;
}

export function namespaceOfPath(path: string): string {
  const slash = path.indexOf("/");
  return slash < 0 ? "" : path.slice(0, slash);
}

export function nameOfPath(path: string): string {
  return path.slice(path.indexOf("/") + 1);
}

export function storageKey(storagePrefix: string, path: string): Buffer {
  return Buffer.from(resourcePrefix(storagePrefix) + path);
}

/** The first string after all strings that begin with `prefix` (which must not end in U+FFFF or be empty). */
export function prefixEnd(prefix: string): string {
  const last = prefix.length - 1;
  return prefix.slice(0, last) + String.fromCharCode(prefix.charCodeAt(last) + 1);
}

/** Splits a store key into its resource's prefix (looked up in `known`) and the object's path. Storage prefixes have one or two segments. */
export function splitStorageKey(
  key: string,
  known: { has(storagePrefix: string): boolean },
): { storagePrefix: string; path: string } | undefined {
  if (!key.startsWith(registryRoot)) return undefined;
  const first = key.indexOf("/", registryRoot.length);
  if (first < 0) return undefined;
  const second = key.indexOf("/", first + 1);
  if (second > 0) {
    const two = key.slice(registryRoot.length, second);
    if (known.has(two)) return { storagePrefix: two, path: key.slice(second + 1) };
  }
  const one = key.slice(registryRoot.length, first);
  return known.has(one) ? { storagePrefix: one, path: key.slice(first + 1) } : undefined;
}
