import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { causes, object, warnings } from "./readme-example.ts";

test("the example in the README runs and warns of the misspelt field", () => {
  const readme = readFileSync(join(import.meta.dirname, "../README.md"), "utf8");
  const example = readFileSync(join(import.meta.dirname, "readme-example.ts"), "utf8");
  assert.equal(/```ts\n([\s\S]*?)```/.exec(readme)?.[1], example);
  assert.deepEqual(warnings, ['unknown field "spec.replica"']);
  // The namespace is the API server's to fill in.
  assert.deepEqual(causes, [
    { reason: "FieldValueRequired", message: "Required value", field: "metadata.namespace" },
  ]);
  assert.equal((object["spec"] as { readonly replicas: number }).replicas, 1);
});
