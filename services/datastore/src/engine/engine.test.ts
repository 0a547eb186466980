import { runStoreContract } from "@wherry/etcd-api/testing";
import { createManualClock } from "@wherry/service-kit/testing";
import { createMemoryStore } from "../testing.ts";

runStoreContract("engine over a memory log", async () => {
  const clock = createManualClock();
  const store = createMemoryStore({ clock });
  return { store, close: () => store.stop(), advance: (ms) => clock.advance(ms) };
});
