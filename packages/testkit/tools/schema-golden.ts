import type { ResourceRow } from "./schema-resources.ts";

interface GoldenRecord {
  readonly id: string;
  readonly setup?: readonly unknown[];
  readonly request: { readonly method: string; readonly path: string; readonly body?: unknown };
  readonly response: {
    readonly status: number;
    readonly body: unknown;
    readonly headers: { readonly Warning?: readonly string[] };
  };
}

/**
 * The recorded answers that this package can be held to, without notes and headers: defaulting, validation on create and on update, field
 * validation, tables. Records with a set-up beyond namespace and service account are kept with it.
 */
export function goldenRecords(
  text: string,
  resources: readonly ResourceRow[],
): ReadonlyMap<string, readonly string[]> {
  const served = new Set(
    resources.map((row) => (row[0] === "" ? `/api/${row[1]}/` : `/apis/${row[0]}/${row[1]}/`)),
  );
  const groups = new Map<string, string[]>();
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const record = JSON.parse(line) as GoldenRecord;
    const group = record.id.startsWith("verbs/table-")
      ? "tables"
      : record.id.slice(0, record.id.indexOf("/"));
    if (
      ![
        "defaulting",
        "validation-create",
        "validation-update",
        "field-validation",
        "tables",
      ].includes(group)
    )
      continue;
    if (![...served].some((prefix) => record.request.path.startsWith(prefix))) continue;
    const lines = groups.get(group) ?? [];
    lines.push(JSON.stringify(compact(record, group)));
    groups.set(group, lines);
  }
  return groups;
}

function compact(record: GoldenRecord, group: string): unknown {
  const setup = (record.setup ?? []).filter(
    (step) => !/\/namespaces$|\/serviceaccounts$/.test((step as { path: string }).path),
  );
  const warnings = record.response.headers.Warning;
  return {
    id: record.id.slice(record.id.indexOf("/") + 1),
    ...(setup.length > 0 ? { setup } : {}),
    request: record.request,
    status: record.response.status,
    ...(warnings === undefined ? {} : { warnings }),
    ...answer(record, group),
  };
}

/** Of an error its texts count; of a success after validation only that it was one. */
function answer(record: GoldenRecord, group: string): object {
  const { status, body } = record.response;
  if (status >= 400) {
    const { message, details } = body as {
      message?: string;
      details?: { causes?: readonly unknown[] };
    };
    return { message, ...(details?.causes === undefined ? {} : { causes: details.causes }) };
  }
  if (group.startsWith("validation")) return {};
  return {
    body: withoutKey(group === "tables" ? withoutKey(body, "description") : body, "managedFields"),
  };
}

/** Descriptions of columns are prose, which this package does not carry; managed fields are another package's work. */
function withoutKey(value: unknown, dropped: string): unknown {
  if (Array.isArray(value)) return value.map((item) => withoutKey(item, dropped));
  if (typeof value !== "object" || value === null) return value;
  const result: Record<string, unknown> = {};
  for (const [key, child] of Object.entries(value))
    if (key !== dropped) result[key] = withoutKey(child, dropped);
  return result;
}

/** Operations of upstream's document for what is served: method, path, id, action, kind. Watch paths are deprecated and left out. */
export function openApiOperations(
  document: unknown,
  resources: readonly ResourceRow[],
): readonly string[] {
  const { paths } = document as { paths: Record<string, Record<string, OperationFacts>> };
  const served = [
    ...new Set(
      resources.map((row) => (row[0] === "" ? `/api/${row[1]}/` : `/apis/${row[0]}/${row[1]}/`)),
    ),
  ];
  const lines: string[] = [];
  for (const [path, methods] of Object.entries(paths)) {
    const isResource = served.some(
      (prefix) => path.startsWith(prefix) && path.length > prefix.length,
    );
    if (!isResource || path.includes("/watch/")) continue;
    for (const [method, operation] of Object.entries(methods)) {
      if (method === "parameters") continue;
      const kind = operation["x-kubernetes-group-version-kind"];
      const gvk = `${kind?.group}/${kind?.version}/${kind?.kind}`;
      lines.push(
        [method, path, operation.operationId, operation["x-kubernetes-action"], gvk].join("\t"),
      );
    }
  }
  return lines.sort();
}

interface OperationFacts {
  readonly operationId: string;
  readonly "x-kubernetes-action": string;
  readonly "x-kubernetes-group-version-kind"?: {
    readonly group: string;
    readonly version: string;
    readonly kind: string;
  };
}
