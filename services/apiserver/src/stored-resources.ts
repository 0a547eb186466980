/** How the registered resources lie in the store, kept up with the registry. */
import type { ResourceDefinition, ResourceRegistry } from "@wherry/schema";
import type { StoredResource } from "./etcd-object-store.ts";
import type { ResourceId } from "./object-store.ts";

export interface StoredResources {
  locate(resource: ResourceId): StoredResource | undefined;
  /** The definition under which objects of a resource are created. Throws for one that is not served. */
  definitionOf(resource: ResourceId): ResourceDefinition;
  all(): Iterable<StoredResource>;
}

export function createStoredResources(
  registry: ResourceRegistry,
  eventTtlSeconds: number,
): StoredResources {
  let generation = -1;
  let stored = new Map<string, StoredResource>();
  let definitions = new Map<string, ResourceDefinition>();
  const refresh = (): void => {
    if (generation === registry.generation) return;
    generation = registry.generation;
    stored = new Map();
    definitions = new Map();
    for (const definition of registry) {
      const { group, resource, kind, storagePrefix, storageVersion } = definition;
      const key = `${group}/${resource}`;
      if (storagePrefix === undefined) continue;
      const own = group === "" ? definition.version : `${group}/${definition.version}`;
      // Of several versions, the one that is stored creates without conversion.
      if (!definitions.has(key) || own === storageVersion) definitions.set(key, definition);
      stored.set(key, {
        group,
        resource,
        kind,
        apiVersion: storageVersion,
        storagePrefix,
        ...(storagePrefix === "events" ? { ttlSeconds: eventTtlSeconds } : {}),
      });
    }
  };
  return {
    locate(resource) {
      refresh();
      return stored.get(`${resource.group}/${resource.resource}`);
    },
    definitionOf(resource) {
      refresh();
      const definition = definitions.get(`${resource.group}/${resource.resource}`);
      if (definition === undefined)
        throw new Error(
          `no stored resource is named ${resource.resource} in group "${resource.group}"`,
        );
      return definition;
    },
    all() {
      refresh();
      return stored.values();
    },
  };
}
