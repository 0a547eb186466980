import { equal, throws } from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { durationText, parseDuration } from "./go-duration.ts";

describe("durations", () => {
  it("are written as Go writes them", () => {
    const cases: readonly (readonly [number, string])[] = [
      [0, "0s"],
      [1, "1ns"],
      [1500, "1.5µs"],
      [20e6, "20ms"],
      [1.5e9, "1.5s"],
      [60e9, "1m0s"],
      [3600e9, "1h0m0s"],
      [-90e9, "-1m30s"],
    ];
    for (const [nanos, text] of cases) {
      equal(durationText(nanos), text);
      equal(parseDuration(text), nanos);
    }
    equal(parseDuration("1h15m30.918s"), 4_530_918_000_000);
    equal(parseDuration("0"), 0);
  });

  it("come back from their text", () => {
    fc.assert(
      fc.property(fc.integer({ min: -1e14, max: 1e14 }), (nanos) => {
        equal(parseDuration(durationText(nanos)), nanos);
      }),
    );
  });

  it("refuse other text", () => {
    for (const text of ["", "5", "1x", "s", "-"])
      throws(() => parseDuration(text), /not a duration/);
  });
});
