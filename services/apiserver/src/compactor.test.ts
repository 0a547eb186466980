import { deepEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { createMemoryStore } from "@wherry/datastore/testing";
import { silentLogger } from "@wherry/service-kit";
import { createManualClock } from "@wherry/service-kit/testing";
import { createCompactor } from "./compactor.ts";

describe("compactor", () => {
  it("keeps one interval of history, and two servers share the work", async () => {
    const store = createMemoryStore();
    const clock = createManualClock();
    const compacted: number[] = [];
    const watched = Object.create(store, {
      compact: {
        value: (request: { revision: number }) => {
          compacted.push(request.revision);
          return store.compact(request);
        },
      },
    }) as typeof store;
    const put = (value: string) => store.put({ key: Buffer.from("k"), value: Buffer.from(value) });
    const both = [1, 2].map(() => createCompactor(watched, clock, silentLogger, 300_000));
    for (const one of both) one.start();
    const revisions: number[] = [];
    for (let round = 0; round < 4; round++) {
      revisions.push((await put(String(round))).header.revision);
      await clock.advance(300_000);
    }
    for (const one of both) one.stop();
    // The first round only takes note; each later one compacts to the revision that was current one interval before, and once.
    deepEqual(new Set(compacted).size, compacted.length);
    deepEqual(
      compacted.length >= 2 &&
        compacted.every(
          (revision, index) => revision >= revisions[index]! && revision < revisions[index + 1]!,
        ),
      true,
      JSON.stringify({ compacted, revisions }),
    );
    await store.stop();
  });
});
