import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { rangeContains, type KeyRange } from "./key-version.ts";
import { WatchIndex } from "./watch-index.ts";

interface TestWatch {
  readonly range: KeyRange;
}

const key = fc.stringMatching(/^[a-d]{1,3}$/);
const range: fc.Arbitrary<KeyRange> = fc.oneof(
  fc.record({ kind: fc.constant("key" as const), key }),
  fc.record({
    kind: fc.constant("span" as const),
    from: key,
    to: fc.option(key, { nil: undefined }),
  }),
);

describe("watch index", () => {
  it("finds exactly the watches whose range holds the key", () => {
    const property = (
      ranges: readonly KeyRange[],
      removed: readonly number[],
      probe: string,
    ): void => {
      const index = new WatchIndex<TestWatch>();
      const watches = new Set(ranges.map((one): TestWatch => ({ range: one })));
      for (const watch of watches) index.add(watch);
      index.visit(probe, () => {});
      const all = [...watches];
      for (const number of removed) {
        const watch = all[number];
        if (watch === undefined || !watches.delete(watch)) continue;
        index.remove(watch);
      }
      const found = new Set<TestWatch>();
      index.visit(probe, (watch) => found.add(watch));
      const expected = new Set([...watches].filter((watch) => rangeContains(watch.range, probe)));
      assert.deepEqual(found, expected);
    };
    fc.assert(
      fc.property(fc.array(range, { maxLength: 40 }), fc.array(fc.nat(39)), key, property),
      { seed: 1 },
    );
  });

  it("compares with each range when there are too many for a table", () => {
    const index = new WatchIndex<TestWatch>();
    for (let number = 0; number < 1500; number += 1) {
      index.add({
        range: {
          kind: "span",
          from: String(number).padStart(4, "0"),
          to: String(number + 10).padStart(4, "0"),
        },
      });
    }
    let found = 0;
    index.visit("0700", () => {
      found += 1;
    });
    assert.equal(found, 10);
  });
});
