/**
 * Trims the store's history as kube-apiserver does: every interval, to the revision of one interval before. Several API servers share the work
 * through the key `compact_rev_key`: who wins the compare-and-set compacts.
 */
import type { EtcdStore } from "@wherry/etcd-api";
import type { Clock, Logger, Timer } from "@wherry/service-kit";
import { isCompacted } from "./store-error.ts";

const markerKey = Buffer.from("compact_rev_key");

export interface Compactor {
  start(): void;
  stop(): void;
}

export function createCompactor(
  store: EtcdStore,
  clock: Clock,
  log: Logger,
  intervalMs: number,
): Compactor {
  let timer: Timer | undefined;
  let stopped = false;
  /** The marker's version as last seen, and the store's revision at that time. */
  let seenVersion = 0;
  let seenRevision = 0;

  const round = async (): Promise<void> => {
    const response = await store.txn({
      compare: [{ target: "version", key: markerKey, result: "equal", operand: seenVersion }],
      success: [
        { kind: "put", request: { key: markerKey, value: Buffer.from(String(seenRevision)) } },
      ],
      failure: [{ kind: "range", request: { key: markerKey } }],
    });
    const { revision } = response.header;
    if (!response.succeeded) {
      const first = response.responses[0];
      seenVersion = first?.kind === "range" ? (first.response.kvs[0]?.version ?? 0) : 0;
      seenRevision = revision;
      return;
    }
    const target = seenRevision;
    seenVersion += 1;
    seenRevision = revision;
    if (target === 0) return;
    try {
      await store.compact({ revision: target });
      log.debug({ revision: target }, "compacted the store");
    } catch (error) {
      if (!isCompacted(error)) throw error;
    }
  };
  const arm = (): void => {
    timer = clock.setTimer(intervalMs, () => {
      round().then(
        () => stopped || arm(),
        (error: unknown) => {
          if (stopped) return;
          log.warn({ err: error }, "compaction failed; it is tried again after the interval");
          arm();
        },
      );
    });
  };
  return {
    start: arm,
    stop() {
      stopped = true;
      timer?.cancel();
    },
  };
}
