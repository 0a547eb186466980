import { invariant } from "@wherry/service-kit";
import type { KeptRecord, StoredLease } from "../log/log.ts";
import { History } from "./history.ts";
import type { Journal } from "./journal.ts";
import { KeyIndex } from "./key-index.ts";
import {
  keyBufferOf,
  keyTextOf,
  keyValueOf,
  NO_LEASE,
  owned,
  rangeContains,
  versionAt,
  type KeyEntry,
  type KeyRange,
  type KeyVersion,
} from "./key-version.ts";
import { LeaseTable, type Lease } from "./lease-table.ts";

/**
 * The store's state at its tip, in memory. Everything here is synchronous and knows nothing of durability: each change
 * leaves in the journal how it is undone.
 */
export class State {
  readonly index = new KeyIndex();
  readonly history = new History();
  readonly leases = new LeaseTable();
  revision = 1;
  compactRevision = 0;

  put(journal: Journal, revision: number, key: Buffer, value: Buffer, lease: bigint): KeyVersion {
    const text = keyTextOf(key);
    const entry = this.index.get(text);
    const before = entry?.live === true ? entry.newest : undefined;
    const version: KeyVersion = {
      entry: entry ?? ({ key: text, live: true } as KeyEntry),
      older: entry?.newest,
      revision,
      createRevision: before?.createRevision ?? revision,
      version: (before?.version ?? 0) + 1,
      lease,
      deleted: false,
      position: 0,
      kv: undefined,
      size: key.length + value.length,
      touched: false,
    };
    version.kv = {
      ...keyValueOf(version, owned(value)),
      key: key.length === key.buffer.byteLength ? key : keyBufferOf(text),
    };
    this.#add(journal, version, entry === undefined, before);
    return version;
  }

  /** The entry must be live. */
  delete(journal: Journal, revision: number, entry: KeyEntry): void {
    const before = entry.newest;
    const version: KeyVersion = {
      entry,
      older: before,
      revision,
      createRevision: 0,
      version: 0,
      lease: NO_LEASE,
      deleted: true,
      position: 0,
      kv: undefined,
      size: entry.key.length,
      touched: false,
    };
    this.#add(journal, version, false, before);
  }

  /** Starts a revision; the caller makes at least one change in it. */
  nextRevision(journal: Journal): number {
    this.revision += 1;
    journal.did(() => {
      this.revision -= 1;
    });
    return this.revision;
  }

  liveEntries(range: KeyRange): KeyEntry[] {
    if (range.kind === "key") {
      const entry = this.index.get(range.key);
      return entry?.live === true ? [entry] : [];
    }
    const entries: KeyEntry[] = [];
    this.index.scan(range.from, range.to, (entry) => {
      if (entry.live) entries.push(entry);
      return true;
    });
    return entries;
  }

  /** Live keys of the range at a revision that is not compacted. */
  countAt(range: KeyRange, revision: number): number {
    if (range.kind === "key") {
      const entry = this.index.get(range.key);
      const version = entry === undefined ? undefined : versionAt(entry, revision);
      return version === undefined || version.deleted ? 0 : 1;
    }
    const now = this.index.countLive(range.from, range.to);
    if (revision >= this.revision) return now;
    const firstLater = this.history.indexOf(revision + 1);
    const isScanCheaper = this.history.length - firstLater > Math.max(now, 256);
    return isScanCheaper
      ? this.#countByScan(range, revision)
      : now + this.#differenceSince(range, revision, firstLater);
  }

  grant(journal: Journal, lease: Lease): void {
    this.leases.add(lease);
    journal.leases.push({ kind: "grant", lease: { id: lease.id, ttlSeconds: lease.ttlSeconds } });
    journal.did(() => {
      this.leases.remove(lease.id);
      journal.leases.pop();
    });
  }

  /** Deletes the lease's keys, in their order and in one revision, and the lease. */
  revoke(journal: Journal, lease: Lease): void {
    const keys = [...lease.keys].sort();
    const entries = keys.map((key) => this.index.get(key)).filter((entry) => entry?.live === true);
    if (entries.length > 0) {
      const revision = this.nextRevision(journal);
      for (const entry of entries) this.delete(journal, revision, entry as KeyEntry);
    }
    this.leases.remove(lease.id);
    journal.leases.push({ kind: "revoke", id: lease.id });
    journal.did(() => {
      this.leases.add(lease);
      journal.leases.pop();
    });
  }

  /** Moves the compaction mark; what lies below is forgotten by `prune` later. */
  compact(journal: Journal, revision: number): void {
    const before = { here: this.compactRevision, batch: journal.compactRevision };
    this.compactRevision = revision;
    journal.compactRevision = revision;
    journal.did(() => {
      this.compactRevision = before.here;
      journal.compactRevision = before.batch;
    });
  }

  /**
   * Forgets the versions that nobody can ask for once `revision` is compacted, among those of history's entries `from` to `to`.
   * Gives the positions that the log may forget. A deletion made at `revision` itself stays: a watch may start there.
   */
  prune(revision: number, from: number, to: number): number[] {
    const positions: number[] = [];
    for (let index = from; index < to; index += 1)
      this.#pruneEntry(this.history.at(index).entry, revision, positions);
    return positions;
  }

  /** Rebuilds the state from what a log kept, in order. Gives positions of records that a compaction meant to remove. */
  loadRecord(record: KeptRecord, garbage: number[]): void {
    const entry = this.index.get(record.key);
    const version: KeyVersion = {
      entry: entry ?? ({ key: record.key, live: !record.deleted } as KeyEntry),
      older: entry?.newest,
      revision: record.revision,
      createRevision: record.createRevision,
      version: record.version,
      lease: record.lease,
      deleted: record.deleted,
      position: record.position,
      kv: undefined,
      size: record.key.length + record.valueLength,
      touched: false,
    };
    const before = entry?.live === true ? entry.newest : undefined;
    version.entry.newest = version;
    if (entry === undefined) this.index.insert(version.entry);
    else this.index.setLive(entry, !record.deleted);
    if (before !== undefined && before.lease !== NO_LEASE)
      this.leases.detach(before.lease, record.key);
    if (record.lease !== NO_LEASE) this.leases.attach(record.lease, record.key);
    if (record.revision >= this.compactRevision) this.history.push(version);
    if (record.revision <= this.compactRevision)
      this.#pruneEntry(version.entry, this.compactRevision, garbage);
    this.revision = Math.max(this.revision, record.revision);
  }

  loadLease(lease: StoredLease, expiresMs: number): void {
    this.leases.add({ ...lease, expiresMs, keys: new Set() });
  }

  #add(
    journal: Journal,
    version: KeyVersion,
    isNewKey: boolean,
    before: KeyVersion | undefined,
  ): void {
    const { entry } = version;
    entry.newest = version;
    if (isNewKey) this.index.insert(entry);
    else this.index.setLive(entry, !version.deleted);
    const isMoved = before?.lease !== version.lease;
    if (isMoved && before !== undefined && before.lease !== NO_LEASE)
      this.leases.detach(before.lease, entry.key);
    if (isMoved && version.lease !== NO_LEASE) this.leases.attach(version.lease, entry.key);
    this.history.push(version);
    journal.versions.push(version);
    journal.bytes += version.size;
    journal.did(() => {
      invariant(entry.newest === version, "changes are undone newest first");
      journal.versions.pop();
      journal.bytes -= version.size;
      this.history.pop();
      if (isMoved && version.lease !== NO_LEASE) this.leases.detach(version.lease, entry.key);
      if (isMoved && before !== undefined && before.lease !== NO_LEASE)
        this.leases.attach(before.lease, entry.key);
      // A compaction may have removed the deletion that lay below since.
      if (version.older === undefined) {
        this.index.remove(entry);
      } else {
        entry.newest = version.older;
        this.index.setLive(entry, !version.older.deleted);
      }
    });
  }

  #countByScan(range: Extract<KeyRange, { kind: "span" }>, revision: number): number {
    let count = 0;
    this.index.scan(range.from, range.to, (entry) => {
      const version = versionAt(entry, revision);
      if (version !== undefined && !version.deleted) count += 1;
      return true;
    });
    return count;
  }

  /** How many keys of the range lived at `revision` but not now, less the opposite, from what happened since. */
  #differenceSince(range: KeyRange, revision: number, firstLater: number): number {
    const seen = new Set<KeyEntry>();
    let difference = 0;
    for (let index = firstLater; index < this.history.length; index += 1) {
      const { entry } = this.history.at(index);
      if (!rangeContains(range, entry.key) || seen.has(entry)) continue;
      seen.add(entry);
      const version = versionAt(entry, revision);
      const lived = version !== undefined && !version.deleted;
      difference += (lived ? 1 : 0) - (entry.live ? 1 : 0);
    }
    return difference;
  }

  #pruneEntry(entry: KeyEntry, revision: number, positions: number[]): void {
    let newer: KeyVersion | undefined;
    let kept: KeyVersion | undefined = entry.newest;
    while (kept !== undefined && kept.revision > revision) {
      newer = kept;
      kept = kept.older;
    }
    if (kept === undefined) return;
    for (let old = kept.older; old !== undefined; old = old.older) positions.push(old.position);
    kept.older = undefined;
    if (!kept.deleted || kept.revision === revision) return;
    positions.push(kept.position);
    if (newer !== undefined) newer.older = undefined;
    else if (this.index.get(entry.key) === entry) this.index.remove(entry);
  }
}
