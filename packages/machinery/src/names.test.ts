import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import {
  configMapKeyErrors,
  dns1035LabelErrors,
  dnsLabelErrors,
  generateName,
  generateNameSuffix,
  labelValueErrors,
  nameIsDnsLabel,
  nameIsDnsSubdomain,
  qualifiedNameErrors,
} from "./names.ts";

describe("names", () => {
  test("generated suffixes have five characters of upstream's alphabet", () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), { minLength: 5 }),
        (numbers) => {
          let index = 0;
          assert.match(
            generateNameSuffix(() => numbers[index++] ?? 0),
            /^[bcdfghjklmnpqrstvwxz2456789]{5}$/,
          );
        },
      ),
    );
  });

  test("a generated name stays within 63 characters", () => {
    assert.equal(
      generateName("x".repeat(100), () => 0),
      `${"x".repeat(58)}bbbbb`,
    );
    assert.equal(
      generateName("web-", () => 0.999),
      "web-99999",
    );
  });

  test("DNS labels and subdomains", () => {
    for (const name of ["a", "a-b", "0", "a".repeat(63)]) assert.ok(nameIsDnsLabel(name), name);
    for (const name of ["", "A", "-a", "a-", "a.b", "a_b", "a".repeat(64)])
      assert.ok(!nameIsDnsLabel(name), name);
    for (const name of ["a.b", "a-b.c0", "a".repeat(253)])
      assert.ok(nameIsDnsSubdomain(name), name);
    for (const name of ["", "a..b", ".a", "a.", "A.b", "a".repeat(254)])
      assert.ok(!nameIsDnsSubdomain(name), name);
    assert.equal(dns1035LabelErrors("0a").length, 1);
    assert.equal(dns1035LabelErrors("a0").length, 0);
    assert.deepEqual(dnsLabelErrors("a".repeat(64)), ["must be no more than 63 characters"]);
  });

  test("label keys and values", () => {
    for (const key of ["a", "A.b_c-d", "example.com/x", "0"])
      assert.deepEqual(qualifiedNameErrors(key), [], key);
    for (const key of ["", "/x", "a/", "a b", "Example.com/x", "a/b/c", "_a"])
      assert.ok(qualifiedNameErrors(key).length > 0, key);
    assert.deepEqual(labelValueErrors(""), []);
    assert.deepEqual(labelValueErrors("a.B_c-1"), []);
    assert.equal(labelValueErrors("-a").length, 1);
  });

  test("keys of ConfigMaps", () => {
    assert.deepEqual(configMapKeyErrors(".hidden"), []);
    assert.deepEqual(configMapKeyErrors(".."), ["must not be '..'"]);
    assert.deepEqual(configMapKeyErrors("..x"), ["must not start with '..'"]);
    assert.equal(configMapKeyErrors("a/b").length, 1);
  });
});
