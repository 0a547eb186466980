import { after, before, describe } from "node:test";
import { describeCompactContract } from "./contract/compact-contract.ts";
import { describeLeaseContract } from "./contract/lease-contract.ts";
import { describeKeyContract } from "./contract/range-contract.ts";
import type { StoreUnderTest } from "./contract/store-under-test.ts";
import { describeTxnContract } from "./contract/txn-contract.ts";
import { describeWatchContract } from "./contract/watch-contract.ts";

export type { StoreUnderTest } from "./contract/store-under-test.ts";
export { readWatch } from "./contract/store-under-test.ts";
export type { WatchReader } from "./contract/store-under-test.ts";
export { startEtcd } from "./contract/real-etcd.ts";
export type { RealEtcd } from "./contract/real-etcd.ts";

/** A test that hangs is a failure; lease expiry in real time is the longest. */
const TEST_TIMEOUT_MS = 30_000;

/**
 * What every store must do, whoever implements it: the behaviour of etcd as its clients rely on it. `createStore` is called
 * once, and the store is closed at the end. `skip` names why the suite cannot run here.
 */
export function runStoreContract(
  name: string,
  createStore: () => Promise<StoreUnderTest>,
  options: { readonly skip?: string } = {},
): void {
  describe(
    `store contract: ${name}`,
    { timeout: TEST_TIMEOUT_MS, skip: options.skip ?? false },
    () => {
      let opened: StoreUnderTest | undefined;
      const subject = (): StoreUnderTest => {
        if (opened === undefined) throw new Error("the store is not open");
        return opened;
      };
      before(async () => {
        opened = await createStore();
      });
      after(async () => {
        await opened?.close();
      });
      describeKeyContract(subject);
      describeTxnContract(subject);
      describeLeaseContract(subject);
      describeWatchContract(subject);
      describeCompactContract(subject);
    },
  );
}
