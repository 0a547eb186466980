import { schemaOf } from "../compile-schema.ts";
import { definitionNameOf } from "../definition-table.ts";
import type { ResourceDefinition, SubresourceDefinition } from "../resource.ts";
import type { TypeSchema } from "../type-schema.ts";
import { kindTypes, metaPrefix, type GroupVersionKindDocument } from "./kind-types.ts";

/** One method of one path, in terms that both versions of the document are written from. */
export interface ApiOperation {
  readonly method: string;
  readonly operationId: string;
  readonly action: string;
  readonly kind: GroupVersionKindDocument;
  readonly tag: string;
  readonly query: readonly QueryParameter[];
  readonly consumes: readonly string[];
  readonly produces: readonly string[];
  readonly body: TypeSchema | undefined;
  readonly bodyRequired: boolean;
  /** By status code; undefined = plain text. */
  readonly answers: Readonly<Record<string, TypeSchema | undefined>>;
}

export interface ApiPath {
  readonly path: string;
  /** Names in braces, in order of upstream's documents. */
  readonly pathParameters: readonly string[];
  readonly operations: readonly ApiOperation[];
}

export type QueryParameter = readonly [name: string, type: "string" | "boolean" | "integer"];

const listQuery: readonly QueryParameter[] = [
  ["allowWatchBookmarks", "boolean"],
  ["continue", "string"],
  ["fieldSelector", "string"],
  ["labelSelector", "string"],
  ["limit", "integer"],
  ["resourceVersion", "string"],
  ["resourceVersionMatch", "string"],
  ["sendInitialEvents", "boolean"],
  ["timeoutSeconds", "integer"],
  ["watch", "boolean"],
];
const writeQuery: readonly QueryParameter[] = [
  ["dryRun", "string"],
  ["fieldManager", "string"],
  ["fieldValidation", "string"],
];
const deleteQuery: readonly QueryParameter[] = [
  ["dryRun", "string"],
  ["gracePeriodSeconds", "integer"],
  ["ignoreStoreReadErrorWithClusterBreakingPotential", "boolean"],
  ["orphanDependents", "boolean"],
  ["propagationPolicy", "string"],
];
const subresourceQuery: Readonly<Record<string, readonly QueryParameter[]>> = {
  PodExecOptions: [
    ["command", "string"],
    ["container", "string"],
    ["stderr", "boolean"],
    ["stdin", "boolean"],
    ["stdout", "boolean"],
    ["tty", "boolean"],
  ],
  PodAttachOptions: [
    ["container", "string"],
    ["stderr", "boolean"],
    ["stdin", "boolean"],
    ["stdout", "boolean"],
    ["tty", "boolean"],
  ],
  PodPortForwardOptions: [["ports", "integer"]],
  PodProxyOptions: [["path", "string"]],
  ServiceProxyOptions: [["path", "string"]],
  NodeProxyOptions: [["path", "string"]],
};
const logQuery: readonly QueryParameter[] = [
  ["container", "string"],
  ["follow", "boolean"],
  ["insecureSkipTLSVerifyBackend", "boolean"],
  ["limitBytes", "integer"],
  ["previous", "boolean"],
  ["sinceSeconds", "integer"],
  ["stream", "string"],
  ["tailLines", "integer"],
  ["timestamps", "boolean"],
];

const anyType = ["*/*"];
const objectTypes = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const listTypes = [
  ...objectTypes,
  "application/json;stream=watch",
  "application/vnd.kubernetes.protobuf;stream=watch",
];
const patchTypes = [
  "application/json-patch+json",
  "application/merge-patch+json",
  "application/strategic-merge-patch+json",
  "application/apply-patch+yaml",
];

/** Paths below one group version for a resource and its subresources, as upstream names and orders them. */
export function pathsOf(definition: ResourceDefinition): readonly ApiPath[] {
  const names = namesOf(definition);
  const paths: ApiPath[] = [];
  const collection = operationsOfCollection(definition, names);
  if (collection.length > 0) {
    paths.push({ path: names.collection, pathParameters: names.scope, operations: collection });
  }
  if (definition.namespaced && definition.verbs.includes("list")) {
    paths.push({
      path: `${names.root}/${definition.resource}`,
      pathParameters: [],
      operations: [
        {
          ...listOperation(definition, names),
          operationId: `list${names.group}${definition.kind}ForAllNamespaces`,
        },
      ],
    });
  }
  const item = operationsOfItem(definition, names);
  const itemParameters = ["name", ...names.scope];
  if (item.length > 0) {
    paths.push({
      path: `${names.collection}/{name}`,
      pathParameters: itemParameters,
      operations: item,
    });
  }
  for (const subresource of definition.subresources) {
    const path = `${names.collection}/{name}/${subresource.name}`;
    paths.push({
      path,
      pathParameters: itemParameters,
      operations: operationsOfSubresource(definition, subresource, names, ""),
    });
    if (subresource.name !== "proxy") continue;
    paths.push({
      path: `${path}/{path}`,
      pathParameters: [...itemParameters, "path"],
      operations: operationsOfSubresource(definition, subresource, names, "WithPath"),
    });
  }
  return paths.map((path) =>
    // Namespaces are the scope of others; their own path parameter is called name.
    definition.resource === "namespaces" && definition.group === ""
      ? { ...path, path: path.path.replace("{namespace}", "{name}") }
      : path,
  );
}

interface Names {
  readonly root: string;
  readonly collection: string;
  readonly scope: readonly string[];
  /** "AppsV1" */
  readonly group: string;
  readonly tag: string;
  /** "Namespaced" or "". */
  readonly scopeWord: string;
}

function namesOf(definition: ResourceDefinition): Names {
  const { group, version, resource, namespaced } = definition;
  const root = group === "" ? `/api/${version}` : `/apis/${group}/${version}`;
  const words = (group === "" ? "core" : group.replace(/\.k8s\.io$/, "")).split(".");
  const [first = "", ...others] = words;
  return {
    root,
    collection: namespaced ? `${root}/namespaces/{namespace}/${resource}` : `${root}/${resource}`,
    scope: namespaced ? ["namespace"] : [],
    group: words.map(capitalized).join("") + capitalized(version),
    tag: `${first}${others.map(capitalized).join("")}_${version}`,
    scopeWord: namespaced ? "Namespaced" : "",
  };
}

function operationsOfCollection(
  definition: ResourceDefinition,
  names: Names,
): readonly ApiOperation[] {
  const operations: ApiOperation[] = [];
  const { verbs } = definition;
  if (verbs.includes("list")) operations.push(listOperation(definition, names));
  if (verbs.includes("create")) {
    const { object } = kindTypes(definition);
    operations.push({
      ...base(definition, names, "post", "post"),
      operationId: `create${names.group}${names.scopeWord}${definition.kind}`,
      query: writeQuery,
      body: object,
      answers: { 200: object, 201: object, 202: object },
    });
  }
  if (verbs.includes("deletecollection")) {
    operations.push({
      ...base(definition, names, "delete", "deletecollection"),
      operationId: `delete${names.group}Collection${names.scopeWord}${definition.kind}`,
      query: [
        ...deleteQuery,
        ...listQuery.filter(([name]) => name !== "allowWatchBookmarks" && name !== "watch"),
      ],
      body: schemaOf(`${metaPrefix}.DeleteOptions`),
      bodyRequired: false,
      answers: { 200: schemaOf(`${metaPrefix}.Status`) },
    });
  }
  return operations;
}

function listOperation(definition: ResourceDefinition, names: Names): ApiOperation {
  return {
    ...base(definition, names, "get", "list"),
    operationId: `list${names.group}${names.scopeWord}${definition.kind}`,
    query: listQuery,
    produces: definition.verbs.includes("watch") ? listTypes : objectTypes,
    answers: { 200: kindTypes(definition).list },
  };
}

function operationsOfItem(definition: ResourceDefinition, names: Names): readonly ApiOperation[] {
  const operations: ApiOperation[] = [];
  const { object } = kindTypes(definition);
  const suffix = `${names.group}${names.scopeWord}${definition.kind}`;
  const { verbs } = definition;
  if (verbs.includes("get")) {
    operations.push({
      ...base(definition, names, "get", "get"),
      operationId: `read${suffix}`,
      answers: { 200: object },
    });
  }
  if (verbs.includes("update"))
    operations.push(replaceOperation(definition, names, object, suffix));
  if (verbs.includes("patch")) operations.push(patchOperation(definition, names, object, suffix));
  if (verbs.includes("delete")) {
    const answer = answersWithObject.has(definition.kind)
      ? object
      : schemaOf(`${metaPrefix}.Status`);
    operations.push({
      ...base(definition, names, "delete", "delete"),
      operationId: `delete${suffix}`,
      query: deleteQuery,
      body: schemaOf(`${metaPrefix}.DeleteOptions`),
      bodyRequired: false,
      answers: { 200: answer, 202: answer },
    });
  }
  return operations;
}

/** Kinds whose DELETE answers with the object, as far as upstream's document says so. */
const answersWithObject = new Set([
  "DeviceClass",
  "PersistentVolume",
  "PersistentVolumeClaim",
  "Pod",
  "PodTemplate",
  "ResourceClaim",
  "ResourceClaimTemplate",
  "ResourceQuota",
  "ResourceSlice",
  "Service",
  "ServiceAccount",
  "CSIDriver",
  "CSINode",
  "StorageClass",
  "VolumeAttachment",
  "VolumeAttributesClass",
]);

function replaceOperation(
  definition: ResourceDefinition,
  names: Names,
  object: TypeSchema,
  suffix: string,
): ApiOperation {
  return {
    ...base(definition, names, "put", "put"),
    operationId: `replace${suffix}`,
    query: writeQuery,
    body: object,
    answers: { 200: object, 201: object },
  };
}

function patchOperation(
  definition: ResourceDefinition,
  names: Names,
  object: TypeSchema,
  suffix: string,
): ApiOperation {
  return {
    ...base(definition, names, "patch", "patch"),
    operationId: `patch${suffix}`,
    query: [...writeQuery, ["force", "boolean"]],
    consumes: patchTypes,
    body: schemaOf(`${metaPrefix}.Patch`),
    answers: { 200: object, 201: object },
  };
}

const methodOfVerb: Readonly<Record<string, string>> = {
  create: "post",
  delete: "delete",
  get: "get",
  patch: "patch",
  update: "put",
};

function operationsOfSubresource(
  definition: ResourceDefinition,
  subresource: SubresourceDefinition,
  names: Names,
  ending: string,
): readonly ApiOperation[] {
  const { group, version, kind } = subresource;
  const suffix = `${names.scopeWord}${definition.kind}${capitalized(subresource.name)}${ending}`;
  const kindDocument: GroupVersionKindDocument = { group, kind, version };
  if (subresource.kind.endsWith("Options")) {
    const methods = subresource.verbs.map((verb) => methodOfVerb[verb] ?? "get");
    if (subresource.name === "proxy") methods.push("head", "options");
    return methods.map((method) => ({
      ...base(definition, names, method, "connect"),
      kind: kindDocument,
      operationId: `connect${names.group}${capitalized(method)}${suffix}`,
      query: subresourceQuery[kind] ?? [],
      produces: anyType,
      answers: { 200: undefined },
    }));
  }
  const name = definitionNameOf(group, version, kind);
  const object = name === undefined ? kindTypes(definition).object : schemaOf(name);
  const full = `${names.group}${suffix}`;
  return subresource.verbs.flatMap((verb): readonly ApiOperation[] => {
    switch (verb) {
      case "get":
        return [
          {
            ...base(definition, names, "get", "get"),
            kind: kindDocument,
            operationId: `read${full}`,
            ...(subresource.name === "log"
              ? {
                  query: logQuery,
                  produces: ["text/plain", ...objectTypes],
                  answers: { 200: undefined },
                }
              : { answers: { 200: object } }),
          },
        ];
      case "update":
        return [{ ...replaceOperation(definition, names, object, full), kind: kindDocument }];
      case "patch":
        return [{ ...patchOperation(definition, names, object, full), kind: kindDocument }];
      case "create":
        return [
          {
            ...base(definition, names, "post", "post"),
            kind: kindDocument,
            operationId: `create${full}`,
            query: writeQuery,
            body: object,
            answers: { 200: object, 201: object, 202: object },
          },
        ];
      default:
        return [];
    }
  });
}

function base(
  definition: ResourceDefinition,
  names: Names,
  method: string,
  action: string,
): Omit<ApiOperation, "operationId" | "answers"> {
  const { group, version, kind } = definition;
  return {
    method,
    action,
    kind: { group, kind, version },
    tag: names.tag,
    query: [],
    consumes: anyType,
    produces: objectTypes,
    body: undefined,
    bodyRequired: true,
  };
}

function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
