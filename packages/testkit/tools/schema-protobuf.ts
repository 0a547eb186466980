import { rowsOf, type ResourceRow } from "./schema-resources.ts";

type ProtoField = readonly [number: number, type: string, label?: string];
type ProtoFiles = Readonly<
  Record<
    string,
    { readonly messages: Readonly<Record<string, Readonly<Record<string, ProtoField>>>> }
  >
>;

interface Tag {
  readonly json: string;
  readonly type: string;
  readonly omitEmpty: boolean;
  readonly order: number;
}

interface Message {
  readonly name: string;
  readonly isKind: boolean;
  readonly fields: readonly string[];
  readonly references: readonly string[];
}

/** The aggregator's messages, which the facts do not list: struct, JSON name, number, type, Go type, omitempty. */
const aggregatorFields = `
APIService	metadata	1	meta.v1.ObjectMeta	metav1.ObjectMeta	omitempty
APIService	spec	2	apiregistration.v1.APIServiceSpec	APIServiceSpec	omitempty
APIService	status	3	apiregistration.v1.APIServiceStatus	APIServiceStatus	omitempty
APIServiceList	metadata	1	meta.v1.ListMeta	metav1.ListMeta	omitempty
APIServiceList	items	2	apiregistration.v1.APIService	[]APIService	
APIServiceSpec	service	1	apiregistration.v1.ServiceReference	*ServiceReference	omitempty
APIServiceSpec	group	2	string	string	omitempty
APIServiceSpec	version	3	string	string	omitempty
APIServiceSpec	insecureSkipTLSVerify	4	bool	bool	omitempty
APIServiceSpec	caBundle	5	bytes	[]byte	omitempty
APIServiceSpec	groupPriorityMinimum	7	int32	int32	
APIServiceSpec	versionPriority	8	int32	int32	
APIServiceStatus	conditions	1	apiregistration.v1.APIServiceCondition	[]APIServiceCondition	omitempty
APIServiceCondition	type	1	string	APIServiceConditionType	
APIServiceCondition	status	2	string	ConditionStatus	
APIServiceCondition	lastTransitionTime	3	meta.v1.Time	metav1.Time	omitempty
APIServiceCondition	reason	4	string	string	omitempty
APIServiceCondition	message	5	string	string	omitempty
ServiceReference	namespace	1	string	string	omitempty
ServiceReference	name	2	string	string	omitempty
ServiceReference	port	3	int32	*int32	omitempty
`;

/** Packages that belong to every group version. */
const sharedPackages = ["meta.v1", "meta.v1beta1"];
/** Messages around objects, which are no kinds. */
const envelopes = ["runtime.Unknown", "meta.v1.WatchEvent"];

/**
 * The table of protobuf messages. First a line `@group/version`, tab, package for each served group version; then a line per message: its name, tab, "k" if it is a
 * kind of its own, tab, its fields in the order in which JSON shows them, separated by spaces. A field is `json;number;type;flags`. No name = shown inside the
 * parent; no type = string, a dot first = of the same package. Flags: r repeated, m map with string keys, p pointer, o omitempty.
 */
export function protobufTable(
  facts: unknown,
  fieldTags: string,
  resources: readonly ResourceRow[],
): readonly string[] {
  const messages = messagesOf(facts as ProtoFiles, fieldTags);
  const groupVersions = new Map<string, string>();
  for (const row of resources) {
    for (const groupVersion of [`${row[0]}/${row[1]}`, row[5] ?? ""]) {
      const name = packageOfGroupVersion(groupVersion);
      if (name !== undefined) groupVersions.set(groupVersion, name);
    }
  }
  const roots = new Set([...groupVersions.values(), ...sharedPackages]);
  const reachable = new Set<string>();
  const pending = [...messages.values()]
    .filter(({ name, isKind }) => isKind && roots.has(packageOf(name)))
    .map(({ name }) => name)
    .concat(envelopes);
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    const message = messages.get(name);
    if (message === undefined) throw new Error(`the facts have no message ${name}`);
    if (reachable.has(name)) continue;
    reachable.add(name);
    pending.push(...message.references);
  }
  const heads = [...groupVersions]
    .map(([groupVersion, name]) => `@${groupVersion}\t${name}`)
    .sort();
  const lines = [...reachable].sort().map((name) => {
    const { isKind = false, fields = [] } = messages.get(name) ?? {};
    return `${name}\t${isKind ? "k" : ""}\t${fields.join(" ")}`;
  });
  return [...heads, ...lines];
}

function messagesOf(files: ProtoFiles, fieldTags: string): ReadonlyMap<string, Message> {
  const tags = new Map<string, Tag>();
  const kinds = new Set<string>();
  for (const [order, row] of rowsOf(fieldTags).entries()) {
    const struct = `${row["go_package"]}/${row["struct"]}`;
    const { json = "", go_type: type = "", proto_number: number = "" } = row;
    if (number === "") {
      if (/(^|\.)TypeMeta$/.test(type)) kinds.add(struct);
      continue;
    }
    tags.set(`${struct}/${number}`, {
      json,
      type,
      omitEmpty: row["omitempty"] === "omitempty",
      order,
    });
  }
  const found = new Map<string, Message>();
  for (const [key, { messages }] of Object.entries(files)) {
    const [protoPackage = "", path = ""] = key.split("|");
    const home = shortPackage(protoPackage);
    if (home === undefined) continue;
    const goPackage = path.replace(/\/generated\.proto$/, "");
    const qualified = (type: string): string => {
      if (type.startsWith(".")) {
        const dot = type.lastIndexOf(".");
        return `${shortPackage(type.slice(1, dot))}.${type.slice(dot + 1)}`;
      }
      return Object.hasOwn(messages, type) ? `${home}.${type}` : type;
    };
    for (const [message, fields] of Object.entries(messages)) {
      const struct = `${goPackage}/${message}`;
      const references: string[] = [];
      const written = Object.entries(fields).map(([name, [number, type, label]], index) => {
        const tag = tags.get(`${struct}/${number}`) ?? {
          json: name,
          type: "",
          omitEmpty: false,
          order: index,
        };
        const map = /^map<string,\s*(.+)>$/.exec(type);
        const own = qualified(map?.[1] ?? type);
        if (own.includes(".")) references.push(own);
        const labels = map !== null ? "m" : label === "repeated" ? "r" : "";
        return { order: tag.order, text: fieldText(tag, number, own, labels, home) };
      });
      const name = `${home}.${message}`;
      written.sort((a, b) => a.order - b.order);
      // The plain list of any objects has no struct of its own in the core package.
      const isKind = kinds.has(struct) || name === "core.v1.List";
      found.set(name, { name, isKind, fields: written.map(({ text }) => text), references });
    }
  }
  addAggregator(found);
  return found;
}

function addAggregator(found: Map<string, Message>): void {
  for (const line of aggregatorFields.trim().split("\n")) {
    const [struct = "", json = "", number = "", type = "", goType = "", omit = ""] =
      line.split("\t");
    const name = `apiregistration.v1.${struct}`;
    const known = found.get(name);
    const tag = { json, type: goType, omitEmpty: omit !== "", order: 0 };
    const labels = goType.startsWith("[]") && type !== "bytes" ? "r" : "";
    found.set(name, {
      name,
      isKind: struct === "APIService" || struct === "APIServiceList",
      fields: [
        ...(known?.fields ?? []),
        fieldText(tag, Number(number), type, labels, "apiregistration.v1"),
      ],
      references: [...(known?.references ?? []), ...(type.includes(".") ? [type] : [])],
    });
  }
}

function fieldText(tag: Tag, number: number, type: string, labels: string, home: string): string {
  const flags = `${labels}${tag.type.startsWith("*") ? "p" : ""}${tag.omitEmpty ? "o" : ""}`;
  const short = packageOf(type) === home ? type.slice(home.length) : type === "string" ? "" : type;
  return `${tag.json === "(inline)" ? "" : tag.json};${number};${short};${flags}`;
}

/** "apps.v1" for "k8s.io.api.apps.v1"; undefined for packages that hold no type of the API. */
function shortPackage(protoPackage: string): string | undefined {
  return /^k8s\.io\.(?:api|apimachinery\.pkg\.(?:api|apis|util)|apimachinery\.pkg|apiextensions_apiserver\.pkg\.apis)\.([a-z0-9.]+)$/.exec(
    protoPackage,
  )?.[1];
}

function packageOf(message: string): string {
  return message.slice(0, message.lastIndexOf("."));
}

function packageOfGroupVersion(groupVersion: string): string | undefined {
  const slash = groupVersion.indexOf("/");
  if (slash < 0) return groupVersion === "" ? undefined : `core.${groupVersion}`;
  const group = groupVersion.slice(0, slash);
  const version = groupVersion.slice(slash + 1);
  const first = group === "rbac.authorization.k8s.io" ? "rbac" : (group.split(".")[0] ?? "");
  return `${group === "" ? "core" : first}.${version}`;
}
