import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { Lease } from "@wherry/machinery";
import { silentLogger } from "@wherry/service-kit";
import { createManualClock, type ManualClock } from "@wherry/service-kit/testing";
import type { ApiClient } from "./api-client.ts";
import { createApiClient } from "./create-api-client.ts";
import { runLeaderElection } from "./leader-election.ts";
import { resources } from "./resources.ts";
import { createMemoryApi, type MemoryApi } from "./testing/memory-api.ts";
import { createSeededRandom } from "./testing/seeded-random.ts";

interface Candidate {
  readonly leading: () => boolean;
  readonly stop: AbortController;
  readonly ended: Promise<"ended" | Error>;
}

function run(
  client: ApiClient,
  clock: ManualClock,
  identity: string,
  random: () => number = () => 0,
): Candidate {
  const stop = new AbortController();
  let isLeading = false;
  const ended = runLeaderElection({
    client,
    clock,
    log: silentLogger,
    namespace: "kube-system",
    name: "controller",
    identity,
    random,
    signal: stop.signal,
    async lead(signal) {
      isLeading = true;
      await new Promise<void>((resolve) => {
        if (signal.aborted) resolve();
        else signal.addEventListener("abort", () => resolve(), { once: true });
      });
      isLeading = false;
    },
  }).then(
    () => "ended" as const,
    (error: Error) => error,
  );
  return { leading: () => isLeading, stop, ended };
}

function lease(api: MemoryApi): Lease | undefined {
  return api.get<Lease>(resources.leases, "controller", "kube-system");
}

describe("leader election", () => {
  test("creates the lease, renews it and releases it at the end", async () => {
    const clock = createManualClock(Date.UTC(2026, 0, 1));
    const api = createMemoryApi({ clock });
    const one = run(api.client, clock, "one");
    await clock.advance(0);
    assert.equal(one.leading(), true);
    assert.deepEqual(lease(api)?.spec, {
      holderIdentity: "one",
      leaseDurationSeconds: 15,
      acquireTime: "2026-01-01T00:00:00.000000Z",
      renewTime: "2026-01-01T00:00:00.000000Z",
      leaseTransitions: 0,
    });
    await clock.advance(20_000);
    assert.equal(lease(api)?.spec.renewTime, "2026-01-01T00:00:20.000000Z");
    assert.equal(lease(api)?.spec.acquireTime, "2026-01-01T00:00:00.000000Z");
    one.stop.abort();
    assert.equal(await one.ended, "ended");
    assert.equal(lease(api)?.spec.holderIdentity, "");
    assert.equal(clock.pending, 0);
  });

  test("takes a released lease over at the next attempt", async () => {
    const clock = createManualClock();
    const api = createMemoryApi({ clock });
    const one = run(api.client, clock, "one");
    await clock.advance(0);
    const two = run(api.client, clock, "two");
    await clock.advance(60_000);
    assert.equal(two.leading(), false);
    one.stop.abort();
    await clock.advance(2_000);
    assert.equal(two.leading(), true);
    assert.equal(lease(api)?.spec.leaseTransitions, 1);
    two.stop.abort();
    await two.ended;
  });

  test("takes over from a leader that has died only when the lease has run out", async () => {
    const clock = createManualClock();
    const api = createMemoryApi({ clock });
    api.seed({
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: { name: "controller", namespace: "kube-system" },
      spec: { holderIdentity: "dead", leaseDurationSeconds: 15, leaseTransitions: 4 },
    } as Lease);
    const two = run(api.client, clock, "two");
    await clock.advance(14_000);
    assert.equal(two.leading(), false);
    await clock.advance(4_000);
    assert.equal(two.leading(), true);
    assert.equal(lease(api)?.spec.leaseTransitions, 5);
    two.stop.abort();
    await two.ended;
  });

  test("stops leading when the lease could not be renewed for ten seconds", async () => {
    const clock = createManualClock();
    const api = createMemoryApi({ clock });
    const one = run(api.client, clock, "one");
    await clock.advance(0);
    api.intercept(() => new Error("down"));
    await clock.advance(9_999);
    assert.equal(one.leading(), true);
    await clock.advance(2_100);
    assert.equal(one.leading(), false);
    const error = await one.ended;
    assert.ok(error instanceof Error);
    assert.equal(error.name, "LeaderElectionError");
    assert.equal(lease(api)?.spec.holderIdentity, "one", "a lost lease is not released");
  });

  test("fails as the leader's work fails, and releases the lease", async () => {
    const clock = createManualClock();
    const api = createMemoryApi({ clock });
    const running = runLeaderElection({
      client: api.client,
      clock,
      log: silentLogger,
      namespace: "kube-system",
      name: "controller",
      identity: "one",
      signal: new AbortController().signal,
      lead: async () => {
        throw new Error("broken");
      },
    });
    await assert.rejects(running, { message: "broken" });
    assert.equal(lease(api)?.spec.holderIdentity, "");
  });

  test("never has two leaders, whoever is cut off and when", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            who: fc.nat(2),
            forMs: fc.integer({ min: 500, max: 30_000 }),
            down: fc.boolean(),
          }),
          { maxLength: 12 },
        ),
        fc.nat(),
        async (steps, seed) => {
          const clock = createManualClock();
          const api = createMemoryApi({ clock });
          const random = createSeededRandom(seed);
          const down = new Set<number>();
          const candidates = [0, 1, 2].map((id) => {
            const client = createApiClient({
              roundTrip: (request) =>
                down.has(id) ? Promise.reject(new Error("down")) : api.roundTrip(request),
            });
            return run(client, clock, `c${id}`, random);
          });
          const check = (): void =>
            assert.ok(candidates.filter((one) => one.leading()).length <= 1, "two leaders");
          for (const { who, forMs, down: isDown } of steps) {
            if (isDown) down.add(who);
            else down.delete(who);
            for (let passed = 0; passed < forMs; passed += 500) {
              await clock.advance(500);
              check();
            }
          }
          for (const one of candidates) one.stop.abort();
          await clock.advance(30_000);
          await Promise.all(candidates.map((one) => one.ended));
          assert.equal(clock.pending, 0);
        },
      ),
      { numRuns: 15, seed: 3 },
    );
  });
});
