import type { MetricsRegistry } from "@wherry/service-kit";
import type { LogSize } from "../log/log.ts";
import type { KeyVersion } from "./key-version.ts";
import type { State } from "./state.ts";

export interface EngineMetrics {
  operation(kind: "range" | "put" | "delete" | "txn"): void;
  committed(versions: readonly KeyVersion[], durationMs: number): void;
  observe(now: { readonly state: State; readonly watches: number; readonly size: LogSize }): void;
}

/** etcd's buckets for its write-ahead log: 1 ms doubling up to 8 s. */
const COMMIT_BUCKETS = Array.from({ length: 14 }, (_, power) => 0.001 * 2 ** power);

/** etcd's names, so that its dashboards work. */
export function createEngineMetrics(registry: MetricsRegistry): EngineMetrics {
  const counter = (name: string, help: string) => registry.counter({ name, help });
  const gauge = (name: string, help: string) => registry.gauge({ name, help });
  const operations = {
    range: counter("etcd_mvcc_range_total", "Range requests seen."),
    put: counter("etcd_mvcc_put_total", "Put requests seen."),
    delete: counter("etcd_mvcc_delete_total", "Delete requests seen."),
    txn: counter("etcd_mvcc_txn_total", "Transactions seen."),
  };
  const commits = registry.histogram({
    name: "etcd_disk_wal_fsync_duration_seconds",
    help: "Time to make a batch of writes durable.",
    buckets: COMMIT_BUCKETS,
  });
  const events = counter("etcd_debugging_mvcc_events_total", "Changes of keys made durable.");
  const keys = gauge("etcd_debugging_mvcc_keys_total", "Keys that exist.");
  const revision = gauge("etcd_debugging_mvcc_current_revision", "The store's revision.");
  const compactRevision = gauge("etcd_debugging_mvcc_compact_revision", "The compaction mark.");
  const watches = gauge("etcd_debugging_mvcc_watcher_total", "Open watches.");
  const size = gauge("etcd_mvcc_db_total_size_in_bytes", "Size of the database on disk.");
  const sizeInUse = gauge(
    "etcd_mvcc_db_total_size_in_use_in_bytes",
    "Size of the database without free pages.",
  );

  return {
    operation: (kind) => operations[kind].increment(),
    committed(versions, durationMs) {
      commits.observe(durationMs / 1000);
      if (versions.length > 0) events.increment(undefined, versions.length);
    },
    observe(now) {
      keys.set(now.state.index.liveCount);
      revision.set(now.state.revision);
      compactRevision.set(now.state.compactRevision);
      watches.set(now.watches);
      size.set(now.size.bytes);
      sizeInUse.set(now.size.bytesInUse);
    },
  };
}
