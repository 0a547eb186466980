import type { GroupVersionKind, GroupVersionResource } from "@wherry/machinery";
import type { ResourceDefinition } from "./resource.ts";

/**
 * The resources that are served at this moment. Built-ins and custom resources are registered by the same call; whatever is derived from
 * the set (discovery, OpenAPI, routes) is computed anew when `generation` has moved.
 */
export interface ResourceRegistry {
  /** Rises by one with every change. */
  readonly generation: number;
  /** Adds a resource, or replaces the one with the same group, version and plural. */
  register(definition: ResourceDefinition): void;
  /** Adds many as one change. */
  registerAll(definitions: Iterable<ResourceDefinition>): void;
  /** False if no such resource was registered. */
  unregister(resource: GroupVersionResource): boolean;
  find(resource: GroupVersionResource): ResourceDefinition | undefined;
  findByKind(kind: GroupVersionKind): ResourceDefinition | undefined;
  /** By short name, singular or plural ("po", "pod", "pods"); the first registered wins, the core group before others. */
  findByName(name: string): ResourceDefinition | undefined;
  /** In order of registration. */
  [Symbol.iterator](): Iterator<ResourceDefinition>;
  /** Calls back after each change; the returned function ends that. */
  onChange(listener: (generation: number) => void): () => void;
}

export function createResourceRegistry(
  initial: Iterable<ResourceDefinition> = [],
): ResourceRegistry {
  const byResource = new Map<string, ResourceDefinition>();
  const byKind = new Map<string, ResourceDefinition>();
  const listeners = new Set<(generation: number) => void>();
  let generation = 0;

  const add = (definition: ResourceDefinition): void => {
    const previous = byResource.get(resourceKey(definition));
    if (previous !== undefined) byKind.delete(kindKey(previous));
    byResource.set(resourceKey(definition), definition);
    byKind.set(kindKey(definition), definition);
  };
  const changed = (): void => {
    generation += 1;
    for (const listener of listeners) listener(generation);
  };

  for (const definition of initial) add(definition);

  return {
    get generation() {
      return generation;
    },
    register(definition) {
      add(definition);
      changed();
    },
    registerAll(definitions) {
      for (const definition of definitions) add(definition);
      changed();
    },
    unregister(resource) {
      const definition = byResource.get(resourceKey(resource));
      if (definition === undefined) return false;
      byResource.delete(resourceKey(resource));
      if (byKind.get(kindKey(definition)) === definition) byKind.delete(kindKey(definition));
      changed();
      return true;
    },
    find: (resource) => byResource.get(resourceKey(resource)),
    findByKind: (kind) => byKind.get(kindKey(kind)),
    findByName: (name) => findByName(byResource.values(), name),
    [Symbol.iterator]: () => byResource.values(),
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

function findByName(
  definitions: Iterable<ResourceDefinition>,
  name: string,
): ResourceDefinition | undefined {
  let shortMatch: ResourceDefinition | undefined;
  for (const definition of definitions) {
    if (definition.resource === name || definition.singular === name) return definition;
    if (shortMatch === undefined && definition.shortNames.includes(name)) shortMatch = definition;
  }
  return shortMatch;
}

function resourceKey(resource: GroupVersionResource): string {
  return `${resource.group}/${resource.version}/${resource.resource}`;
}

function kindKey(kind: GroupVersionKind): string {
  return `${kind.group}/${kind.version}/${kind.kind}`;
}
