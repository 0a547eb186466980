import { definitions } from "./gen/definitions.js";

/** A node of the generated table, in the short keys of the facts (see `compileNode` for their meaning). */
export interface DefinitionNode {
  readonly t?: string;
  readonly f?: string;
  readonly r?: string;
  readonly i?: DefinitionNode;
  readonly ap?: DefinitionNode;
  readonly p?: Readonly<Record<string, DefinitionNode>>;
  readonly q?: readonly string[];
  readonly e?: readonly string[];
  readonly d?: unknown;
  readonly gvk?: readonly (readonly [group: string, version: string, kind: string])[];
  readonly lt?: "atomic" | "set" | "map";
  readonly lk?: readonly string[];
  readonly mt?: "atomic" | "granular";
  readonly ps?: string;
  readonly pk?: string;
  readonly u?: unknown;
  readonly n?: 1;
  readonly z?: 1;
  readonly g?: string;
}

let index: ReadonlyMap<string, string> | undefined;
const parsed = new Map<string, DefinitionNode>();

/** The definition named so, parsed when first asked for; undefined if the table has none. */
export function definitionNode(name: string): DefinitionNode | undefined {
  const known = parsed.get(name);
  if (known !== undefined) return known;
  const text = lines().get(name);
  if (text === undefined) return undefined;
  const node = JSON.parse(text) as DefinitionNode;
  parsed.set(name, node);
  return node;
}

/** Names of all definitions, sorted. */
export function definitionNames(): Iterable<string> {
  return lines().keys();
}

/** "io.k8s.api.apps.v1.Deployment" for ("apps", "v1", "Deployment"); undefined if no definition carries that kind. */
export function definitionNameOf(group: string, version: string, kind: string): string | undefined {
  for (const prefix of packagesOf(group)) {
    const name = `${prefix}.${version}.${kind}`;
    if (lines().has(name)) return name;
  }
  return undefined;
}

const packageOverrides: Readonly<Record<string, string>> = {
  "": "io.k8s.api.core",
  "apiextensions.k8s.io": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions",
  "apiregistration.k8s.io": "io.k8s.kube-aggregator.pkg.apis.apiregistration",
  "flowcontrol.apiserver.k8s.io": "io.k8s.api.flowcontrol",
  "rbac.authorization.k8s.io": "io.k8s.api.rbac",
};

function packagesOf(group: string): readonly string[] {
  return [
    packageOverrides[group] ?? `io.k8s.api.${group.split(".")[0] ?? ""}`,
    "io.k8s.apimachinery.pkg.apis.meta",
  ];
}

function lines(): ReadonlyMap<string, string> {
  if (index !== undefined) return index;
  const found = new Map<string, string>();
  let start = 0;
  while (start < definitions.length) {
    const newline = definitions.indexOf("\n", start);
    const end = newline < 0 ? definitions.length : newline;
    const tab = definitions.indexOf("\t", start);
    found.set(definitions.slice(start, tab), definitions.slice(tab + 1, end));
    start = end + 1;
  }
  index = found;
  return found;
}
