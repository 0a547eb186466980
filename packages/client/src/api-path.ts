import type { ResourceRef } from "./api-client.ts";

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

export interface PathParts {
  readonly namespace?: string | undefined;
  readonly name?: string | undefined;
  readonly subresource?: string | undefined;
  readonly query?: Query;
}

/** Path and query of a resource: `/api/v1/namespaces/x/pods/y/status?dryRun=All`. Absent query values are left out. */
export function apiPath(ref: ResourceRef, parts: PathParts): string {
  const segments = ref.group === "" ? ["api", ref.version] : ["apis", ref.group, ref.version];
  if (parts.namespace !== undefined && parts.namespace !== "")
    segments.push("namespaces", parts.namespace);
  segments.push(ref.resource);
  if (parts.name !== undefined) segments.push(parts.name);
  if (parts.subresource !== undefined) segments.push(...parts.subresource.split("/"));
  const path = `/${segments.map((segment) => encodeURIComponent(segment)).join("/")}`;
  const query = formatQuery(parts.query ?? {});
  return query === "" ? path : `${path}?${query}`;
}

function formatQuery(query: Query): string {
  const parameters = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined && value !== "") parameters.set(key, String(value));
  }
  return parameters.toString();
}
