import { createHash } from "node:crypto";
import type { Json, JsonObject } from "@wherry/machinery";
import { schemaOf } from "../compile-schema.ts";
import { groupNames, versionsOf } from "../discovery.ts";
import { definitions as definitionTable } from "../gen/definitions.js";
import type { ResourceRegistry } from "../registry.ts";
import type { ResourceDefinition } from "../resource.ts";
import type { TypeSchema } from "../type-schema.ts";
import { kindTypes, metaPrefix, type GroupVersionKindDocument } from "./kind-types.ts";
import { answerText, collectKindTypes, collectOperationTypes, withKinds } from "./openapi-v2.ts";
import { pathsOf, type ApiOperation, type ApiPath } from "./operations.ts";
import { collectTypes, definitionDocument, referenceTo } from "./type-document.ts";

/**
 * GET /openapi/v3: where the document of each group version lies. The hash in an address changes when the document does, on every server
 * of the same version alike; it is made of what the document is made of, so that none is built to answer this.
 */
export function openApiV3Index(registry: ResourceRegistry): JsonObject {
  const paths: { [path: string]: Json } = {};
  for (const path of groupVersionPaths(registry)) {
    paths[path] = {
      serverRelativeURL: `/openapi/v3/${path}?hash=${openApiV3Hash(registry, path)}`,
    };
  }
  return { paths };
}

/** Hash of the document at "api/v1" or "apis/GROUP/VERSION". */
export function openApiV3Hash(registry: ResourceRegistry, path: string): string {
  const hash = createHash("sha256").update(tableHash());
  for (const definition of definitionsAt(registry, path)) {
    const { group, version, kind, resource, namespaced, verbs, subresources } = definition;
    hash.update(JSON.stringify([group, version, kind, resource, namespaced, verbs, subresources]));
    const { object } = kindTypes(definition);
    // Built-ins follow from the table; a custom resource's schema is its own.
    if (object.goType === undefined) hash.update(JSON.stringify(definitionDocument(object, "v3")));
  }
  return hash.digest("hex").toUpperCase();
}

/** The document of one group version ("api/v1", "apis/apps/v1"); undefined if it is not served. Make it when asked for and keep it by its hash. */
export function buildOpenApiV3(
  registry: ResourceRegistry,
  path: string,
  version = "unversioned",
): JsonObject | undefined {
  const definitions = definitionsAt(registry, path);
  if (definitions.length === 0) return undefined;
  const types = new Map<string, TypeSchema>();
  const customKinds = new Map<string, GroupVersionKindDocument>();
  const paths: { [path: string]: Json } = {};
  for (const name of metaTypes) collectTypes(schemaOf(`${metaPrefix}.${name}`), types);
  for (const definition of definitions) {
    collectKindTypes(definition, types, customKinds);
    for (const apiPath of pathsOf(definition)) {
      for (const operation of apiPath.operations) collectOperationTypes(operation, types);
      paths[apiPath.path] = pathDocument(apiPath);
    }
  }
  const schemas: { [name: string]: Json } = {};
  for (const [name, schema] of types) {
    schemas[name] = withKinds(definitionDocument(schema, "v3"), name, customKinds);
  }
  return {
    openapi: "3.0.0",
    info: { title: "Kubernetes", version },
    paths,
    components: {
      schemas,
      securitySchemes: { BearerToken: { type: "apiKey", name: "authorization", in: "header" } },
    },
  };
}

const metaTypes = ["DeleteOptions", "Patch", "Status", "WatchEvent", "APIResourceList"];

function groupVersionPaths(registry: ResourceRegistry): readonly string[] {
  const core = versionsOf(registry, "").map((version) => `api/${version}`);
  const others = groupNames(registry).flatMap((group) =>
    versionsOf(registry, group).map((version) => `apis/${group}/${version}`),
  );
  return [...core, ...others];
}

function definitionsAt(registry: ResourceRegistry, path: string): readonly ResourceDefinition[] {
  const [root, ...rest] = path.split("/");
  const [group, version] = root === "api" ? ["", rest[0]] : rest;
  return [...registry].filter((item) => item.group === group && item.version === version);
}

let hashOfTable: string | undefined;

function tableHash(): string {
  hashOfTable ??= createHash("sha256").update(definitionTable).digest("hex");
  return hashOfTable;
}

function pathDocument(path: ApiPath): JsonObject {
  const document: { [key: string]: Json } = {};
  for (const operation of path.operations)
    document[operation.method] = operationDocument(operation);
  document["parameters"] = [
    ...path.pathParameters.map((name) => parameter(name, "path", "string", true)),
    parameter("pretty", "query", "string", false),
  ];
  return document;
}

function operationDocument(operation: ApiOperation): JsonObject {
  const { body, query, answers } = operation;
  const responses: { [code: string]: Json } = {};
  for (const [code, schema] of Object.entries(answers)) {
    const content =
      schema?.definition === undefined ? { type: "string" } : referenceTo(schema.definition, "v3");
    responses[code] = {
      description: answerText(code),
      content: Object.fromEntries(operation.produces.map((type) => [type, { schema: content }])),
    };
  }
  responses["401"] = { description: answerText("401") };
  return {
    tags: [operation.tag],
    operationId: operation.operationId,
    ...(query.length === 0
      ? {}
      : { parameters: query.map(([name, type]) => parameter(name, "query", type, false)) }),
    ...(body?.definition === undefined
      ? {}
      : {
          requestBody: {
            content: Object.fromEntries(
              operation.consumes.map((type) => [
                type,
                { schema: referenceTo(body.definition ?? "", "v3") },
              ]),
            ),
            ...(operation.bodyRequired ? { required: true } : {}),
          },
        }),
    responses,
    "x-kubernetes-action": operation.action,
    "x-kubernetes-group-version-kind": operation.kind,
  };
}

function parameter(name: string, place: string, type: string, required: boolean): JsonObject {
  return {
    name,
    in: place,
    ...(required ? { required } : {}),
    schema: { type, uniqueItems: true },
  };
}
