import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiError } from "@wherry/machinery";
import { decodeObject, type FieldValidation } from "./decode.ts";
import { readGolden, resourceOfPath } from "./testdata/golden.ts";
import type { Tree } from "./tree.ts";

const pods = resourceOfPath("/api/v1/namespaces/n/pods").definition;
const configMaps = resourceOfPath("/api/v1/namespaces/n/configmaps").definition;

/** YAML and protobuf bodies, bodies that are not objects, and options are the API server's to read. */
const elsewhere = /^(dup-yaml|body-|.*-Bogus)/;

for (const record of readGolden("field-validation")) {
  const { method, path, body } = record.request;
  if (method === "PATCH" || elsewhere.test(record.id) || body === undefined) continue;
  test(`decodes ${record.id} as a v1.36.2 server does`, () => {
    const { definition } = resourceOfPath(path);
    const mode = new URL(path, "http://x").searchParams.get("fieldValidation");
    const options = mode === null ? {} : { fieldValidation: mode as FieldValidation };
    const text = typeof body === "string" ? body : JSON.stringify(body);
    if (record.status === 400) {
      assert.throws(
        () => decodeObject(definition, text, options),
        (error: unknown) => error instanceof ApiError && error.message === record.message,
      );
      return;
    }
    const { warnings } = decodeObject(definition, text, options);
    const expected = (record.warnings ?? []).map(
      (warning) => JSON.parse(warning.slice("299 - ".length)) as string,
    );
    assert.deepEqual(warnings, expected);
  });
}

const decode = (body: Tree): Tree => decodeObject(pods, body).object;
const messageOf = (body: Tree | string, definition = pods): string => {
  try {
    decodeObject(definition, body);
  } catch (error) {
    return (error as Error).message;
  }
  return "";
};

test("unknown fields are pruned, null means absent and zeros are left out", () => {
  assert.deepEqual(
    decode({
      metadata: { name: "x", labels: null, annotations: { a: null } },
      spec: {
        containers: [{ name: "c", stdin: false, args: [], foo: 1 }],
        hostNetwork: false,
        priority: 0,
      },
    }),
    {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "x", annotations: { a: "" } },
      spec: { containers: [{ name: "c", resources: {} }], priority: 0 },
      status: {},
    },
  );
});

test("times and quantities come out in canonical form", () => {
  const object = decode({
    metadata: { name: "x", creationTimestamp: "2026-01-01T02:00:00.5+02:00" },
    spec: { containers: [{ name: "c", resources: { requests: { cpu: 0.5, memory: "1024Mi" } } }] },
  });
  assert.equal((object["metadata"] as Tree)["creationTimestamp"], "2026-01-01T00:00:00Z");
  const [container] = (object["spec"] as Tree)["containers"] as Tree[];
  assert.deepEqual(container?.["resources"], { requests: { cpu: "500m", memory: "1Gi" } });
});

test("a wrong type is named with its place and its Go type", () => {
  const head = 'Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal';
  assert.equal(
    messageOf({ spec: { containers: [{ imagePullPolicy: 1 }] } }),
    `${head} number into Go struct field Container.spec.containers.imagePullPolicy of type v1.PullPolicy`,
  );
  assert.equal(
    messageOf({ spec: { containers: {} } }),
    `${head} object into Go struct field PodSpec.spec.containers of type []v1.Container`,
  );
  assert.equal(
    messageOf({ metadata: { labels: { a: 1 } } }),
    `${head} number into Go struct field ObjectMeta.metadata.labels of type string`,
  );
});

test("an int-or-string is either", () => {
  const services = resourceOfPath("/api/v1/namespaces/n/services").definition;
  const { object } = decodeObject(services, {
    spec: {
      ports: [
        { port: 1, targetPort: "http" },
        { port: 2, targetPort: 8080 },
      ],
    },
  });
  const [first, second] = ((object as Tree)["spec"] as Tree)["ports"] as Tree[];
  assert.equal(first?.["targetPort"], "http");
  assert.equal(second?.["targetPort"], 8080);
});

test("a body of another kind is refused", () => {
  assert.equal(
    messageOf({ apiVersion: "v1", kind: "Service" }),
    'Service in version "v1" cannot be handled as a Pod: converting (v1.Service) to (core.Pod): unknown conversion',
  );
  assert.match(
    messageOf({ apiVersion: "v2", kind: "Pod" }),
    /no kind "Pod" is registered for version "v2"/,
  );
});

test("equal keys in strings and escapes do not look like duplicates", () => {
  const body = JSON.stringify({ metadata: { name: "x" }, data: { 'a"b': '"c":', d: "\\" } });
  assert.deepEqual(decodeObject(configMaps, body).warnings, []);
  const twice = '{"metadata":{"name":"x"},"data":{"a":"1","a":"2"}}';
  assert.deepEqual(decodeObject(configMaps, twice).warnings, ['duplicate field "data.a"']);
});
