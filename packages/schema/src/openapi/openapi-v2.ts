import type { Json, JsonObject } from "@wherry/machinery";
import { schemaOf } from "../compile-schema.ts";
import type { ResourceRegistry } from "../registry.ts";
import type { ResourceDefinition } from "../resource.ts";
import type { TypeSchema } from "../type-schema.ts";
import { kindsOf, kindTypes, metaPrefix, type GroupVersionKindDocument } from "./kind-types.ts";
import { pathsOf, type ApiOperation, type ApiPath } from "./operations.ts";
import { collectTypes, definitionDocument, referenceTo } from "./type-document.ts";

/** The words that OpenAPI demands beside status codes, as upstream has them. */
const answerTexts: Readonly<Record<string, string>> = {
  200: "OK",
  201: "Created",
  202: "Accepted",
  401: "Unauthorized",
};

/** Everything of a document but its paths and definitions. */
export interface OpenApiHead extends JsonObject {
  readonly swagger: string;
}

/** One path or one definition: documents are made of a thousand of them, so that nobody has to make one at a stretch. */
export interface OpenApiPart {
  readonly section: "paths" | "definitions";
  readonly name: string;
  readonly document: JsonObject;
}

/**
 * The document at /openapi/v2 for everything that is registered. It is some 0.9 MB as JSON and has no descriptions. `openApiV2Json` and
 * `openApiV2Protobuf` make its bytes without holding the loop.
 */
export function buildOpenApiV2(registry: ResourceRegistry, version = "unversioned"): JsonObject {
  const paths: { [path: string]: Json } = {};
  const definitions: { [name: string]: Json } = {};
  for (const { section, name, document } of openApiV2Parts(registry)) {
    (section === "paths" ? paths : definitions)[name] = document;
  }
  return { ...openApiV2Head(version), paths, definitions };
}

export function openApiV2Head(version: string): OpenApiHead {
  return {
    swagger: "2.0",
    info: { title: "Kubernetes", version },
    securityDefinitions: { BearerToken: { type: "apiKey", name: "authorization", in: "header" } },
    security: [{ BearerToken: [] }],
  };
}

export function* openApiV2Parts(
  registry: ResourceRegistry,
): Generator<OpenApiPart, void, undefined> {
  const types = new Map<string, TypeSchema>();
  const customKinds = new Map<string, GroupVersionKindDocument>();
  for (const name of metaTypes) collectTypes(schemaOf(`${metaPrefix}.${name}`), types);
  // A copy: between two parts somebody may register another resource.
  const registered = Array.from(registry);
  for (const definition of registered) {
    collectKindTypes(definition, types, customKinds);
    for (const path of pathsOf(definition)) {
      for (const operation of path.operations) collectOperationTypes(operation, types);
      yield { section: "paths", name: path.path, document: pathDocument(path) };
    }
  }
  for (const [name, schema] of types) {
    yield {
      section: "definitions",
      name,
      document: withKinds(definitionDocument(schema, "v2"), name, customKinds),
    };
  }
}

/** Types of the meta API that clients look for although no operation names them. */
const metaTypes = [
  "DeleteOptions",
  "Patch",
  "Status",
  "WatchEvent",
  "APIResourceList",
  "APIGroupList",
  "APIVersions",
];

export function collectKindTypes(
  definition: ResourceDefinition,
  types: Map<string, TypeSchema>,
  customKinds: Map<string, GroupVersionKindDocument>,
): void {
  const { object, list } = kindTypes(definition);
  const { group, version, kind, listKind } = definition;
  if (object.goType === undefined) {
    customKinds.set(object.definition ?? "", { group, kind, version });
    customKinds.set(list.definition ?? "", { group, kind: listKind, version });
  }
  collectTypes(object, types);
  collectTypes(list, types);
}

export function withKinds(
  document: JsonObject,
  name: string,
  customKinds: ReadonlyMap<string, GroupVersionKindDocument>,
): JsonObject {
  const kinds = kindsOf(name, customKinds);
  return kinds.length === 0
    ? document
    : { ...document, "x-kubernetes-group-version-kind": [...kinds] };
}

export function collectOperationTypes(
  operation: ApiOperation,
  types: Map<string, TypeSchema>,
): void {
  if (operation.body !== undefined) collectTypes(operation.body, types);
  for (const schema of Object.values(operation.answers)) {
    if (schema !== undefined) collectTypes(schema, types);
  }
}

export function answerText(code: string): string {
  return answerTexts[code] ?? "";
}

function pathDocument(path: ApiPath): JsonObject {
  const document: { [key: string]: Json } = {};
  for (const operation of path.operations)
    document[operation.method] = operationDocument(operation);
  document["parameters"] = [
    ...path.pathParameters.map((name) => ({
      uniqueItems: true,
      type: "string",
      name,
      in: "path",
      required: true,
    })),
    { uniqueItems: true, type: "string", name: "pretty", in: "query" },
  ];
  return document;
}

function operationDocument(operation: ApiOperation): JsonObject {
  const body =
    operation.body?.definition === undefined
      ? []
      : [
          {
            name: "body",
            in: "body",
            ...(operation.bodyRequired ? { required: true } : {}),
            schema: referenceTo(operation.body.definition, "v2"),
          },
        ];
  const query = operation.query.map(([name, type]) => ({
    uniqueItems: true,
    type,
    name,
    in: "query",
  }));
  const responses: { [code: string]: Json } = {};
  for (const [code, schema] of Object.entries(operation.answers)) {
    responses[code] = {
      description: answerText(code),
      schema:
        schema?.definition === undefined
          ? { type: "string" }
          : referenceTo(schema.definition, "v2"),
    };
  }
  responses["401"] = { description: answerText("401") };
  const parameters = [...body, ...query];
  return {
    consumes: [...operation.consumes],
    produces: [...operation.produces],
    schemes: ["https"],
    tags: [operation.tag],
    operationId: operation.operationId,
    ...(parameters.length === 0 ? {} : { parameters }),
    responses,
    "x-kubernetes-action": operation.action,
    "x-kubernetes-group-version-kind": operation.kind,
  };
}
