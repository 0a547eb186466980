import { EtcdError } from "@wherry/etcd-api";
import type { Clock, Logger, Timer } from "@wherry/service-kit";
import type { Engine } from "./engine/engine.ts";

export interface SelfCompactionOptions {
  readonly store: Pick<Engine, "revision" | "compactRevision" | "compact">;
  readonly clock: Clock;
  readonly log: Logger;
  readonly intervalMs: number;
}

export interface SelfCompaction {
  stop(): void;
}

/**
 * Compacts up to where the store was one interval ago, once an interval: history reaches back one to two intervals, as it does
 * under kube-apiserver. Does nothing while nothing is written, nor where a client compacted further already.
 */
export function startSelfCompaction({
  store,
  clock,
  log,
  intervalMs,
}: SelfCompactionOptions): SelfCompaction {
  let before = store.revision;
  let timer: Timer | undefined;
  let isStopped = false;

  async function tick(): Promise<void> {
    const target = before;
    before = store.revision;
    try {
      if (target > store.compactRevision) await store.compact({ revision: target });
    } catch (err) {
      // A client that compacts at the same time is welcome to.
      if (!(err instanceof EtcdError && err.code === "outOfRange"))
        log.warn({ err, revision: target }, "compaction failed");
    }
    arm();
  }

  function arm(): void {
    if (!isStopped) timer = clock.setTimer(intervalMs, () => void tick());
  }

  arm();
  return {
    stop() {
      isStopped = true;
      timer?.cancel();
    },
  };
}
