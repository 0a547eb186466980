import { columns } from "./gen/columns.js";
import { groups } from "./gen/groups.js";
import { resources } from "./gen/resources.js";
import type { SubresourceDefinition, TableColumn } from "./resource.ts";

/** What the generated table says of one resource; strategy, rows and schema are added by `builtinResources`. */
export interface ResourceEntry {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly resource: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  readonly verbs: readonly string[];
  readonly storageVersionHash: string;
  /** "" for resources that are not stored. */
  readonly storageVersion: string;
  readonly subresources: readonly SubresourceDefinition[];
}

/** Groups of the built-in resources in the order in which discovery lists them; the core group is not among them. */
export function builtinGroupOrder(): readonly string[] {
  return groups.split("\n");
}

export function resourceEntries(): readonly ResourceEntry[] {
  const entries: ResourceEntry[] = [];
  const subresourcesOf = new Map<string, SubresourceDefinition[]>();
  for (const line of resources.split("\n")) {
    const [
      group,
      version,
      resource,
      subresource,
      kind,
      body,
      singular,
      namespaced,
      verbs,
      short,
      categories,
      hash,
      stored,
    ] = line.split("\t");
    const key = `${group}/${version}/${resource}`;
    if (subresource !== "") {
      const [bodyGroup, bodyVersion] = body === "" ? [group, version] : (body ?? "").split("/");
      subresourcesOf.get(key)?.push({
        name: subresource ?? "",
        kind: kind ?? "",
        group: bodyGroup ?? "",
        version: bodyVersion ?? "",
        verbs: list(verbs),
      });
      continue;
    }
    const subresourceList: SubresourceDefinition[] = [];
    subresourcesOf.set(key, subresourceList);
    entries.push({
      group: group ?? "",
      version: version ?? "",
      kind: kind ?? "",
      resource: resource ?? "",
      singular: singular ?? "",
      shortNames: list(short),
      categories: list(categories),
      namespaced: namespaced === "1",
      verbs: list(verbs),
      storageVersionHash: hash ?? "",
      storageVersion: stored ?? "",
      subresources: subresourceList,
    });
  }
  return entries;
}

let columnLines: ReadonlyMap<string, string> | undefined;

/** Table columns of a built-in kind, or the two that a kind without a printer of its own has. */
export function columnsOf(group: string, kind: string): readonly TableColumn[] {
  columnLines ??= new Map(
    columns.split("\n").map((line) => {
      const end = line.indexOf("\t", line.indexOf("\t") + 1);
      return [line.slice(0, end), line.slice(end + 1)];
    }),
  );
  const text = columnLines.get(`${group}\t${kind}`) ?? "Name|string|name|0\tCreated At|date||0";
  return text.split("\t").map((cell) => {
    const [name = "", type = "", format = "", priority = "0"] = cell.split("|");
    return { name, type, format, priority: Number(priority), description: "" };
  });
}

function list(text: string | undefined): readonly string[] {
  return text === undefined || text === "" ? [] : text.split(",");
}
