import { parentPort, workerData } from "node:worker_threads";
import Sqlite from "better-sqlite3";
import { unpackBatch } from "./batch-frame.ts";
import type { LeaseChange, LogErrorCode, LogSize } from "./log.ts";
import { sqliteCode, writeErrorCode } from "./sqlite-error.ts";
import { applyWriterPragmas } from "./sqlite-schema.ts";

/**
 * The thread that writes: it alone changes the database, and the fsyncs of its commits stall nobody else. It answers each
 * request in order; between requests it gives free pages back to the file system, a few at a time.
 */

export interface WriterConfig {
  readonly file: string;
  /** Undefined = as large as the disk allows. */
  readonly maxBytes: number | undefined;
}

export type WriterRequest =
  | {
      readonly kind: "append";
      readonly id: number;
      readonly frame: ArrayBuffer;
      readonly firstPosition: number;
      readonly leases: readonly LeaseChange[];
      readonly compactRevision: number | undefined;
    }
  | { readonly kind: "trim"; readonly id: number; readonly positions: Float64Array }
  | { readonly kind: "close"; readonly id: number };

export type WriterReply =
  | { readonly id: number; readonly ok: true; readonly size: LogSize }
  | {
      readonly id: number;
      readonly ok: false;
      readonly code: LogErrorCode;
      readonly message: string;
    };

/** The id of replies that answer no request: the first says that the writer has opened the database, later ones tell its size. */
const UNASKED = 0;

/** Rows deleted in one transaction: appends wait no longer than this takes. */
const TRIM_ROWS = 500;
const VACUUM_PAGES = 64;

/** Free pages worth keeping for the next writes: this many, or this share of the file. */
const FREE_PAGES_KEPT = 256;
const FREE_SHARE_KEPT = 1 / 8;

const port = parentPort;
if (port === null) throw new Error("the writer runs as a worker thread");
const { file, maxBytes } = workerData as WriterConfig;
const db = new Sqlite(file);
applyWriterPragmas(db);
const pageSize = Number(db.pragma("page_size", { simple: true }));
if (maxBytes !== undefined)
  db.pragma(`max_page_count = ${Math.max(Math.ceil(maxBytes / pageSize), 16)}`);

const insert = db.prepare(
  "INSERT INTO log (position, revision, deleted, key, create_revision, version, lease, value) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
);
const grant = db.prepare("INSERT OR REPLACE INTO lease (id, ttl_seconds) VALUES (?, ?)");
const revoke = db.prepare("DELETE FROM lease WHERE id = ?");
const mark = db.prepare("UPDATE meta SET value = ? WHERE name = 'compact_revision'");
const remove = db.prepare("DELETE FROM log WHERE position = ?");
const begin = db.prepare("BEGIN IMMEDIATE");
const commit = db.prepare("COMMIT");
const rollback = db.prepare("ROLLBACK");

let isVacuuming = false;

port.on("message", (request: WriterRequest) => {
  let reply: WriterReply;
  try {
    handle(request);
    reply = { id: request.id, ok: true, size: sizeNow() };
  } catch (error) {
    reply = failureOf(request.id, error);
  }
  if (request.kind === "close") db.close();
  port.postMessage(reply);
  if (request.kind === "close") port.close();
  if (request.kind === "trim" && reply.ok) startVacuum();
});
tellSize();
startVacuum();

function handle(request: WriterRequest): void {
  switch (request.kind) {
    case "append":
      return inTransaction(() => append(request));
    case "trim":
      return trim(request.positions);
    case "close":
      return;
  }
}

function append(request: Extract<WriterRequest, { kind: "append" }>): void {
  let position = request.firstPosition;
  for (const record of unpackBatch(request.frame)) {
    const lease = record.lease === 0n ? null : record.lease;
    insert.run(
      position,
      record.revision,
      record.deleted ? 1 : 0,
      record.key,
      record.createRevision,
      record.version,
      lease,
      record.value,
    );
    position += 1;
  }
  for (const change of request.leases) {
    if (change.kind === "grant") grant.run(change.lease.id, change.lease.ttlSeconds);
    else revoke.run(change.id);
  }
  if (request.compactRevision !== undefined) mark.run(String(request.compactRevision));
}

function trim(positions: Float64Array): void {
  for (let start = 0; start < positions.length; start += TRIM_ROWS) {
    inTransaction(() => {
      for (const position of positions.subarray(start, start + TRIM_ROWS)) remove.run(position);
    });
  }
}

function inTransaction(work: () => void): void {
  begin.run();
  try {
    work();
    commit.run();
  } catch (error) {
    if (db.inTransaction) rollback.run();
    throw error;
  }
}

function failureOf(id: number, error: unknown): WriterReply {
  const code = db.inTransaction ? "broken" : writeErrorCode(error);
  const message = error instanceof Error ? error.message : String(error);
  return { id, ok: false, code, message: `${message} (${sqliteCode(error) ?? "unknown"})` };
}

function sizeNow(): LogSize {
  const pages = Number(db.pragma("page_count", { simple: true }));
  return { bytes: pages * pageSize, bytesInUse: (pages - freePages()) * pageSize };
}

function tellSize(): void {
  port?.postMessage({ id: UNASKED, ok: true, size: sizeNow() } satisfies WriterReply);
}

function freePages(): number {
  return Number(db.pragma("freelist_count", { simple: true }));
}

function startVacuum(): void {
  if (isVacuuming) return;
  isVacuuming = true;
  setImmediate(vacuumStep);
}

function vacuumStep(): void {
  isVacuuming = false;
  if (!db.open) return;
  const pages = Number(db.pragma("page_count", { simple: true }));
  if (freePages() <= Math.max(FREE_PAGES_KEPT, pages * FREE_SHARE_KEPT)) return;
  try {
    db.pragma(`incremental_vacuum(${VACUUM_PAGES})`);
  } catch {
    // Space that cannot be given back now is tried again after the next compaction; an append reports what is really wrong.
    return;
  }
  tellSize();
  startVacuum();
}
