import assert from "node:assert/strict";
import { test } from "node:test";
import { createdFrom, readGolden, resourceOfPath, withPlaceholders } from "../testdata/golden.ts";
import { ensureTree, treeAt, treesAt, type Tree } from "../tree.ts";
import { pullPolicyOf } from "./pod-defaults.ts";

/** What admission plugins, allocators and name generation add is not defaulting. */
const admissionFields = [
  "serviceAccountName",
  "serviceAccount",
  "tolerations",
  "priority",
  "preemptionPolicy",
];
const allocatedFields = [
  "clusterIP",
  "clusterIPs",
  "ipFamilies",
  "ipFamilyPolicy",
  "healthCheckNodePort",
];

for (const record of readGolden("defaulting")) {
  if (record.id === "pod-with-limitrange") continue;
  test(`defaults ${record.id} as a v1.36.2 server does`, () => {
    const { definition } = resourceOfPath(record.request.path);
    const created = createdFrom(definition, record.request.body ?? {});
    const expected = structuredClone(record.body ?? {});
    assert.deepEqual(comparable(withPlaceholders(created) as Tree), comparable(expected));
    const once = structuredClone(created);
    definition.strategy.applyDefaults(created);
    assert.deepEqual(created, once, "defaulting again changes nothing");
  });
}

test("an image is pulled always if its tag is latest or missing", () => {
  assert.equal(pullPolicyOf("nginx"), "Always");
  assert.equal(pullPolicyOf("registry.example.com:5000/a/b:latest"), "Always");
  assert.equal(pullPolicyOf("nginx:1.27"), "IfNotPresent");
  assert.equal(pullPolicyOf(`nginx@sha256:${"a".repeat(64)}`), "IfNotPresent");
  assert.equal(pullPolicyOf("Nginx"), "IfNotPresent");
});

function comparable(object: Tree): Tree {
  const metadata = ensureTree(object, "metadata");
  for (const key of ["resourceVersion", "creationTimestamp", "uid"]) delete metadata[key];
  if (metadata["generateName"] !== undefined) delete metadata["name"];
  if (["PersistentVolume", "PersistentVolumeClaim"].includes(String(object["kind"])))
    delete metadata["finalizers"];
  const status = treeAt(object, "status");
  if (status !== undefined) delete status["lastPhaseTransitionTime"];
  const spec = treeAt(object, "spec");
  if (object["kind"] === "Pod" && spec !== undefined) withoutAdmission(spec);
  if (object["kind"] === "Service" && spec !== undefined) {
    for (const key of allocatedFields) delete spec[key];
    for (const port of treesAt(spec, "ports")) delete port["nodePort"];
  }
  if (object["kind"] === "Node" && spec !== undefined) {
    spec["taints"] = treesAt(spec, "taints").filter(
      (taint) => taint["key"] !== "node.kubernetes.io/not-ready",
    );
  }
  return object;
}

function withoutAdmission(spec: Tree): void {
  for (const key of admissionFields) delete spec[key];
  const isToken = (item: Tree): boolean => String(item["name"]).startsWith("kube-api-access-");
  for (const holder of [spec, ...treesAt(spec, "containers"), ...treesAt(spec, "initContainers")]) {
    for (const list of ["volumes", "volumeMounts"]) {
      const kept = treesAt(holder, list).filter((item) => !isToken(item));
      if (kept.length > 0) holder[list] = kept;
      else delete holder[list];
    }
  }
}
