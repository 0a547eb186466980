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
    [
      ["a", "b"],
      ["c", "d"],
      ["c", "d"],
    ],
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

  const leaf: fc.Arbitrary<Json> = fc.oneof(
    fc.string(),
    fc.integer(),
    fc.boolean(),
    fc.array(fc.integer()),
  );
  const key = fc.constantFrom("a", "b", "c", "__proto__");
  const objectOf = (value: fc.Arbitrary<Json>): fc.Arbitrary<JsonObject> =>
    fc.dictionary(key, value, { maxKeys: 4 }).map((entries) => ({ ...entries }));
  const inner: fc.Arbitrary<Json> = objectOf(leaf);
  const middle: fc.Arbitrary<Json> = objectOf(fc.oneof(leaf, inner));
  const object = objectOf(fc.oneof(leaf, middle));

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
