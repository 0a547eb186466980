import type { JsonObject } from "@wherry/machinery";
import type { ResourceRegistry } from "./registry.ts";
import type { ResourceDefinition, SubresourceDefinition } from "./resource.ts";
import { builtinGroupOrder } from "./resource-table.ts";
import { compareVersions } from "./version-order.ts";

/** The answers below /api and /apis, made of what is registered at the moment of asking. */

/** GET /api. `serverAddress` is the "host:port" that clients of any network reach the server at. */
export function coreVersions(registry: ResourceRegistry, serverAddress: string): JsonObject {
  return {
    kind: "APIVersions",
    versions: versionsOf(registry, ""),
    serverAddressByClientCIDRs: [{ clientCIDR: "0.0.0.0/0", serverAddress }],
  };
}

/** GET /apis. */
export function groupList(registry: ResourceRegistry): JsonObject {
  return {
    kind: "APIGroupList",
    apiVersion: "v1",
    groups: groupNames(registry).map((group) => groupEntry(registry, group)),
  };
}

/** GET /apis/GROUP; undefined if the group is not served. */
export function groupDocument(registry: ResourceRegistry, group: string): JsonObject | undefined {
  if (group === "" || versionsOf(registry, group).length === 0) return undefined;
  return { kind: "APIGroup", apiVersion: "v1", ...groupEntry(registry, group) };
}

/** GET /api/VERSION and /apis/GROUP/VERSION; undefined if not served. */
export function resourceList(
  registry: ResourceRegistry,
  group: string,
  version: string,
): JsonObject | undefined {
  const definitions = resourcesOf(registry, group, version);
  if (definitions.length === 0) return undefined;
  return {
    kind: "APIResourceList",
    // The core group's list has never said its version.
    ...(group === "" ? {} : { apiVersion: "v1" }),
    groupVersion: group === "" ? version : `${group}/${version}`,
    resources: definitions.flatMap((definition) => [
      resourceEntry(definition),
      ...subresourcesOf(definition).map((subresource) => subresourceEntry(definition, subresource)),
    ]),
  };
}

/** The aggregated document of /api ("core") or /apis ("groups"). */
export function aggregatedDiscovery(
  registry: ResourceRegistry,
  part: "core" | "groups",
  version: "v2" | "v2beta1",
): JsonObject {
  const groups = part === "core" ? [""] : groupNames(registry);
  return {
    kind: "APIGroupDiscoveryList",
    apiVersion: `apidiscovery.k8s.io/${version}`,
    metadata: {},
    items: groups.map((group) => ({
      metadata: group === "" ? {} : { name: group },
      versions: versionsOf(registry, group).map((groupVersion) => ({
        version: groupVersion,
        resources: resourcesOf(registry, group, groupVersion).map(aggregatedEntry),
        freshness: "Current",
      })),
    })),
  };
}

/** Groups but the core one: built-ins in upstream's order, others after them by name. */
export function groupNames(registry: ResourceRegistry): readonly string[] {
  const present = new Set<string>();
  for (const definition of registry) if (definition.group !== "") present.add(definition.group);
  const builtin = builtinGroupOrder().filter((group) => present.delete(group));
  return [...builtin, ...[...present].sort()];
}

/** Versions of a group, the preferred one first. */
export function versionsOf(registry: ResourceRegistry, group: string): readonly string[] {
  const versions = new Set<string>();
  for (const definition of registry)
    if (definition.group === group) versions.add(definition.version);
  return [...versions].sort(compareVersions);
}

function groupEntry(registry: ResourceRegistry, group: string): JsonObject {
  const versions = versionsOf(registry, group).map((version) => ({
    groupVersion: `${group}/${version}`,
    version,
  }));
  const [preferredVersion] = versions;
  return { name: group, versions, preferredVersion };
}

function resourcesOf(
  registry: ResourceRegistry,
  group: string,
  version: string,
): readonly ResourceDefinition[] {
  const found: ResourceDefinition[] = [];
  for (const definition of registry) {
    if (definition.group === group && definition.version === version) found.push(definition);
  }
  return found.sort((left, right) => (left.resource < right.resource ? -1 : 1));
}

function subresourcesOf(definition: ResourceDefinition): readonly SubresourceDefinition[] {
  return definition.subresources.toSorted((left, right) => (left.name < right.name ? -1 : 1));
}

function resourceEntry(definition: ResourceDefinition): JsonObject {
  return {
    name: definition.resource,
    singularName: definition.singular,
    namespaced: definition.namespaced,
    kind: definition.kind,
    verbs: definition.verbs,
    ...(definition.shortNames.length === 0 ? {} : { shortNames: definition.shortNames }),
    ...(definition.categories.length === 0 ? {} : { categories: definition.categories }),
    ...(definition.storageVersionHash === ""
      ? {}
      : { storageVersionHash: definition.storageVersionHash }),
  };
}

function subresourceEntry(
  definition: ResourceDefinition,
  subresource: SubresourceDefinition,
): JsonObject {
  return {
    name: `${definition.resource}/${subresource.name}`,
    singularName: "",
    namespaced: definition.namespaced,
    ...foreignGroupVersion(definition, subresource),
    kind: subresource.kind,
    verbs: subresource.verbs,
  };
}

/** Group and version are shown only where a subresource's kind is of another group than its resource. */
function foreignGroupVersion(
  definition: ResourceDefinition,
  subresource: SubresourceDefinition,
): { group?: string; version?: string } {
  const isOwn =
    subresource.group === definition.group && subresource.version === definition.version;
  return isOwn ? {} : { group: subresource.group, version: subresource.version };
}

function aggregatedEntry(definition: ResourceDefinition): JsonObject {
  const subresources = subresourcesOf(definition).map((subresource) => ({
    subresource: subresource.name,
    responseKind: {
      group: "",
      version: "",
      kind: subresource.kind,
      ...foreignGroupVersion(definition, subresource),
    },
    verbs: subresource.verbs,
  }));
  return {
    resource: definition.resource,
    responseKind: { group: "", version: "", kind: definition.kind },
    scope: definition.namespaced ? "Namespaced" : "Cluster",
    singularResource: definition.singular,
    verbs: definition.verbs,
    ...(definition.shortNames.length === 0 ? {} : { shortNames: definition.shortNames }),
    ...(definition.categories.length === 0 ? {} : { categories: definition.categories }),
    ...(subresources.length === 0 ? {} : { subresources }),
  };
}
