import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { deepFreeze } from "./deep-freeze.ts";
import { applyJsonPatch } from "./json-patch.ts";
import type { Json } from "./meta.ts";

const document: Json = deepFreeze({
  data: { a: "1", b: "2" },
  list: [1, 2, 3],
  "x/y": { "m~n": 0 },
});

describe("JSON patch", () => {
  const good: readonly [string, Json, Json][] = [
    [
      "adds to an object",
      [{ op: "add", path: "/data/c", value: "3" }],
      { data: { a: "1", b: "2", c: "3" } },
    ],
    [
      "overwrites with add",
      [{ op: "add", path: "/data/a", value: "3" }],
      { data: { a: "3", b: "2" } },
    ],
    ["inserts into a list", [{ op: "add", path: "/list/1", value: 9 }], { list: [1, 9, 2, 3] }],
    ["appends to a list", [{ op: "add", path: "/list/-", value: 9 }], { list: [1, 2, 3, 9] }],
    [
      "counts negative indexes from the end",
      [{ op: "replace", path: "/list/-1", value: 9 }],
      { list: [1, 2, 9] },
    ],
    ["removes", [{ op: "remove", path: "/data/a" }], { data: { b: "2" } }],
    ["removes from a list", [{ op: "remove", path: "/list/0" }], { list: [2, 3] }],
    ["replaces", [{ op: "replace", path: "/data/a", value: null }], { data: { a: null, b: "2" } }],
    [
      "replaces a key that is missing, as upstream",
      [{ op: "replace", path: "/data/q", value: "2" }],
      { data: { a: "1", b: "2", q: "2" } },
    ],
    ["moves", [{ op: "move", from: "/data/a", path: "/data/c" }], { data: { b: "2", c: "1" } }],
    [
      "copies",
      [{ op: "copy", from: "/data/a", path: "/data/c" }],
      { data: { a: "1", b: "2", c: "1" } },
    ],
    ["tests", [{ op: "test", path: "/list", value: [1, 2, 3] }], {}],
    [
      "tests without regard to the order of keys",
      [{ op: "test", path: "/data", value: { b: "2", a: "1" } }],
      {},
    ],
    [
      "decodes ~1 and ~0",
      [{ op: "replace", path: "/x~1y/m~0n", value: 7 }],
      { "x/y": { "m~n": 7 } },
    ],
    ["does nothing when empty", [], {}],
  ];
  for (const [name, patch, changed] of good) {
    test(name, () => {
      assert.deepEqual(applyJsonPatch(document, patch), {
        ...(document as object),
        ...(changed as object),
      });
    });
  }

  test("copies by value", () => {
    const patch: Json = [
      { op: "copy", from: "/data", path: "/copy" },
      { op: "add", path: "/copy/a", value: "9" },
    ];
    const result = applyJsonPatch(document, patch) as { data: { a: string }; copy: { a: string } };
    assert.equal(result.data.a, "1");
    assert.equal(result.copy.a, "9");
  });

  test("treats __proto__ as a key like any other", () => {
    const patch = JSON.parse(
      '[{"op":"add","path":"/__proto__","value":{"polluted":true}}]',
    ) as Json;
    const result = applyJsonPatch({}, patch) as object;
    assert.deepEqual(Object.keys(result), ["__proto__"]);
    assert.equal(({} as { polluted?: boolean }).polluted, undefined);
  });

  const bad: readonly [string, Json, RegExp][] = [
    ["a missing key", [{ op: "remove", path: "/data/q" }], /Unable to remove nonexistent key: q/],
    ["a missing path", [{ op: "add", path: "/q/z", value: 1 }], /doc is missing path: "\/q\/z"/],
    [
      "an index out of range",
      [{ op: "add", path: "/list/9", value: 1 }],
      /Unable to access invalid index: 9/,
    ],
    ["an index that is none", [{ op: "remove", path: "/list/x" }], /not a proper array index: 'x'/],
    [
      "a test that fails",
      [{ op: "test", path: "/data/a", value: "9" }],
      /testing value \/data\/a failed: test failed/,
    ],
    ["an unknown operation", [{ op: "frobnicate", path: "/a" }], /Unexpected kind: frobnicate/],
    ["an operation without a path", [{ op: "add", value: 1 }], /failed to decode path/],
    [
      "a move from nowhere",
      [{ op: "move", from: "/q/z", path: "/a" }],
      /doc is missing from path: \/q\/z/,
    ],
  ];
  for (const [name, patch, message] of bad) {
    test(`refuses ${name}`, () => {
      assert.throws(() => applyJsonPatch(document, patch), { code: "patchNotApplicable", message });
    });
  }

  test("refuses a document that is no patch", () => {
    assert.throws(() => applyJsonPatch(document, { data: { a: "z" } }), {
      code: "badPatch",
      message:
        "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
    });
    const many: Json = Array.from({ length: 10_001 }, () => ({
      op: "test",
      path: "/data/a",
      value: "1",
    }));
    assert.throws(() => applyJsonPatch(document, many), { code: "badPatch" });
  });

  test("undoes an addition by removing it", () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string(), fc.jsonValue()),
        fc.string(),
        fc.jsonValue(),
        (object, key, value) => {
          fc.pre(!Object.hasOwn(object, key));
          const path = `/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`;
          const source = JSON.parse(JSON.stringify(object)) as Json;
          const patch = JSON.parse(
            JSON.stringify([
              { op: "add", path, value },
              { op: "test", path, value },
              { op: "remove", path },
            ]),
          ) as Json;
          assert.deepEqual(applyJsonPatch(source, patch), source);
        },
      ),
    );
  });
});
