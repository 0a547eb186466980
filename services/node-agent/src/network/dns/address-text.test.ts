import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { cidrContains, parseAddress, parseCidr, tryParseAddress } from "@wherry/net";
import {
  addressBytes,
  addressOfBytes,
  blockList,
  canonicalAddress,
  isAddress,
} from "./address-text.ts";

// The network package's own parsers are the oracle.

const address = fc.oneof(
  fc.ipV4(),
  fc.ipV6(),
  fc.constantFrom("::", "::1", "fd00:42::5", "::ffff:1.2.3.4", "1:0:0:2::3", "1::", "fd00:0:0:1::"),
);

test("bytes and text stand for the same address", () => {
  fc.assert(
    fc.property(address, (text) => {
      const bytes = addressBytes(text);
      assert.equal(
        bytes.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n),
        parseAddress(text).value,
      );
      assert.equal(addressOfBytes(bytes), canonicalAddress(text));
      assert.equal(parseAddress(canonicalAddress(text)).value, parseAddress(text).value);
    }),
    { numRuns: 500, seed: 4 },
  );
});

test("what is an address and what lies in a block is agreed", () => {
  fc.assert(
    fc.property(fc.oneof(address, fc.string()), (text) =>
      assert.equal(isAddress(text) && !text.includes("%"), tryParseAddress(text) !== undefined),
    ),
    { seed: 4 },
  );
  const blocks = ["10.42.0.0/16", "0.0.0.0/1", "fd00::/8"];
  fc.assert(
    fc.property(
      fc.oneof(
        fc.ipV4(),
        fc.ipV6().filter((text) => !text.includes(".")),
      ),
      (text) =>
        assert.equal(
          blockList(blocks).has(text),
          blocks.some((block) => cidrContains(parseCidr(block), parseAddress(text))),
        ),
    ),
    { seed: 4 },
  );
  assert.equal(blockList(blocks).has("::ffff:10.42.0.5"), true);
});
