import type { EtcdStore } from "@wherry/etcd-api";
import { createNullMetrics, silentLogger, systemClock, type Clock } from "@wherry/service-kit";
import { createEngineMetrics } from "./engine/engine-metrics.ts";
import { createEngineOver, engineDefaults, type EngineConfig } from "./engine/engine.ts";
import { State } from "./engine/state.ts";
import { createMemoryLog } from "./log/memory-log.ts";

export interface MemoryStoreOptions {
  readonly clock?: Clock;
  readonly config?: Partial<EngineConfig>;
}

export interface MemoryStore extends EtcdStore {
  /** Ends watches and timers. */
  stop(): Promise<void>;
}

/** The datastore's engine over a log that lives in memory: every behaviour but durability. */
export function createMemoryStore(options: MemoryStoreOptions = {}): MemoryStore {
  return createEngineOver(
    { state: new State(), clusterId: 1n, garbage: [] },
    { ...engineDefaults, ...options.config },
    {
      log: createMemoryLog(),
      clock: options.clock ?? systemClock,
      logger: silentLogger,
      metrics: createEngineMetrics(createNullMetrics()),
      onBroken: () => {},
    },
  );
}
