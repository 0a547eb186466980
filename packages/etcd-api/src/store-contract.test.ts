import { silentLogger } from "@wherry/service-kit";
import { createGrpcStore } from "./grpc/grpc-store.ts";
import { serveStore } from "./grpc/serve-store.ts";
import { runStoreContract, startEtcd } from "./testing.ts";

/** Real etcd is the oracle of the contract, and the store behind both adapters. */
async function openEtcd() {
  const etcd = await startEtcd(process.env["PATH"]);
  if (etcd === undefined) throw new Error("etcd is not installed");
  const store = createGrpcStore({ endpoint: etcd.endpoint, log: silentLogger });
  return {
    store,
    async close() {
      await store.close();
      await etcd.stop();
    },
  };
}

const probe = await startEtcd(process.env["PATH"]);
await probe?.stop();
const options = probe === undefined ? { skip: "etcd is not installed" } : {};

runStoreContract("real etcd through the gRPC client", openEtcd, options);

runStoreContract(
  "real etcd through client, server and client again",
  async () => {
    const etcd = await openEtcd();
    const server = await serveStore(etcd.store, { listen: "127.0.0.1:0", log: silentLogger });
    const store = createGrpcStore({ endpoint: server.endpoint, log: silentLogger });
    return {
      store,
      async close() {
        await store.close();
        await server.close(AbortSignal.timeout(1_000));
        await etcd.close();
      },
    };
  },
  options,
);
