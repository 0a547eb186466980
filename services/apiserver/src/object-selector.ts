import type { CacheEntry } from "./cache-entry.ts";
import type { ListOptions } from "./list-options.ts";
import type { ServedResource } from "./served-resource.ts";
import { nameOfPath, namespaceOfPath, objectPath, prefixEnd } from "./storage-keys.ts";

/** Which objects of a resource a request is about: a range of paths and a test. */
export interface ObjectSelector {
  /** Paths with `from <= path < to`; `to` undefined = to the end. */
  readonly from: string;
  readonly to: string | undefined;
  /** True when there is nothing to test. */
  readonly matchesAll: boolean;
  /** For entries of any path. Objects are parsed only when labels or other fields than name and namespace are asked for. */
  matches(entry: CacheEntry): boolean;
  inRange(path: string): boolean;
}

const pathFields = new Set(["metadata.name", "metadata.namespace"]);

export function createObjectSelector(
  served: ServedResource,
  namespace: string,
  options: Pick<ListOptions, "labels" | "fields">,
): ObjectSelector {
  const { labels, fields } = options;
  const wanted = (field: string): string | undefined =>
    fields.requirements.find((one) => one.field === field && one.operator === "=")?.value;
  const name = wanted("metadata.name");
  const inNamespace =
    namespace !== ""
      ? namespace
      : served.definition.namespaced
        ? (wanted("metadata.namespace") ?? "")
        : "";
  const single =
    name !== undefined && (inNamespace !== "" || !served.definition.namespaced)
      ? objectPath(inNamespace, name)
      : undefined;
  const from = single ?? (inNamespace === "" ? "" : `${inNamespace}/`);
  const to =
    single !== undefined
      ? `${single}\0`
      : inNamespace === ""
        ? undefined
        : prefixEnd(`${inNamespace}/`);
  const parsesFields = fields.requirements.some((one) => !pathFields.has(one.field));
  const inRange = (path: string): boolean => path >= from && (to === undefined || path < to);
  const matchesFields = (entry: CacheEntry): boolean => {
    if (fields.empty) return true;
    if (parsesFields) return fields.matches(entry.fields(served.fields));
    return fields.matches({
      "metadata.name": nameOfPath(entry.path),
      "metadata.namespace": namespaceOfPath(entry.path),
    });
  };
  return {
    from,
    to,
    matchesAll: labels.empty && fields.empty,
    inRange,
    matches: (entry) =>
      inRange(entry.path) &&
      matchesFields(entry) &&
      (labels.empty || labels.matches(entry.labels())),
  };
}
