import { createHash } from "node:crypto";

/** group, version, plural, subresource, kind, body group/version, singular, namespaced, verbs, short names, categories, hash, storage group/version. */
export type ResourceRow = readonly string[];

const generallyAvailable = /^v\d+$/;

/** The rows that a default server serves: every generally available version. Betas are off by default since Kubernetes 1.24. */
export function resourceTable(text: string): readonly ResourceRow[] {
  const rows: ResourceRow[] = [];
  for (const row of rowsOf(text)) {
    const { group = "", version = "", kind = "", storage_version_hash: hash = "" } = row;
    if (!generallyAvailable.test(version)) continue;
    rows.push([
      group,
      version,
      row["plural"] ?? "",
      row["subresource"] ?? "",
      kind,
      row["body_group_version"] ?? "",
      row["singular"] ?? "",
      row["namespaced"] === "true" ? "1" : "",
      row["verbs"] ?? "",
      row["short_names"] ?? "",
      row["categories"] ?? "",
      hash,
      hash === "" ? "" : storageVersion(group, version, kind, hash),
    ]);
  }
  return rows;
}

/** One line per kind: group, kind, then name|type|format|priority per column. */
export function columnTable(text: string): readonly string[] {
  const byKind = new Map<string, string[]>();
  for (const row of rowsOf(text)) {
    const key = `${row["group"]}\t${row["kind"]}`;
    if (row["group"] === "*") continue;
    const cells = byKind.get(key) ?? [];
    // The table lists no format for the name of events, where a server answers "name".
    const format = row["kind"] === "Event" && row["column"] === "Name" ? "name" : row["format"];
    cells.push(`${row["column"]}|${row["type"]}|${format}|${row["priority"]}`);
    byKind.set(key, cells);
  }
  return [...byKind].map(([key, cells]) => `${key}\t${cells.join("\t")}`);
}

/** Groups in the order of the discovery document. */
export function groupOrder(document: unknown): readonly string[] {
  return (document as { groups: { name: string }[] }).groups.map((group) => group.name);
}

export function rowsOf(text: string): readonly Record<string, string>[] {
  const [head = "", ...lines] = text.split("\n");
  const names = head.split("\t");
  return lines
    .filter((line) => line !== "")
    .map((line) => {
      const cells = line.split("\t");
      return Object.fromEntries(names.map((name, index) => [name, cells[index] ?? ""]));
    });
}

/**
 * Discovery shows a hash of the group, version and kind that an object is stored as; trying the candidates tells which that is.
 * Two kinds hash a version that is no longer served: they are stored as the version at hand.
 */
function storageVersion(group: string, version: string, kind: string, hash: string): string {
  const candidates = [`${group}/${version}`, `${group}/v2`, `${group}/v1`, "/v1"];
  for (const candidate of candidates) {
    if (hashOf(`${candidate}/${kind}`) === hash) return candidate.replace(/^\//, "");
  }
  return `${group}/${version}`;
}

function hashOf(text: string): string {
  return createHash("sha256").update(text).digest().subarray(0, 8).toString("base64");
}
