import {
  LogError,
  type KeptRecord,
  type LeaseChange,
  type Log,
  type LogBatch,
  type LogRecord,
  type StoredLease,
} from "./log.ts";

/** A log that lives as long as the process; for tests. `reopen` gives what a restart would find. */
export interface MemoryLog extends Log {
  reopen(): MemoryLog;
  /** Makes the next append fail with this error, or stay open until the promise settles. */
  holdNextAppend(outcome: Promise<void>): void;
  readonly appends: number;
}

interface Kept {
  readonly records: Map<number, LogRecord>;
  readonly leases: Map<bigint, StoredLease>;
  revision: number;
  compactRevision: number;
  position: number;
  bytes: number;
}

const CHUNK = 1000;

export function createMemoryLog(): MemoryLog {
  return memoryLogOver({
    records: new Map(),
    leases: new Map(),
    revision: 1,
    compactRevision: 0,
    position: 0,
    bytes: 0,
  });
}

function memoryLogOver(kept: Kept): MemoryLog {
  let held: Promise<void> | undefined;
  let appends = 0;

  return {
    get appends() {
      return appends;
    },
    reopen: () => memoryLogOver(kept),
    holdNextAppend(outcome) {
      held = outcome;
    },
    async load() {
      const { revision, compactRevision } = kept;
      return { revision, compactRevision, clusterId: 1n, leases: [...kept.leases.values()] };
    },
    async *tail(position) {
      let chunk: KeptRecord[] = [];
      for (const [at, { value, ...record }] of kept.records) {
        if (at <= position) continue;
        chunk.push({ ...record, position: at, valueLength: value.length });
        if (chunk.length < CHUNK) continue;
        yield chunk;
        chunk = [];
      }
      if (chunk.length > 0) yield chunk;
    },
    async append(batch) {
      appends += 1;
      if (held !== undefined) {
        const outcome = held;
        held = undefined;
        await outcome;
      }
      return keep(kept, batch);
    },
    async read(positions) {
      return positions.map((position) => {
        const record = kept.records.get(position);
        if (record === undefined)
          throw new LogError("broken", `position ${position} is not in the log`);
        return record.value;
      });
    },
    async trim(positions) {
      for (const position of positions) {
        const record = kept.records.get(position);
        if (record === undefined) continue;
        kept.bytes -= record.key.length + record.value.length;
        kept.records.delete(position);
      }
    },
    size() {
      return { bytes: kept.bytes, bytesInUse: kept.bytes };
    },
    async close() {},
  };
}

function keep(kept: Kept, batch: LogBatch): number {
  const first = kept.position + 1;
  for (const record of batch.records) {
    kept.position += 1;
    kept.records.set(kept.position, record);
    kept.bytes += record.key.length + record.value.length;
  }
  for (const change of batch.leases) applyLease(kept.leases, change);
  kept.revision = batch.revision;
  kept.compactRevision = batch.compactRevision ?? kept.compactRevision;
  return first;
}

function applyLease(leases: Map<bigint, StoredLease>, change: LeaseChange): void {
  if (change.kind === "grant") leases.set(change.lease.id, change.lease);
  else leases.delete(change.id);
}
