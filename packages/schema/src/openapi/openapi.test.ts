import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { JsonObject } from "@wherry/machinery";
import { builtinResources } from "../builtin-resources.ts";
import { createResourceRegistry } from "../registry.ts";
import type { ResourceDefinition } from "../resource.ts";
import { openApiV2Json, openApiV2Protobuf } from "./openapi-bytes.ts";
import { buildOpenApiV2 } from "./openapi-v2.ts";
import { encodeOpenApiV2Protobuf } from "./openapi-v2-protobuf.ts";
import { buildOpenApiV3, openApiV3Hash, openApiV3Index } from "./openapi-v3.ts";

const registry = createResourceRegistry(builtinResources());
type Operations = Record<string, Record<string, Record<string, JsonObject>>>;

test("the operations are those of upstream's document", () => {
  const expected = readFileSync(
    join(import.meta.dirname, "../testdata/openapi-operations.tsv"),
    "utf8",
  );
  const { paths } = buildOpenApiV2(registry) as unknown as { paths: Operations };
  const lines: string[] = [];
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      if (method === "parameters") continue;
      const kind = operation["x-kubernetes-group-version-kind"];
      const gvk = `${String(kind?.["group"])}/${String(kind?.["version"])}/${String(kind?.["kind"])}`;
      lines.push(
        [method, path, operation["operationId"], operation["x-kubernetes-action"], gvk].join("\t"),
      );
    }
  }
  assert.deepEqual(lines.sort(), expected.trim().split("\n"));
});

test("every reference of the documents has its definition", () => {
  const v2 = buildOpenApiV2(registry);
  assertReferences(v2, "#/definitions/", v2["definitions"] as JsonObject);
  for (const path of Object.keys(openApiV3Index(registry)["paths"] as JsonObject)) {
    const v3 = buildOpenApiV3(registry, path);
    assert.ok(v3 !== undefined, path);
    const { schemas } = v3["components"] as { schemas: JsonObject };
    assertReferences(v3, "#/components/schemas/", schemas);
  }
});

test("lists say how they are merged", () => {
  const { definitions } = buildOpenApiV2(registry) as unknown as {
    definitions: Record<string, { properties: Record<string, JsonObject> }>;
  };
  const { containers } = definitions["io.k8s.api.core.v1.PodSpec"]?.properties ?? {};
  assert.equal(containers?.["x-kubernetes-patch-merge-key"], "name");
  assert.equal(containers?.["x-kubernetes-patch-strategy"], "merge");
  assert.deepEqual(containers?.["x-kubernetes-list-map-keys"], ["name"]);
});

test("the bytes made in slices say the same as the document made at once", async () => {
  assert.deepEqual(
    JSON.parse((await openApiV2Json(registry)).toString()),
    buildOpenApiV2(registry),
  );
  const whole = encodeOpenApiV2Protobuf(buildOpenApiV2(registry));
  const sliced = await openApiV2Protobuf(registry);
  assert.ok(Math.abs(whole.length - sliced.length) < 10_000);
});

test("the address of a document changes with what is registered and with nothing else", () => {
  const first = openApiV3Hash(registry, "apis/apps/v1");
  assert.equal(openApiV3Hash(createResourceRegistry(builtinResources()), "apis/apps/v1"), first);
  const smaller = createResourceRegistry(builtinResources());
  smaller.unregister({ group: "apps", version: "v1", resource: "deployments" });
  assert.notEqual(openApiV3Hash(smaller, "apis/apps/v1"), first);
  assert.equal(openApiV3Hash(smaller, "apis/batch/v1"), openApiV3Hash(registry, "apis/batch/v1"));
});

test("a custom resource is described beside the built-in ones", () => {
  const [configMaps] = [...registry].filter((definition) => definition.resource === "configmaps");
  assert.ok(configMaps !== undefined);
  const widgets: ResourceDefinition = {
    ...customBase(configMaps),
    group: "example.com",
    version: "v1",
    kind: "Widget",
    listKind: "WidgetList",
    resource: "widgets",
    singular: "widget",
    schema: {
      type: "object",
      properties: new Map([
        ["size", { name: "size", required: false, schema: { type: "integer" } }],
      ]),
    },
  };
  const own = createResourceRegistry([widgets]);
  const document = buildOpenApiV3(own, "apis/example.com/v1");
  assert.ok(document !== undefined);
  const { schemas } = document["components"] as { schemas: Record<string, JsonObject> };
  assert.deepEqual(schemas["com.example.v1.Widget"], {
    type: "object",
    properties: { size: { type: "integer" } },
    "x-kubernetes-group-version-kind": [{ group: "example.com", kind: "Widget", version: "v1" }],
  });
  assert.ok(schemas["com.example.v1.WidgetList"] !== undefined);
});

function customBase(definition: ResourceDefinition): ResourceDefinition {
  const { strategy, row, selectableFields, columns } = definition;
  return {
    ...definition,
    strategy,
    row,
    selectableFields,
    columns,
    schema: { type: "object" },
  };
}

function assertReferences(value: unknown, prefix: string, definitions: JsonObject): void {
  if (typeof value !== "object" || value === null) return;
  for (const [key, child] of Object.entries(value)) {
    // JSONSchemaProps has a field of that name, whose value is no reference.
    if (key === "$ref" && typeof child === "string")
      assert.ok(child.slice(prefix.length) in definitions, child);
    else assertReferences(child, prefix, definitions);
  }
}
