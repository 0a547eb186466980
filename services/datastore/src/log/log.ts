/**
 * What the engine needs from a place that keeps things: an ordered, durable log. All of etcd's semantics are the
 * engine's; a log only keeps what it is given, in order.
 *
 * 1. `append` resolves when the batch is durable as a whole. At most one append is under way; batches are not reordered.
 * 2. Positions rise by one per record of a batch, starting at what `append` resolves with, and are never used twice.
 * 3. After an append failed with the code `rejected` or `full` nothing of the batch is in the log and the next append may
 *    succeed. After `broken` the state of the log is unknown: it must be closed, and opened and read anew.
 */
export interface Log {
  /** Opens the log. Called once, first. */
  load(): Promise<LogState>;
  /** Every record kept after `position` (0 = all), in order, in chunks. Ends when it has caught up. */
  tail(position: number): AsyncIterable<readonly KeptRecord[]>;
  /** Resolves with the position of the batch's first record (of the next record, when it has none). */
  append(batch: LogBatch): Promise<number>;
  /** The values of puts, in the order of `positions`. Each buffer owns its backing store. */
  read(positions: readonly number[]): Promise<Buffer[]>;
  /** Forgets records and gives their space back. Not urgent; must not hold up appends. */
  trim(positions: readonly number[]): Promise<void>;
  size(): LogSize;
  close(): Promise<void>;
}

export interface LogState {
  /** The last revision that was made durable; 1 for a new log. */
  readonly revision: number;
  readonly compactRevision: number;
  readonly clusterId: bigint;
  readonly leases: readonly StoredLease[];
}

export interface StoredLease {
  readonly id: bigint;
  readonly ttlSeconds: number;
}

/** A version of a key; a deletion has neither value nor lease. */
export interface LogRecord {
  readonly revision: number;
  readonly deleted: boolean;
  /** latin-1, one character per byte. */
  readonly key: string;
  readonly createRevision: number;
  readonly version: number;
  readonly lease: bigint;
  readonly value: Buffer;
}

export interface KeptRecord extends Omit<LogRecord, "value"> {
  readonly position: number;
  readonly valueLength: number;
}

export type LeaseChange =
  | { readonly kind: "grant"; readonly lease: StoredLease }
  | { readonly kind: "revoke"; readonly id: bigint };

export interface LogBatch {
  readonly records: readonly LogRecord[];
  readonly leases: readonly LeaseChange[];
  /** The store's revision after the batch. */
  readonly revision: number;
  /** Set when the batch moves the compaction mark. */
  readonly compactRevision?: number;
}

export interface LogSize {
  readonly bytes: number;
  readonly bytesInUse: number;
}

export type LogErrorCode = "rejected" | "full" | "broken" | "unusable";

/** A failure of the log. `unusable`: it cannot be opened (foreign, locked, damaged, newer). */
export class LogError extends Error {
  readonly code: LogErrorCode;

  constructor(code: LogErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "LogError";
    this.code = code;
  }
}
