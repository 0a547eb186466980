import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import {
  everyLabel,
  labelSelectorFrom,
  labelSelectorFromMap,
  noLabel,
  parseLabelSelector,
  requirement,
  type LabelOperator,
} from "./label-selector.ts";

describe("label selector", () => {
  const matching: readonly [string, Record<string, string>, boolean][] = [
    ["", {}, true],
    ["a=1", { a: "1" }, true],
    ["a=1", { a: "2" }, false],
    ["a==1", { a: "1" }, true],
    ["a!=1", { a: "2" }, true],
    ["a!=1", {}, true],
    ["a", { a: "" }, true],
    ["a", {}, false],
    ["!a", {}, true],
    ["!a", { a: "1" }, false],
    ["a in (1,2)", { a: "2" }, true],
    ["a in (1,2)", {}, false],
    ["a in ()", { a: "" }, true],
    ["a notin (1,2)", {}, true],
    ["a notin (1,2)", { a: "1" }, false],
    ["a>5", { a: "6" }, true],
    ["a>5", { a: "5" }, false],
    ["a<5", { a: "-6" }, true],
    ["a<5", { a: "x" }, false],
    ["a<5", {}, false],
    ["a=", { a: "" }, true],
    ["a=,b", { a: "", b: "" }, true],
    ["in in (in,notin)", { in: "in" }, true],
    [" a = 1 ,\tb in ( x , y ) ", { a: "1", b: "y" }, true],
    ["x in (foo,,baz),y,z notin ()", { x: "", y: "1", z: "1" }, true],
    ["constructor", {}, false],
  ];
  for (const [text, labels, expected] of matching) {
    test(`${JSON.stringify(text)} ${expected ? "matches" : "does not match"} ${JSON.stringify(labels)}`, () => {
      assert.equal(parseLabelSelector(text).matches(labels), expected);
    });
  }

  /** Texts of k8s.io/apimachinery/pkg/labels. */
  const wrong: readonly [string, string][] = [
    ["a in", "unable to parse requirement: found '' expected: '('"],
    ["a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"],
    ["a=1,", "found '', expected: identifier after ','"],
    [",a", "found ',', expected: !, identifier, or 'end of string'"],
    ["a in (1", "unable to parse requirement: found '', expected: ',' or ')'"],
    ["a=1 b", "found 'b', expected: ',' or 'end of string'"],
    [
      "a>x",
      `unable to parse requirement: values[0]: Invalid value: "x": for 'Gt', 'Lt' operators, the value must be an integer`,
    ],
    ["!", "unable to parse requirement: found '', expected: identifier"],
  ];
  for (const [text, message] of wrong) {
    test(`refuses ${JSON.stringify(text)}`, () => {
      assert.throws(() => parseLabelSelector(text), { code: "badValue", message });
    });
  }

  test("refuses keys and values that cannot be labels", () => {
    assert.throws(
      () => parseLabelSelector("a/b/c=1"),
      /^MachineryError: unable to parse requirement: <nil>: Invalid value: "a\/b\/c": a qualified name must consist of/,
    );
    assert.throws(
      () => parseLabelSelector("a=b_"),
      /values\[0\]\[a\]: Invalid value: "b_": a valid label must be/,
    );
    assert.throws(() => parseLabelSelector(`a=${"x".repeat(64)}`), /must be no more than 63 bytes/);
  });

  test("prints canonical text, sorted by key", () => {
    const text = "b notin (y,x),a=1,!d,c,e>5,f!=2";
    assert.equal(parseLabelSelector(text).toString(), "a=1,b notin (x,y),c,!d,e>5,f!=2");
  });

  test("reads the selector of an object", () => {
    const matcher = labelSelectorFrom({
      matchLabels: { app: "web" },
      matchExpressions: [
        { key: "tier", operator: "In", values: ["a", "b"] },
        { key: "old", operator: "DoesNotExist" },
      ],
    });
    assert.equal(matcher.toString(), "app=web,!old,tier in (a,b)");
    assert.ok(matcher.matches({ app: "web", tier: "a" }));
    assert.ok(!matcher.matches({ app: "web", tier: "a", old: "" }));
    assert.throws(() => labelSelectorFrom({ matchExpressions: [{ key: "a", operator: "Foo" }] }), {
      message: '"Foo" is not a valid label selector operator',
    });
  });

  test("selects nothing when absent and everything when empty", () => {
    assert.equal(labelSelectorFrom(undefined), noLabel);
    assert.equal(labelSelectorFrom(undefined).matches({}), false);
    assert.equal(labelSelectorFrom({}).matches({ a: "b" }), true);
    assert.equal(everyLabel.matches(undefined), true);
  });

  const word = fc.stringMatching(/^[a-z0-9]([-a-z0-9_.]{0,6}[a-z0-9])?$/);
  const operator = fc.constantFrom<LabelOperator>("=", "!=", "in", "notin", "exists", "!");
  const one = fc
    .tuple(word, operator, fc.uniqueArray(word, { minLength: 1, maxLength: 3 }))
    .map(([key, kind, values]) => {
      if (kind === "exists" || kind === "!") return requirement(key, kind, []);
      return requirement(
        key,
        kind,
        kind === "in" || kind === "notin" ? values : values.slice(0, 1),
      );
    });

  test("parses what it prints, and both match the same labels", () => {
    const labels = fc.dictionary(word, word);
    fc.assert(
      fc.property(fc.array(one, { maxLength: 4 }), labels, (requirements, given) => {
        const matchers = requirements.map((entry) =>
          parseLabelSelector(parseLabelSelector(textOf(entry)).toString()),
        );
        const whole = parseLabelSelector(requirements.map((entry) => textOf(entry)).join(","));
        assert.equal(parseLabelSelector(whole.toString()).toString(), whole.toString());
        assert.equal(
          whole.matches(given),
          matchers.every((matcher) => matcher.matches(given)),
        );
      }),
    );
  });

  test("equals the map that it was made from", () => {
    fc.assert(
      fc.property(
        fc.dictionary(word, word, { maxKeys: 3 }),
        fc.dictionary(word, word),
        (wanted, given) => {
          const expected = Object.entries(wanted).every(
            ([key, value]) => Object.hasOwn(given, key) && given[key] === value,
          );
          assert.equal(labelSelectorFromMap(wanted).matches(given), expected);
        },
      ),
    );
  });

  test("never fails other than by its own error", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom(...Array.from("ab1 ,()=!<>in\t/.-_")) }),
        (text) => {
          try {
            parseLabelSelector(text);
          } catch (error) {
            assert.equal((error as { code?: string }).code, "badValue");
          }
        },
      ),
    );
  });
});

function textOf({ key, operator, values }: ReturnType<typeof requirement>): string {
  if (operator === "exists") return key;
  if (operator === "!") return `!${key}`;
  return operator === "in" || operator === "notin"
    ? `${key} ${operator} (${values.join(",")})`
    : `${key}${operator}${values[0] ?? ""}`;
}
