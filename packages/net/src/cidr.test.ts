import assert from "node:assert/strict";
import { isIP } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { formatAddress, parseAddress, tryParseAddress } from "./address.ts";
import {
  cidrContains,
  cidrSize,
  cidrsOverlap,
  formatCidr,
  mergeCidrs,
  nthAddress,
  nthSubnet,
  parseCidr,
  subnetCount,
  subnetIndex,
} from "./cidr.ts";

test("what Node takes for an address is one, and nothing else", () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.ipV4(),
        fc.ipV6(),
        fc.string({ unit: fc.constantFrom(...Array.from("0123456789abcf:.")) }),
        fc.constantFrom(
          "01.2.3.4",
          "1.2.3",
          "1::2::3",
          "::",
          "::ffff:1.2.3.4",
          "1:2:3:4:5:6:7::",
          "",
        ),
      ),
      (text) => {
        assert.equal(tryParseAddress(text)?.family ?? 0, isIP(text));
      },
    ),
    { numRuns: 2_000, seed: 7 },
  );
});

test("IPv6 is written as RFC 5952 says", () => {
  for (const [given, wanted] of [
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["2001:DB8::", "2001:db8::"],
    ["0:0:0:0:0:0:0:0", "::"],
    ["1:0:2:0:3:0:4:0", "1:0:2:0:3:0:4:0"],
    ["::ffff:1.2.3.4", "::ffff:102:304"],
  ]) {
    assert.equal(formatAddress(parseAddress(given ?? "")), wanted);
  }
});

test("an address survives text and back", () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) =>
      assert.deepEqual(parseAddress(formatAddress(parseAddress(text))), parseAddress(text)),
    ),
    { seed: 7 },
  );
});

test("blocks are cut and counted", () => {
  const cluster = parseCidr("10.42.0.0/16");
  assert.equal(subnetCount(cluster, 24), 256);
  assert.equal(formatCidr(nthSubnet(cluster, 24, 7)), "10.42.7.0/24");
  assert.equal(subnetIndex(cluster, parseCidr("10.42.7.0/24")), 7);
  assert.equal(subnetIndex(cluster, parseCidr("10.43.7.0/24")), undefined);
  assert.throws(() => nthSubnet(cluster, 24, 256), { code: "invalid-address" });
  assert.equal(formatAddress(nthAddress(parseCidr("10.43.0.0/16"), 10)), "10.43.0.10");
  assert.equal(formatAddress(nthAddress(parseCidr("10.43.0.0/16"), -1)), "10.43.255.255");
  assert.throws(() => nthAddress(parseCidr("10.43.0.0/30"), 4), { code: "invalid-address" });
  assert.equal(cidrSize(parseCidr("fd00::/108")), 1_048_576n);
  assert.equal(formatCidr(nthSubnet(parseCidr("fd00:42::/56"), 64, 255)), "fd00:42:0:ff::/64");
  assert.equal(formatCidr(parseCidr("10.42.3.4/16")), "10.42.0.0/16");
});

test("a block holds its addresses and no others", () => {
  const block = parseCidr("10.42.0.0/16");
  assert.equal(cidrContains(block, parseAddress("10.42.255.255")), true);
  assert.equal(cidrContains(block, parseAddress("10.43.0.0")), false);
  assert.equal(cidrContains(block, parseAddress("::ffff:10.42.0.1")), false);
  assert.equal(cidrContains(parseCidr("0.0.0.0/0"), parseAddress("255.255.255.255")), true);
  assert.equal(cidrsOverlap(parseCidr("10.42.7.0/24"), block), true);
  assert.equal(cidrsOverlap(parseCidr("10.43.7.0/24"), block), false);
});

test("nested blocks are merged into the outer one", () => {
  const merged = mergeCidrs(
    ["10.1.0.0/16", "10.0.0.0/8", "fd00::/8", "10.0.0.0/8", "11.0.0.0/8"].map(parseCidr),
  );
  assert.deepEqual(merged.map(formatCidr), ["10.0.0.0/8", "11.0.0.0/8", "fd00::/8"]);
});

test("what is no block is refused by name", () => {
  for (const text of [
    "10.42.0.0",
    "10.42.0.0/33",
    "10.42.0.0/-1",
    "10.42.0.0/08",
    "x/8",
    "fd00::/129",
    "10.42.0.0/",
  ])
    assert.throws(() => parseCidr(text), { code: "invalid-address" });
});
