import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { deepFreeze } from "./deep-freeze.ts";
import { jsonEqual } from "./json-value.ts";
import { applyMergePatch, createMergePatch } from "./merge-patch.ts";
import type { Json, JsonObject } from "./meta.ts";

describe("merge patch", () => {
  /** The examples of RFC 7386, appendix A. */
  const examples: readonly [Json, Json, Json][] = [
    [{ a: "b" }, { a: "c" }, { a: "c" }],
    [{ a: "b" }, { b: "c" }, { a: "b", b: "c" }],
    [{ a: "b" }, { a: null }, {}],
    [{ a: "b", b: "c" }, { a: null }, { b: "c" }],
    [{ a: ["b"] }, { a: "c" }, { a: "c" }],
    [{ a: "c" }, { a: ["b"] }, { a: ["b"] }],
    [{ a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }],
    [{ a: [{ b: "c" }] }, { a: [1] }, { a: [1] }],
    [["a", "b"], ["c", "d"], ["c", "d"]],
    [{ a: "b" }, ["c"], ["c"]],
    [{ a: "foo" }, null, null],
    [{ a: "foo" }, "bar", "bar"],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: "b", c: null }, { a: "b" }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ];
  for (const [original, patch, result] of examples) {
    test(`${JSON.stringify(original)} with ${JSON.stringify(patch)} gives ${JSON.stringify(result)}`, () => {
      assert.deepEqual(applyMergePatch(deepFreeze(original), deepFreeze(patch)), result);
    });
  }

  const leaf = fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.array(fc.integer()));
  const key = fc.constantFrom("a", "b", "c", "__proto__");
  const { object } = fc.letrec<{ object: JsonObject; value: Json }>((tie) => ({
    object: fc.dictionary(key, tie("value"), { maxKeys: 4, depthSize: "small" }).map((value) => ({ ...value })),
    value: fc.oneof({ depthSize: "small" }, leaf, tie("object")) as fc.Arbitrary<Json>,
  }));

  test("turns one object into another with the patch made for it", () => {
    fc.assert(
      fc.property(object, object, (from, to) => {
        const result = applyMergePatch(from, createMergePatch(from, to));
        assert.ok(jsonEqual(result, to), `${JSON.stringify(result)} is not ${JSON.stringify(to)}`);
      }),
    );
  });

  test("is empty for equal objects", () => {
    fc.assert(fc.property(object, (one) => assert.deepEqual(createMergePatch(one, one), {})));
  });

  test("does the same when applied twice", () => {
    fc.assert(
      fc.property(object, object, (one, patch) => {
        const once = applyMergePatch(one, patch);
        assert.ok(jsonEqual(applyMergePatch(once, patch), once));
      }),
    );
  });
});
