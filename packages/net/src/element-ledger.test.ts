import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ElementLedger, type Element } from "./element-ledger.ts";
import { serviceElements, type ServiceRoute } from "./service-route.ts";

const endpoint = fc.record({
  address: fc.constantFrom("10.42.0.2", "10.42.0.3", "10.42.1.2", "10.42.1.3"),
  port: fc.constantFrom(80, 8080),
  local: fc.boolean(),
});
const routeArbitrary: fc.Arbitrary<ServiceRoute> = fc
  .record({
    protocol: fc.constantFrom("tcp" as const, "udp" as const),
    clusterIp: fc.constantFrom("10.43.0.10", "10.43.0.11", "10.43.0.12"),
    port: fc.constantFrom(80, 53),
    nodePort: fc.constantFrom(undefined, 30_080, 30_081),
    externalIps: fc.subarray(["10.99.0.1", "10.99.0.2"]),
    loadBalancerIps: fc.subarray(["10.99.0.2", "10.99.0.3"]),
    sourceRanges: fc.subarray(["10.0.0.0/8", "10.1.0.0/16", "192.168.0.0/16"]),
    internalLocal: fc.boolean(),
    externalLocal: fc.boolean(),
    affinity: fc.constantFrom(undefined, 10_800),
    clusterEndpoints: fc.array(endpoint, { maxLength: 4 }),
  })
  .map(({ nodePort, affinity, ...rest }) => ({
    ...rest,
    ...(nodePort === undefined ? {} : { nodePort }),
    ...(affinity === undefined ? {} : { affinity }),
    localEndpoints: rest.clusterEndpoints.filter((one) => one.local),
  }));

test("changes applied one by one give what a full build gives, whatever the order", () => {
  const step = fc.record({
    owner: fc.constantFrom("a/x", "a/y", "b/x", "c/z"),
    routes: fc.array(routeArbitrary, { maxLength: 2 }),
    take: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
      const ledger = new ElementLedger();
      const kernel = new Map<string, string | undefined>();
      const last = new Map<string, readonly Element[]>();
      const apply = (): void => {
        const changes = ledger.takeChanges();
        for (const element of changes.removed)
          assert.equal(kernel.delete(`${element.set} ${element.key}`), true);
        for (const element of changes.added) {
          assert.equal(kernel.has(`${element.set} ${element.key}`), false);
          kernel.set(`${element.set} ${element.key}`, element.value);
        }
      };
      for (const { owner, routes, take } of steps) {
        const elements = routes.flatMap((route) => serviceElements(route, new Set(["10.43.0.12"])));
        ledger.replace(owner, elements);
        last.set(owner, elements);
        if (take) apply();
      }
      apply();
      const full = new ElementLedger();
      for (const owner of [...last.keys()].sort().reverse())
        full.replace(owner, last.get(owner) ?? []);
      const wanted = new Map(
        [...full.elements()].map((element) => [`${element.set} ${element.key}`, element.value]),
      );
      assert.deepEqual(Object.fromEntries(kernel), Object.fromEntries(wanted));
      assert.equal(ledger.hasChanges, false);
    }),
    { numRuns: 300, seed: 11 },
  );
});

test("a key that two owners claim goes to the first by name and passes on when it lets go", () => {
  const ledger = new ElementLedger();
  const claim = (value: string): Element => ({ set: "node-ports", key: "tcp . 30080", value });
  ledger.replace("b", [claim("goto two")]);
  ledger.replace("a", [claim("goto one")]);
  assert.deepEqual(ledger.takeChanges(), { removed: [], added: [claim("goto one")] });
  assert.equal(ledger.holds("b", claim("goto two")), false);
  ledger.replace("a", []);
  assert.deepEqual(ledger.takeChanges(), {
    removed: [claim("goto one")],
    added: [claim("goto two")],
  });
  assert.deepEqual([...ledger.owners()], ["b"]);
});

test("an endpoint keeps its number while others come and go", () => {
  const numbersOf = (addresses: readonly string[]): Map<string, string> => {
    const endpoints = addresses.map((address) => ({ address, port: 80, local: false }));
    const elements = serviceElements(
      {
        protocol: "tcp",
        clusterIp: "10.43.0.10",
        port: 80,
        externalIps: [],
        loadBalancerIps: [],
        sourceRanges: [],
        internalLocal: false,
        externalLocal: false,
        affinity: 5,
        clusterEndpoints: endpoints,
        localEndpoints: [],
      },
      new Set(),
    );
    return new Map(
      elements
        .filter((element) => element.set === "numbered")
        .map((element) => [element.value ?? "", element.key]),
    );
  };
  const before = numbersOf(["10.42.0.2", "10.42.0.3"]);
  const after = numbersOf(["10.42.0.1", "10.42.0.3", "10.42.0.9"]);
  assert.equal(after.get("10.42.0.3 . 80"), before.get("10.42.0.3 . 80"));
});
