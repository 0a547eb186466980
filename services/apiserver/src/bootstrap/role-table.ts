import type { JsonObject, KubeObject } from "@wherry/machinery";

const group = "rbac.authorization.k8s.io";
const verbLists: Readonly<Record<string, readonly string[]>> = {
  all: ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
  read: ["get", "list", "watch"],
  record: ["create", "patch", "update"],
  write: ["create", "delete", "deletecollection", "patch", "update"],
};

/** Reads the format that `default-roles-table.ts` describes. */
export function parseRoleTable(text: string): readonly KubeObject[] {
  const objects: { kind: string; rules?: JsonObject[] | null }[] = [];
  for (const line of text.split("\n")) {
    if (line.trim() === "") continue;
    if (!line.startsWith(" ")) {
      objects.push(parseHead(line));
      continue;
    }
    const role = objects.at(-1);
    if (role === undefined) throw new TypeError("a rule stands before the first role of the table");
    role.rules = [...(role.rules ?? []), parseRule(line)];
  }
  return objects as unknown as readonly KubeObject[];
}

function parseHead(line: string): { kind: string; rules?: JsonObject[] | null } {
  const [kind = "", place = "", ...rest] = line.split(" ");
  const slash = kind === "Role" || kind === "RoleBinding" ? place.indexOf("/") : -1;
  const labels: Record<string, string> = { "kubernetes.io/bootstrapping": "rbac-defaults" };
  for (const word of rest.filter((one) => one.startsWith("+")))
    labels[`${group}/${word.slice(1)}`] = "true";
  const object = {
    apiVersion: `${group}/v1`,
    kind,
    metadata: {
      name: place.slice(slash + 1),
      ...(slash < 0 ? {} : { namespace: place.slice(0, slash) }),
      labels,
      annotations: { "rbac.authorization.kubernetes.io/autoupdate": "true" },
    },
  };
  if (rest[0] !== "=") {
    const selectors = rest
      .filter((word) => word.startsWith("<"))
      .map((word) => ({ matchLabels: { [`${group}/${word.slice(1)}`]: "true" } }));
    return {
      ...object,
      ...(selectors.length === 0 ? {} : { aggregationRule: { clusterRoleSelectors: selectors } }),
      rules: null,
    };
  }
  const [, roleKind = "", roleName = "", ...subjects] = rest;
  const parsed = subjects.map(parseSubject);
  return {
    ...object,
    roleRef: { apiGroup: group, kind: roleKind, name: roleName },
    ...(parsed.length === 0 ? {} : { subjects: parsed }),
  } as { kind: string };
}

function parseSubject(text: string): JsonObject {
  const colon = text.indexOf(":");
  const [kind, name] = [text.slice(0, colon), text.slice(colon + 1)];
  if (kind !== "ServiceAccount") return { apiGroup: group, kind, name };
  const [namespace = "", account = ""] = name.split("/");
  return { kind, name: account, namespace };
}

function parseRule(line: string): JsonObject {
  const fields = line
    .trim()
    .split(" ")
    .map((field) => field.split(",").map((word) => (word === "-" ? "" : word)));
  const [verbField = [], second = [], third, names] = fields;
  const verbs = verbLists[verbField.join(",")] ?? verbField;
  if (third === undefined) return { nonResourceURLs: second, verbs };
  return {
    apiGroups: second,
    resources: third,
    ...(names === undefined ? {} : { resourceNames: names }),
    verbs,
  };
}
