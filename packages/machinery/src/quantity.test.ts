import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import {
  addQuantities,
  canonicalQuantity,
  compareQuantities,
  formatQuantity,
  isQuantity,
  parseQuantity,
  quantityFromMilli,
  quantityFromValue,
  quantityMilliValue,
  quantityValue,
  roundUpToMilli,
  subtractQuantities,
  type Quantity,
} from "./quantity.ts";

/** Canonical forms as upstream documents them for resource.Quantity. */
const canonical: readonly [string | number, string][] = [
  ["0", "0"],
  ["0n", "0"],
  ["-0", "0"],
  ["1", "1"],
  [2, "2"],
  [0.5, "500m"],
  ["100m", "100m"],
  ["1000m", "1"],
  ["1500m", "1500m"],
  ["1.5", "1500m"],
  [".5", "500m"],
  ["5.", "5"],
  ["001", "1"],
  ["+1", "1"],
  ["-1", "-1"],
  ["-1.5Gi", "-1536Mi"],
  ["1.5Gi", "1536Mi"],
  ["1024", "1024"],
  ["1024Ki", "1Mi"],
  ["1000Ki", "1000Ki"],
  ["0.5Ki", "512"],
  ["0.5Mi", "512Ki"],
  ["1023", "1023"],
  ["0.1Ki", "102400m"],
  ["1e3", "1e3"],
  ["1E3", "1e3"],
  ["1E", "1E"],
  ["12e-3", "12e-3"],
  ["1e-9", "1e-9"],
  ["1000k", "1M"],
  ["1500k", "1500k"],
  ["1u", "1u"],
  ["1n", "1n"],
  ["0.1n", "1n"],
  ["1.1n", "2n"],
  ["-1.1n", "-2n"],
  ["8Ei", "9223372036854775807"],
  ["12345678901234567890", "12345678901234567890"],
];

describe("quantity", () => {
  for (const [text, expected] of canonical) {
    test(`prints ${JSON.stringify(text)} as ${expected}`, () => {
      assert.equal(canonicalQuantity(text), expected);
    });
  }

  test("refuses what upstream refuses, with its texts", () => {
    const format =
      /^quantities must match the regular expression '\^\(\[\+-\]\?\[0-9\.\]\+\)\(\[eEinumkKMGTP\]\*\[-\+\]\?\[0-9\]\*\)\$'$/;
    for (const text of ["", "x", "1 ", " 1", ".", "--1", "1.2.3", "1Gi ", "Mi", "0x10"]) {
      assert.throws(() => parseQuantity(text), { code: "badValue", message: format }, text);
    }
    for (const text of ["1i", "1kk", "1ki", "1ee3", "1Gi3"]) {
      assert.throws(
        () => parseQuantity(text),
        { code: "badValue", message: "unable to parse quantity's suffix" },
        text,
      );
    }
    assert.equal(isQuantity("1"), true);
    assert.equal(isQuantity("one"), false);
  });

  test("is not slowed down by hostile exponents", () => {
    assert.equal(quantityValue(parseQuantity("1e999999999")), 1e36);
    assert.equal(canonicalQuantity("1e-999999999"), "1e-9");
    assert.equal(isQuantity("1".repeat(100_000)), false);
  });

  test("rounds up to whole units and to thousandths", () => {
    assert.equal(quantityValue(parseQuantity("1.1")), 2);
    assert.equal(quantityValue(parseQuantity("-1.1")), -2);
    assert.equal(quantityMilliValue(parseQuantity("1n")), 1);
    assert.equal(quantityMilliValue(parseQuantity("250m")), 250);
    assert.equal(quantityValue(parseQuantity("2Gi")), 2 ** 31);
    assert.equal(formatQuantity(roundUpToMilli(parseQuantity("0.0001"))), "1m");
  });

  test("is made from numbers", () => {
    assert.equal(formatQuantity(quantityFromMilli(1500)), "1500m");
    assert.equal(formatQuantity(quantityFromValue(2 ** 30, "BinarySI")), "1Gi");
    assert.equal(formatQuantity(quantityFromValue(110)), "110");
  });

  test("lets a zero take over the other's format", () => {
    const sum = addQuantities(quantityFromValue(0), parseQuantity("1Gi"));
    assert.equal(formatQuantity(sum), "1Gi");
  });

  const quantity: fc.Arbitrary<Quantity> = fc.record({
    nanos: fc.bigInt({ min: -(10n ** 24n), max: 10n ** 24n }),
    format: fc.constantFrom("DecimalSI", "DecimalExponent"),
  });

  test("parses what it prints to the same amount", () => {
    fc.assert(
      fc.property(quantity, (value) => {
        assert.equal(parseQuantity(formatQuantity(value)).nanos, value.nanos);
      }),
    );
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 62n }), (value) => {
        const whole = quantityFromValue(value, "BinarySI");
        assert.equal(parseQuantity(formatQuantity(whole)).nanos, whole.nanos);
      }),
    );
  });

  test("prints canonical text unchanged", () => {
    fc.assert(
      fc.property(quantity, (value) => {
        const text = formatQuantity(value);
        assert.equal(canonicalQuantity(text), text);
      }),
    );
  });

  test("adds, subtracts and compares like the numbers it stands for", () => {
    fc.assert(
      fc.property(quantity, quantity, (a, b) => {
        assert.equal(subtractQuantities(addQuantities(a, b), b).nanos, a.nanos);
        assert.equal(compareQuantities(a, b), -compareQuantities(b, a) + 0);
        assert.equal(compareQuantities(addQuantities(a, quantityFromValue(1)), a), 1);
      }),
    );
  });
});
