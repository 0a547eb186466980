import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { escapeFieldValue, parseFieldSelector } from "./field-selector.ts";

describe("field selector", () => {
  test("parses terms with = == and !=", () => {
    const { requirements } = parseFieldSelector(
      "spec.nodeName=n1,status.phase!=Failed,metadata.name==x",
    );
    assert.deepEqual(requirements, [
      { field: "metadata.name", operator: "=", value: "x" },
      { field: "spec.nodeName", operator: "=", value: "n1" },
      { field: "status.phase", operator: "!=", value: "Failed" },
    ]);
  });

  test("takes an absent field as empty", () => {
    assert.equal(parseFieldSelector("spec.nodeName=").matches({}), true);
    assert.equal(parseFieldSelector("spec.nodeName!=").matches({}), false);
    assert.equal(parseFieldSelector("a=1,b!=2").matches({ a: "1", b: "3" }), true);
    assert.equal(parseFieldSelector("a=1,b!=2").matches({ a: "1", b: "2" }), false);
    assert.equal(parseFieldSelector("").empty, true);
  });

  test("knows escapes", () => {
    const { requirements } = parseFieldSelector(String.raw`a=x\,y\=z\\`);
    assert.deepEqual(requirements, [
      { field: "a", operator: "=", value: String.raw`x,y=z\ `.trimEnd() },
    ]);
  });

  test("refuses what it cannot understand, with upstream's texts", () => {
    assert.throws(() => parseFieldSelector("abc"), {
      message: "invalid selector: 'abc'; can't understand 'abc'",
    });
    assert.throws(() => parseFieldSelector(String.raw`a=\x`), {
      message: String.raw`invalid field selector: invalid escape sequence: \x`,
    });
    assert.throws(() => parseFieldSelector("a=b=c"), {
      message: "invalid field selector: unescaped character in value: 61",
    });
  });

  test("gives back every value that was escaped", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom("a", "b", "\\", ",", "=", "!", " ") }),
        (value) => {
          const parsed = parseFieldSelector(`f=${escapeFieldValue(value)}`);
          assert.equal(parsed.requirements[0]?.value, value);
          assert.equal(parseFieldSelector(parsed.toString()).requirements[0]?.value, value);
        },
      ),
    );
  });
});
