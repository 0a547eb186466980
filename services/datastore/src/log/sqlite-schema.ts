import { randomBytes } from "node:crypto";
import type BetterSqlite3 from "better-sqlite3";
import { LogError } from "./log.ts";

export type Database = BetterSqlite3.Database;

/** "whry": tells our files from other SQLite databases. */
const APPLICATION_ID = 0x77687279;
const SCHEMA_VERSION = 1;

/**
 * `log` holds versions of keys in order of position, which is the order of their revisions. `lease` is NULL for most rows.
 * Current state is not stored: it is what the log says when it is read from the beginning.
 */
const SCHEMA = `
  CREATE TABLE log (
    position INTEGER PRIMARY KEY,
    revision INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    key BLOB NOT NULL,
    create_revision INTEGER NOT NULL,
    version INTEGER NOT NULL,
    lease INTEGER,
    value BLOB NOT NULL
  );
  CREATE TABLE lease (id INTEGER PRIMARY KEY, ttl_seconds INTEGER NOT NULL);
  CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
`;

/** The log's file grows to this many pages before a commit copies them into the database. */
const CHECKPOINT_PAGES = 4000;
const WAL_KEPT_BYTES = 64 * 1024 * 1024;

/** How a connection that writes must be set up. better-sqlite3's own default for `synchronous` is not durable in WAL mode. */
export function applyWriterPragmas(db: Database): void {
  db.pragma("journal_mode = WAL");
  db.pragma("synchronous = FULL");
  db.pragma(`wal_autocheckpoint = ${CHECKPOINT_PAGES}`);
  db.pragma(`journal_size_limit = ${WAL_KEPT_BYTES}`);
}

/** Makes the tables of a new database; refuses one that is not ours. */
export function prepareSchema(db: Database, file: string): void {
  const tables = db
    .prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")
    .pluck()
    .all() as string[];
  const applicationId = db.pragma("application_id", { simple: true });
  if (tables.length > 0 && applicationId !== APPLICATION_ID) {
    throw new LogError(
      "unusable",
      `${file}: the database holds something else (tables ${tables.slice(0, 5).join(", ")}); name another file`,
    );
  }
  if (tables.length === 0) {
    db.pragma("auto_vacuum = INCREMENTAL");
    applyWriterPragmas(db);
    createTables(db);
    return;
  }
  const version = db.pragma("user_version", { simple: true });
  if (version !== SCHEMA_VERSION) {
    throw new LogError(
      "unusable",
      `${file}: the database has format ${version}, this program knows ${SCHEMA_VERSION}; use the program that wrote it`,
    );
  }
  applyWriterPragmas(db);
}

function createTables(db: Database): void {
  const clusterId = randomBytes(8).readBigUInt64BE() >> 1n;
  db.transaction(() => {
    db.exec(SCHEMA);
    const insert = db.prepare("INSERT INTO meta (name, value) VALUES (?, ?)");
    insert.run("cluster_id", String(clusterId));
    insert.run("compact_revision", "0");
    db.pragma(`application_id = ${APPLICATION_ID}`);
    db.pragma(`user_version = ${SCHEMA_VERSION}`);
  })();
}
