import { silentLogger } from "@wherry/service-kit";
import { createGrpcStore } from "./grpc/grpc-store.ts";
import { runStoreContract, startEtcd } from "./testing.ts";

const etcd = await startEtcd(process.env["PATH"]);

runStoreContract(
  "real etcd through the gRPC client",
  async () => {
    if (etcd === undefined) throw new Error("etcd is not installed");
    const store = createGrpcStore({ endpoint: etcd.endpoint, log: silentLogger });
    return {
      store,
      async close() {
        await store.close();
        await etcd.stop();
      },
    };
  },
  etcd === undefined ? { skip: "etcd is not installed" } : {},
);
