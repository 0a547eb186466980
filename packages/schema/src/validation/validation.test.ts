import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiError, type StatusCause } from "@wherry/machinery";
import { decodeObject } from "../decode.ts";
import type { Draft, ResourceDefinition } from "../resource.ts";
import {
  asKubeObject,
  createdFrom,
  goldenTime,
  goldenUid,
  readGolden,
  resourceOfPath,
  type GoldenRecord,
} from "../testdata/golden.ts";
import type { Tree } from "../tree.ts";

/** Answers that come from allocators, admission or what is not validated yet (expressions, schemas of custom resources, devices). */
const notHere = new Set([
  "service-name-missing",
  "service-nodeport-range",
  "namespace-pss",
  "validatingadmissionpolicybinding-empty",
  "mutatingadmissionpolicy-empty",
  "mutatingadmissionpolicybinding-empty",
  "resourceslice-empty",
  "resourceclaim-mode",
  "pod-sc-windows",
  "job-pfp-bad",
  "horizontalpodautoscaler-metric-type",
  "horizontalpodautoscaler-behavior-policy",
  "horizontalpodautoscaler-target-type",
  "horizontalpodautoscaler-external",
  "clusterrole-aggselbad",
  "resourcequota-scope-resource",
  "limitrange-res",
  "eventsevent-type",
  "validatingwebhookconfiguration-match",
  "validatingadmissionpolicy-expr-type",
  "validatingadmissionpolicy-reason",
  "validatingadmissionpolicy-match",
  "validatingadmissionpolicy-paramkind",
]);
const isNotHere = (id: string): boolean =>
  notHere.has(id) || id.startsWith("customresourcedefinition-");

for (const record of readGolden("validation-create")) {
  if (
    record.request.method !== "POST" ||
    [403, 404, 409].includes(record.status) ||
    isNotHere(record.id)
  )
    continue;
  test(`answers ${record.id} on create as a v1.36.2 server does`, () => {
    const { definition } = resourceOfPath(record.request.path);
    const body = expanded(record.request.body);
    assertAnswer(record, () =>
      definition.strategy.validate(asKubeObject(createdFrom(definition, body))),
    );
  });
}

/** Changes whose answers show Go values or differences of them, or come from another part. */
const otherUpdates = new Set([
  "service-clusterip",
  "pod-uid",
  "lease-put-create-uid",
  "job-template",
  "job-completions",
  "job-backoff",
  "job-status-complete-and-failed",
  "resourceclaim-spec",
  "certificatesigningrequest-approve",
  "certificatesigningrequest-approve-false",
  "certificatesigningrequest-cert-bad",
  "pod-ephemeralcontainers-bad",
  "pod-resize",
]);

for (const record of readGolden("validation-update")) {
  const created = record.setup?.findLast((step) => step.method === "POST");
  const isApplicable =
    record.request.method === "PUT" &&
    [200, 400, 422].includes(record.status) &&
    created !== undefined &&
    !otherUpdates.has(record.id) &&
    !/must be specified for an update/.test(record.message ?? "");
  if (!isApplicable) continue;
  test(`answers ${record.id} on update as a v1.36.2 server does`, () => {
    const { definition, subresource } = resourceOfPath(record.request.path);
    const old = createdFrom(definition, expanded(created.body));
    assertAnswer(record, () => {
      const draft = updatedFrom(definition, expanded(record.request.body), old, subresource);
      return definition.strategy.validateUpdate(asKubeObject(draft), asKubeObject(old));
    });
  });
}

test("the address of a service does not change", () => {
  const { definition } = resourceOfPath("/api/v1/namespaces/n/services");
  const ports = [{ port: 80 }];
  const old = createdFrom(definition, {
    metadata: { name: "x" },
    spec: { ports, clusterIP: "10.43.0.7" },
  });
  const draft = updatedFrom(
    definition,
    { metadata: { name: "x" }, spec: { ports, clusterIP: "10.43.9.9" } },
    old,
    "",
  );
  assert.deepEqual(definition.strategy.validateUpdate(asKubeObject(draft), asKubeObject(old)), [
    {
      reason: "FieldValueInvalid",
      message: 'Invalid value: ["10.43.9.9"]: may not change once set',
      field: "spec.clusterIPs[0]",
    },
  ]);
  const same = updatedFrom(definition, { metadata: { name: "x" }, spec: { ports } }, old, "");
  assert.deepEqual((same as Tree)["spec"], (old as Tree)["spec"]);
});

test("of a pod that exists only the image and a few fields change", () => {
  const { definition } = resourceOfPath("/api/v1/namespaces/n/pods");
  const pod = (spec: Tree): Tree => ({
    metadata: { name: "x" },
    spec: { containers: [{ name: "c", image: "a" }], ...spec },
  });
  const old = createdFrom(definition, pod({}));
  const causesOf = (spec: Tree): readonly StatusCause[] =>
    definition.strategy.validateUpdate(
      asKubeObject(updatedFrom(definition, pod(spec), old, "")),
      asKubeObject(old),
    );
  assert.deepEqual(causesOf({ containers: [{ name: "c", image: "b" }] }), []);
  assert.deepEqual(causesOf({ activeDeadlineSeconds: 5 }), []);
  const [cause] = causesOf({ hostname: "h" });
  assert.match(
    String(cause?.message),
    /^Forbidden: pod updates may not change fields other than `spec.containers/,
  );
});

function updatedFrom(
  definition: ResourceDefinition,
  body: Tree,
  old: Draft,
  subresource: string,
): Draft {
  const { object } = decodeObject(definition, body);
  const metadata = object.metadata as Tree;
  metadata["uid"] = goldenUid;
  if (definition.namespaced) metadata["namespace"] = "@ns@";
  definition.strategy.applyDefaults(object);
  if (subresource === "status") {
    definition.strategy.prepareForStatusUpdate(object, asKubeObject(old), { now: goldenTime });
  } else definition.strategy.prepareForUpdate(object, asKubeObject(old), { now: goldenTime });
  return object;
}

function assertAnswer(record: GoldenRecord, validate: () => readonly StatusCause[]): void {
  if (record.status === 400) {
    assert.throws(
      validate,
      (error: unknown) => error instanceof ApiError && error.message === record.message,
    );
    return;
  }
  const causes = validate().map(comparable);
  const expected = (record.status < 300 ? [] : (record.causes ?? [])).map(comparable);
  assert.deepEqual(causes, expected);
}

/** Differences of Go values follow a newline; they are upstream's own. */
function comparable(cause: StatusCause): StatusCause {
  const text = JSON.stringify(cause).replaceAll("@ns@", "ns");
  const plain = JSON.parse(text) as StatusCause;
  return { ...plain, message: (plain.message ?? "").split("\n")[0] ?? "" };
}

/** Bodies hold markers for long texts ("@x1048577@") and for the namespace. */
function expanded(body: unknown): Tree {
  const text = JSON.stringify(body)
    .replace(/@x(\d+)@/g, (_marker, length: string) => "x".repeat(Number(length)))
    .replaceAll("@ns@", "ns");
  return JSON.parse(text) as Tree;
}
