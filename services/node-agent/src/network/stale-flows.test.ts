import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "@wherry/service-kit";
import { NetworkError, type Element } from "@wherry/net";
import { createRecordingRunner } from "@wherry/net/testing";
import { createFlowCleaner, staleFlows, staleFlowsInListing } from "./stale-flows.ts";

const slot = (
  index: number,
  address: string,
  set = "endpoints-udp",
  front = "10.43.0.10 . udp . 53",
): Element => ({ set, key: `${front} . ${index}`, value: `${address} . 5353` });

test("only the endpoint that is gone is stale, not those that change their slot", () => {
  const changes = {
    removed: [slot(0, "10.42.0.2"), slot(1, "10.42.0.3")],
    added: [slot(0, "10.42.0.3")],
  };
  assert.deepEqual(staleFlows(changes), [
    { address: "10.43.0.10", port: "53", endpoint: "10.42.0.2" },
  ]);
});

test("TCP leaves nothing behind, node ports leave flows to any address", () => {
  assert.deepEqual(
    staleFlows({
      removed: [slot(0, "10.42.0.2", "endpoints-tcp", "10.43.0.10 . tcp . 53")],
      added: [],
    }),
    [],
  );
  assert.deepEqual(
    staleFlows({ removed: [slot(0, "10.42.0.2", "port-endpoints-udp", "udp . 30053")], added: [] }),
    [{ port: "30053", endpoint: "10.42.0.2" }],
  );
});

test("a frontend that begins to be routed ends the flows that were not", () => {
  const verdict = { set: "services", key: "10.43.0.10 . udp . 53", value: "goto ip-udp-cluster-1" };
  assert.deepEqual(staleFlows({ removed: [], added: [verdict] }), [
    { address: "10.43.0.10", port: "53" },
  ]);
  assert.deepEqual(
    staleFlows({ removed: [{ ...verdict, value: "goto ip-udp-cluster-2" }], added: [verdict] }),
    [],
  );
});

test("the listing shows flows of known frontends that lead elsewhere", () => {
  const listing = [
    "udp      17 29 src=10.42.0.9 dst=10.43.0.10 sport=4000 dport=53 [UNREPLIED] src=10.42.0.66 dst=10.42.0.9 sport=5353 dport=4000 mark=0 use=1",
    "udp      17 29 src=10.42.0.9 dst=10.43.0.10 sport=4001 dport=53 src=10.42.0.2 dst=10.42.0.9 sport=5353 dport=4001 [ASSURED] mark=0 use=1",
    "udp      17 29 src=10.42.0.9 dst=8.8.8.8 sport=4001 dport=53 src=8.8.8.8 dst=10.42.0.9 sport=53 dport=4001 mark=0 use=1",
  ].join("\n");
  assert.deepEqual(staleFlowsInListing(listing, [slot(0, "10.42.0.2")]), [
    { address: "10.43.0.10", port: "53", endpoint: "10.42.0.66" },
  ]);
});

test("a machine without conntrack is left alone after the first try", async () => {
  const run = createRecordingRunner(() => new NetworkError("command-not-found", "no conntrack"));
  const cleaner = createFlowCleaner(run, silentLogger);
  await cleaner.delete([{ port: "53" }]);
  await cleaner.delete([{ port: "54" }]);
  assert.equal(run.commands.length, 1);
});

test("very many deletions become one", async () => {
  const run = createRecordingRunner();
  await createFlowCleaner(run, silentLogger).delete(
    Array.from({ length: 257 }, (_, index) => ({ port: String(index) })),
  );
  assert.deepEqual(
    run.commands.map(({ command }) => command),
    [["conntrack", "-D", "-p", "udp"]],
  );
});
