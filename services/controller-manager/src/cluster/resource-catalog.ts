import type { ApiClient, ResourceRef } from "@wherry/client";
import { parseGroupVersion, type Json } from "@wherry/machinery";

/** What the API server serves, read from its discovery documents. */
export interface ResourceCatalog {
  /** Each resource once, in its group's preferred version where that has it. */
  readonly resources: readonly CatalogResource[];
  /** The resource of a kind in any served version: owner references name versions as they like. */
  byKind(apiVersion: string, kind: string): CatalogResource | undefined;
  /** Group versions that could not be read, with why. */
  readonly failures: ReadonlyMap<string, string>;
}

export interface CatalogResource extends ResourceRef {
  readonly verbs: readonly string[];
}

interface ApiResourceList {
  readonly resources?: readonly {
    readonly name: string;
    readonly kind: string;
    readonly namespaced: boolean;
    readonly verbs?: readonly string[];
  }[];
}

interface ApiGroup {
  readonly name: string;
  readonly versions: readonly { readonly groupVersion: string }[];
  readonly preferredVersion?: { readonly groupVersion: string };
}

/** Reads everything; a group version that fails is noted and left out. Rejects when not even the list of groups can be had. */
export async function readCatalog(api: ApiClient, signal?: AbortSignal): Promise<ResourceCatalog> {
  const core = (await api.raw("GET", "/api", undefined, signal)) as unknown as {
    readonly versions?: readonly string[];
  };
  const { groups = [] } = (await api.raw("GET", "/apis", undefined, signal)) as unknown as {
    readonly groups?: readonly ApiGroup[];
  };
  const failures = new Map<string, string>();
  const paths = [
    ...(core.versions ?? []).map((version) => ({ groupVersion: version, path: `/api/${version}` })),
    ...groups.flatMap((group) =>
      preferredFirst(group).map((groupVersion) => ({
        groupVersion,
        path: `/apis/${groupVersion}`,
      })),
    ),
  ];
  const lists = await Promise.all(
    paths.map(async ({ groupVersion, path }) => {
      try {
        return readResources(groupVersion, await api.raw("GET", path, undefined, signal));
      } catch (error) {
        failures.set(groupVersion, error instanceof Error ? error.message : String(error));
        return [];
      }
    }),
  );
  return createCatalog(lists.flat(), failures);
}

/** Of several versions of a resource the first counts. */
export function createCatalog(
  served: readonly CatalogResource[],
  failures: ReadonlyMap<string, string> = new Map(),
): ResourceCatalog {
  const resources = new Map<string, CatalogResource>();
  const kinds = new Map<string, CatalogResource>();
  for (const one of served) {
    const name = `${one.group}/${one.resource}`;
    if (!resources.has(name)) resources.set(name, one);
    const kind = kindKey(one.group === "" ? one.version : `${one.group}/${one.version}`, one.kind);
    if (!kinds.has(kind)) kinds.set(kind, one);
  }
  return {
    resources: [...resources.values()],
    byKind: (apiVersion, kind) => kinds.get(kindKey(apiVersion, kind)),
    failures,
  };
}

function preferredFirst({ versions, preferredVersion }: ApiGroup): readonly string[] {
  const all = versions.map((one) => one.groupVersion);
  const preferred = preferredVersion?.groupVersion ?? all[0] ?? "";
  return [...all.filter((one) => one === preferred), ...all.filter((one) => one !== preferred)];
}

function readResources(groupVersion: string, document: Json): readonly CatalogResource[] {
  const { group, version } = parseGroupVersion(groupVersion);
  const { resources = [] } = document as unknown as ApiResourceList;
  return resources
    .filter(({ name }) => !name.includes("/"))
    .map(({ name, kind, namespaced, verbs = [] }) => ({
      group,
      version,
      resource: name,
      kind,
      namespaced,
      verbs,
    }));
}

function kindKey(apiVersion: string, kind: string): string {
  return `${apiVersion} ${kind}`;
}
