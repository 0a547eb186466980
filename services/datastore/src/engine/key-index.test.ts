import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { KeyIndex } from "./key-index.ts";
import type { KeyEntry } from "./key-version.ts";

const entryOf = (key: string, live: boolean): KeyEntry => ({ key, live }) as KeyEntry;

type Step = { readonly kind: "toggle" | "live"; readonly key: string };

const keyOf = fc.stringMatching(/^[a-c]{1,6}$/);
const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom("toggle" as const, "live" as const),
  key: keyOf,
});

describe("key index", () => {
  it("finds, counts and lists like a sorted array", () => {
    const property = (steps: readonly Step[], from: string, to: string): void => {
      const index = new KeyIndex();
      const model = new Map<string, KeyEntry>();
      for (const { kind, key } of steps) {
        const known = model.get(key);
        if (kind === "live") {
          if (known !== undefined) index.setLive(known, !known.live);
        } else if (known === undefined) {
          const entry = entryOf(key, key.length % 2 === 0);
          model.set(key, entry);
          index.insert(entry);
        } else {
          index.remove(known);
          model.delete(key);
        }
      }
      const sorted = [...model.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
      for (const end of [to, undefined]) {
        const expected = sorted.filter(
          ({ key }) => key >= from && (end === undefined || key < end),
        );
        const found: KeyEntry[] = [];
        index.scan(from, end, (entry) => found.push(entry) > 0);
        assert.deepEqual(
          found.map(({ key }) => key),
          expected.map(({ key }) => key),
        );
        assert.equal(index.countLive(from, end), expected.filter(({ live }) => live).length);
      }
      assert.equal(index.size, model.size);
      assert.equal(index.liveCount, sorted.filter(({ live }) => live).length);
      for (const { key } of steps) assert.equal(index.get(key), model.get(key));
    };
    fc.assert(
      fc.property(fc.array(step, { maxLength: 1200, size: "max" }), keyOf, keyOf, property),
      { numRuns: 60, seed: 1 },
    );
  });

  it("stops a scan when the visitor says so", () => {
    const index = new KeyIndex();
    for (let number = 0; number < 1000; number += 1)
      index.insert(entryOf(String(number).padStart(4, "0"), true));
    const seen: string[] = [];
    index.scan("0500", undefined, ({ key }) => seen.push(key) < 3);
    assert.deepEqual(seen, ["0500", "0501", "0502"]);
  });

  it("survives being filled and emptied in either order", () => {
    for (const isReversed of [false, true]) {
      const index = new KeyIndex();
      const entries = Array.from({ length: 20_000 }, (_, number) =>
        entryOf(String(number).padStart(6, "0"), true),
      );
      for (const entry of entries) index.insert(entry);
      assert.equal(index.countLive("005000", "015000"), 10_000);
      for (const entry of isReversed ? entries.reverse() : entries) index.remove(entry);
      assert.deepEqual([index.size, index.liveCount, index.countLive("", undefined)], [0, 0, 0]);
    }
  });
});
