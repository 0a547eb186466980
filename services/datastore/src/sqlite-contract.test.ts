import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createGrpcStore, type EtcdStore } from "@wherry/etcd-api";
import { runStoreContract, type StoreUnderTest } from "@wherry/etcd-api/testing";
import { createNullMetrics, silentLogger } from "@wherry/service-kit";
import { createManualClock } from "@wherry/service-kit/testing";
import { datastoreConfig, type DatastoreConfigInput } from "./config.ts";
import { createDatastore, type Datastore } from "./datastore.ts";

/** No cache, so that values are read back from the file all the time. */
const config: Partial<DatastoreConfigInput> = { valueCacheBytes: 0 };

async function openSqlite(
  options: Partial<DatastoreConfigInput>,
  storeOf: (datastore: Datastore) => { readonly store: EtcdStore; close?(): Promise<void> },
): Promise<StoreUnderTest> {
  const folder = await mkdtemp(join(tmpdir(), "wherry-datastore-"));
  const clock = createManualClock();
  const endpoint = `sqlite://${join(folder, "state.db")}`;
  const datastore = createDatastore(datastoreConfig.parse({ ...config, ...options, endpoint }), {
    clock,
    log: silentLogger,
    metrics: createNullMetrics(),
  });
  await datastore.start(new AbortController().signal);
  const { store, close } = storeOf(datastore);
  return {
    store,
    advance: (ms) => clock.advance(ms),
    async close() {
      await close?.();
      await datastore.stop(AbortSignal.timeout(5_000));
      await rm(folder, { recursive: true });
    },
  };
}

function overGrpc(datastore: Datastore): { readonly store: EtcdStore; close(): Promise<void> } {
  const store = createGrpcStore({ endpoint: datastore.endpoint() ?? "", log: silentLogger });
  return { store, close: () => store.close() };
}

runStoreContract("SQLite in process", () => openSqlite({}, (datastore) => datastore));
runStoreContract("SQLite over gRPC and TCP", () => openSqlite({ listen: "127.0.0.1:0" }, overGrpc));
runStoreContract("SQLite over gRPC and a unix socket", () =>
  openSqlite(
    {
      listen: `unix:${join(tmpdir(), `wherry-${process.pid}-${Math.random().toString(36).slice(2)}.sock`)}`,
    },
    overGrpc,
  ),
);
