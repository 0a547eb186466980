import type { KeyValue } from "@wherry/etcd-api";

/**
 * Keys inside the engine are latin-1 strings: one character per byte, compact in memory, and JavaScript's string order is
 * then the order of the bytes.
 */
export type KeyText = string;

/** A key that has at least one version which is not compacted away. */
export interface KeyEntry {
  readonly key: KeyText;
  newest: KeyVersion;
  /** Whether the newest version is not a deletion. Changed through the index only, which counts it. */
  live: boolean;
}

/**
 * What one revision did to one key. Versions of a key form a list from the newest to the oldest. A deletion is a version
 * too; `version` and `createRevision` are 0 in it.
 */
export interface KeyVersion {
  readonly entry: KeyEntry;
  older: KeyVersion | undefined;
  readonly revision: number;
  readonly createRevision: number;
  readonly version: number;
  readonly lease: bigint;
  readonly deleted: boolean;
  /** Where the log keeps it; 0 until it is durable. */
  position: number;
  /** The value cache's copy. Always there until the version is durable. */
  kv: KeyValue | undefined;
  /** Bytes of key and value. */
  readonly size: number;
  /** Used since the value cache last looked. */
  touched: boolean;
}

export const NO_LEASE = 0n;
export const EMPTY: Buffer = Buffer.alloc(0);

export function keyTextOf(key: Buffer): KeyText {
  return key.toString("latin1");
}

/** A buffer of its own: not a slice of Node's shared pool. */
export function keyBufferOf(key: KeyText): Buffer {
  const buffer = Buffer.allocUnsafeSlow(key.length);
  buffer.write(key, "latin1");
  return buffer;
}

/** The same bytes in a buffer that owns its backing store; the input itself when it does already. */
export function owned(bytes: Buffer): Buffer {
  if (bytes.length === bytes.buffer.byteLength) return bytes;
  if (bytes.length === 0) return EMPTY;
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(copy);
  return copy;
}

/** A range as etcd means it: one key, or `[from, to)` with `to` undefined for "to the end". */
export type KeyRange =
  | { readonly kind: "key"; readonly key: KeyText }
  | { readonly kind: "span"; readonly from: KeyText; readonly to: KeyText | undefined };

export function keyRangeOf(key: Buffer, rangeEnd: Buffer | undefined): KeyRange {
  if (rangeEnd === undefined || rangeEnd.length === 0) return { kind: "key", key: keyTextOf(key) };
  const isOpen = rangeEnd.length === 1 && rangeEnd[0] === 0;
  return { kind: "span", from: keyTextOf(key), to: isOpen ? undefined : keyTextOf(rangeEnd) };
}

export function rangeContains(range: KeyRange, key: KeyText): boolean {
  if (range.kind === "key") return range.key === key;
  return key >= range.from && (range.to === undefined || key < range.to);
}

/** The version that a reader at `revision` sees, deletions included. */
export function versionAt(entry: KeyEntry, revision: number): KeyVersion | undefined {
  let version: KeyVersion | undefined = entry.newest;
  while (version !== undefined && version.revision > revision) version = version.older;
  return version;
}

/** As `versionAt`, for a key that exists at that revision. */
export function liveVersionAt(entry: KeyEntry, revision: number): KeyVersion | undefined {
  const version = versionAt(entry, revision);
  return version === undefined || version.deleted ? undefined : version;
}

/** What the key was before the revision of `version`; undefined when it did not exist (or is compacted away). */
export function previousOf(version: KeyVersion): KeyVersion | undefined {
  let previous = version.older;
  while (previous !== undefined && previous.revision === version.revision)
    previous = previous.older;
  return previous === undefined || previous.deleted ? undefined : previous;
}

export function keyValueOf(version: KeyVersion, value: Buffer): KeyValue {
  return {
    key: keyBufferOf(version.entry.key),
    createRevision: version.createRevision,
    modRevision: version.revision,
    version: version.version,
    value,
    lease: version.lease,
  };
}
