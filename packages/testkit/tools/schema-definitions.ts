import { rowsOf, type ResourceRow } from "./schema-resources.ts";

interface Node {
  r?: string;
  t?: string;
  i?: Node;
  ap?: Node;
  p?: Record<string, Node>;
  q?: string[];
  gvk?: [string, string, string][];
  /** Pointer in Go: absent and zero differ. */
  n?: 1;
  /** Written even when zero. */
  z?: 1;
  /** Go type, where it does not follow from the schema. */
  g?: string;
}

interface Tag {
  readonly type: string;
  readonly omitEmpty: boolean;
}

/** Types of the meta API that requests and answers carry beside the resources themselves. */
const extraRoots = [
  "io.k8s.apimachinery.pkg.apis.meta.v1.APIGroup",
  "io.k8s.apimachinery.pkg.apis.meta.v1.APIGroupList",
  "io.k8s.apimachinery.pkg.apis.meta.v1.APIResourceList",
  "io.k8s.apimachinery.pkg.apis.meta.v1.APIVersions",
  "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions",
  "io.k8s.apimachinery.pkg.apis.meta.v1.Patch",
  "io.k8s.apimachinery.pkg.apis.meta.v1.Status",
  "io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent",
  "io.k8s.apimachinery.pkg.version.Info",
];

/** Field tags of the aggregator's types, which the facts do not list. */
const aggregatorTags = `
APIService	metadata	metav1.ObjectMeta	omitempty
APIService	spec	APIServiceSpec	omitempty
APIService	status	APIServiceStatus	omitempty
APIServiceSpec	service	*ServiceReference	omitempty
APIServiceSpec	group	string	omitempty
APIServiceSpec	version	string	omitempty
APIServiceSpec	insecureSkipTLSVerify	bool	omitempty
APIServiceSpec	caBundle	[]byte	omitempty
APIServiceSpec	groupPriorityMinimum	int32	
APIServiceSpec	versionPriority	int32	
APIServiceStatus	conditions	[]APIServiceCondition	omitempty
APIServiceCondition	type	APIServiceConditionType	
APIServiceCondition	status	ConditionStatus	
APIServiceCondition	lastTransitionTime	metav1.Time	omitempty
APIServiceCondition	reason	string	omitempty
APIServiceCondition	message	string	omitempty
ServiceReference	namespace	string	omitempty
ServiceReference	name	string	omitempty
ServiceReference	port	*int32	omitempty
`;

/** One line per reachable definition: name, tab, JSON in the facts' short keys plus n, z and g. */
export function definitionTable(
  facts: unknown,
  fieldTags: string,
  resources: readonly ResourceRow[],
): readonly string[] {
  const { definitions } = facts as { definitions: Record<string, Node> };
  const tags = readTags(fieldTags);
  const reachable = new Set<string>();
  const pending = [...extraRoots];
  const served = new Set(resources.flatMap((row) => kindsOf(row)));
  for (const [name, node] of Object.entries(definitions)) {
    if (
      node.gvk?.some(
        (gvk) => served.has(gvk.join("/")) || served.has(gvk.join("/").replace(/List$/, "")),
      )
    ) {
      pending.push(name);
    }
  }
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    const node = definitions[name];
    if (node === undefined || reachable.has(name)) continue;
    reachable.add(name);
    pending.push(...references(node));
  }
  return [...reachable]
    .sort()
    .map(
      (name) => `${name}\t${JSON.stringify(withTags(name, definitions[name] ?? {}, tags, served))}`,
    );
}

function kindsOf(row: ResourceRow): string[] {
  const [group = "", version = "", , , kind = "", body = ""] = row;
  const [bodyGroup, bodyVersion] = body === "" ? [group, version] : body.split("/");
  return [`${bodyGroup}/${bodyVersion}/${kind}`];
}

function references(node: Node): string[] {
  const found = node.r === undefined ? [] : [node.r];
  for (const child of [node.i, node.ap, ...Object.values(node.p ?? {})]) {
    if (child !== undefined) found.push(...references(child));
  }
  return found;
}

function withTags(
  name: string,
  node: Node,
  tags: ReadonlyMap<string, Tag>,
  served: ReadonlySet<string>,
): Node {
  const result: Node = { ...node };
  // Options and watch events are registered in every group; only the served ones are shown.
  if (result.gvk !== undefined && result.gvk.length > 1) {
    const versions = new Set([...served].map((gvk) => gvk.split("/").slice(0, 2).join("/")));
    result.gvk = result.gvk.filter(([group, version]) => versions.has(`${group}/${version}`));
  }
  if (node.p === undefined) return result;
  const properties: Record<string, Node> = {};
  for (const [field, child] of Object.entries(node.p)) {
    const tag = tags.get(`${goPackage(name)} ${shortName(name)} ${field}`);
    const copy: Node = { ...child };
    if (tag !== undefined) {
      if (tag.type.startsWith("*")) copy.n = 1;
      if (isAlwaysWritten(child, field, tag)) copy.z = 1;
      const goType = goTypeName(tag.type.replace(/^\*/, ""), name);
      if (goType !== derivedGoType(child)) copy.g = goType;
    } else if (node.q?.includes(field) === true) {
      copy.z = 1;
    }
    properties[field] = copy;
  }
  result.p = properties;
  return result;
}

/** Go writes structs whether or not they are tagged omitempty; object metadata's creation time is the one exception. */
function isAlwaysWritten(node: Node, field: string, tag: Tag): boolean {
  if (!tag.omitEmpty) return true;
  if (tag.type.startsWith("*") || tag.type.startsWith("[]") || tag.type.startsWith("map["))
    return false;
  return node.r !== undefined && field !== "creationTimestamp" && !isMapAlias(tag.type);
}

function isMapAlias(type: string): boolean {
  return /(^|\.)(ResourceList|FieldsV1|ExtraValue|JSONSchemaDefinitions|JSONSchemaDependencies)$/.test(
    type,
  );
}

function readTags(text: string): ReadonlyMap<string, Tag> {
  const tags = new Map<string, Tag>();
  const inlined: [string, string, string][] = [];
  for (const row of rowsOf(text)) {
    const { go_package: goPackageName = "", struct = "", json = "", go_type: type = "" } = row;
    if (json === "(inline)") inlined.push([goPackageName, struct, type]);
    else
      tags.set(`${goPackageName} ${struct} ${json}`, {
        type,
        omitEmpty: row["omitempty"] === "omitempty",
      });
  }
  for (const line of aggregatorTags.trim().split("\n")) {
    const [struct = "", json = "", type = "", omit = ""] = line.split("\t");
    tags.set(`k8s.io/kube-aggregator/pkg/apis/apiregistration/v1 ${struct} ${json}`, {
      type,
      omitEmpty: omit === "omitempty",
    });
  }
  // Inlined structs may themselves inline others: repeat until nothing is added.
  for (let size = -1; size !== tags.size;) {
    size = tags.size;
    for (const [goPackageName, struct, type] of inlined) {
      const prefix = `${goPackageName} ${type.replace(/^.*\./, "")} `;
      for (const [key, tag] of tags) {
        if (!key.startsWith(prefix)) continue;
        const target = `${goPackageName} ${struct} ${key.slice(prefix.length)}`;
        if (!tags.has(target)) tags.set(target, tag);
      }
    }
  }
  return tags;
}

function goPackage(definition: string): string {
  const path = definition.split(".").slice(0, -1);
  const joined = path.slice(2).join("/");
  if (definition.startsWith("io.k8s.api.")) return `k8s.io/${joined}`;
  return `k8s.io/${joined}`;
}

function shortName(definition: string): string {
  return definition.slice(definition.lastIndexOf(".") + 1);
}

function derivedGoType(node: Node): string {
  if (node.r !== undefined) return refGoType(node.r);
  if (node.i !== undefined) return `[]${derivedGoType(node.i)}`;
  if (node.ap !== undefined) return `map[string]${derivedGoType(node.ap)}`;
  const { t: type, f: format } = node as { t?: string; f?: string };
  if (type === "integer") return format ?? "int";
  if (type === "boolean") return "bool";
  if (type === "number") return "float64";
  if (type === "string" && format === "byte") return "[]uint8";
  return "string";
}

function refGoType(definition: string): string {
  const parts = definition.split(".");
  return parts.slice(-2).join(".");
}

/** As reflection prints it: package name and type name. */
function goTypeName(type: string, definition: string): string {
  const home = definition.split(".").at(-2) ?? "";
  if (type.startsWith("[]")) return `[]${goTypeName(type.slice(2), definition)}`;
  if (type.startsWith("*")) return `*${goTypeName(type.slice(1), definition)}`;
  const map = /^map\[([^\]]+)\](.*)$/.exec(type);
  if (map !== null)
    return `map[${goTypeName(map[1] ?? "", definition)}]${goTypeName(map[2] ?? "", definition)}`;
  if (type === "byte") return "uint8";
  if (/^(string|bool|u?int(8|32|64)?|float64|interface\{\})$/.test(type)) return type;
  const qualified = /^([a-z0-9]+)\.(.+)$/.exec(type);
  if (qualified === null) return `${home}.${type}`;
  const alias = qualified[1] ?? "";
  return `${alias === "metav1" || alias === "corev1" || /v\d[a-z0-9]*$/.test(alias) ? alias.replace(/^[a-z]*?(?=v\d)/, "") : alias}.${qualified[2]}`;
}
