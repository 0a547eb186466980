import { deepEqual, equal } from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { SortedMap } from "./sorted-map.ts";

describe("SortedMap", () => {
  it("agrees with a plain map sorted by key, and old snapshots never change", () => {
    const key = fc
      .integer({ min: 0, max: 600 })
      .map((number) => `k${String(number).padStart(4, "0")}`);
    const step = fc.tuple(fc.constantFrom("set", "set", "set", "delete"), key);
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 200, maxLength: 1200 }),
        key,
        key,
        (steps, from, to) => {
          const model = new Map<string, number>();
          let map = SortedMap.empty<string>();
          let snapshot = { map, keys: [] as string[] };
          steps.forEach(([action, name], index) => {
            if (action === "set") {
              model.set(name, index);
              map = map.set(name, `${name}=${index}`);
            } else {
              model.delete(name);
              map = map.delete(name);
            }
            if (index === steps.length >> 1) snapshot = { map, keys: sortedValues(model) };
          });
          deepEqual([...map.range()], sortedValues(model));
          deepEqual([...snapshot.map.range()], snapshot.keys);
          equal(map.size, model.size);
          const expected = sortedValues(model).filter(
            (value) => value >= from && value.split("=")[0]! < to,
          );
          deepEqual([...map.range(from, to)], from < to ? expected : []);
          if (from < to) equal(map.count(from, to), expected.length);
          for (const name of model.keys()) equal(map.get(name), `${name}=${model.get(name)}`);
        },
      ),
      { numRuns: 40, seed: 7 },
    );
  });

  it("is built from sorted entries and answers gets and ranges", () => {
    const entries = Array.from(
      { length: 1000 },
      (_, index) => [`n${String(index).padStart(4, "0")}`, index] as const,
    );
    const map = SortedMap.fromSorted(entries);
    equal(map.size, 1000);
    equal(map.get("n0777"), 777);
    equal(map.get("n1000"), undefined);
    deepEqual([...map.range("n0995")], [995, 996, 997, 998, 999]);
    equal(map.count("n0100", "n0200"), 100);
  });
});

function sortedValues(model: ReadonlyMap<string, number>): string[] {
  return [...model].map(([name, value]) => `${name}=${value}`).toSorted();
}
