import { open } from "node:fs/promises";
import { Worker } from "node:worker_threads";
import { createDeferred, invariant, workerFile, type Deferred } from "@wherry/service-kit";
import { packBatch } from "./batch-frame.ts";
import {
  LogError,
  type KeptRecord,
  type Log,
  type LogBatch,
  type LogSize,
  type LogState,
  type StoredLease,
} from "./log.ts";
import { openError } from "./sqlite-error.ts";
import { prepareSchema, type Database } from "./sqlite-schema.ts";
import type { WriterConfig, WriterReply, WriterRequest } from "./sqlite-writer.ts";

export interface SqliteLogConfig {
  readonly file: string;
  /** Writes that would make the file larger fail with `full`. Undefined = as large as the disk allows. */
  readonly maxBytes?: number;
}

const LOAD_CHUNK = 2000;

/** The id of what the worker tells unasked, first that it is ready. Its file is not imported here, since importing it would start it. */
const UNASKED = 0;

type Unnumbered<Request> = Request extends unknown ? Omit<Request, "id"> : never;

/**
 * A log in an SQLite file. This thread reads (rows by position, mostly from the page cache); the worker writes. A second file,
 * `FILE.lock`, is locked as long as the log is open, so that two processes never write one database.
 */
export function createSqliteLog(config: SqliteLogConfig): Log {
  const { file } = config;
  const waiting = new Map<number, Deferred<LogSize>>();
  let opened: Opened | undefined;
  let failure: LogError | undefined;
  let nextId = UNASKED + 1;
  let lastPosition = 0;
  let size: LogSize = { bytes: 0, bytesInUse: 0 };

  async function load(): Promise<LogState> {
    invariant(opened === undefined, "a log is loaded once");
    try {
      const { default: Sqlite } = await import("better-sqlite3");
      await createPrivate(file);
      await createPrivate(`${file}.lock`);
      const lock = lockFile(new Sqlite(`${file}.lock`, { timeout: 0 }));
      try {
        const db = new Sqlite(file);
        prepareSchema(db, file);
        opened = {
          db,
          lock,
          worker: await startWriter(),
          read: db.prepare("SELECT value FROM log WHERE position = ?").pluck(),
        };
      } catch (error) {
        lock.close();
        throw error;
      }
    } catch (error) {
      throw openError(file, error);
    }
    return readState(opened.db);
  }

  function readState(db: Database): LogState {
    const meta = new Map(
      db.prepare("SELECT name, value FROM meta").raw().all() as [string, string][],
    );
    const last = db
      .prepare("SELECT position, revision FROM log ORDER BY position DESC LIMIT 1")
      .raw()
      .get() as [number, number] | undefined;
    const leases = db.prepare("SELECT id, ttl_seconds FROM lease").safeIntegers().raw().all() as [
      bigint,
      bigint,
    ][];
    const compactRevision = Number(meta.get("compact_revision"));
    lastPosition = last?.[0] ?? 0;
    const pageSize = Number(db.pragma("page_size", { simple: true }));
    const pages = Number(db.pragma("page_count", { simple: true }));
    const free = Number(db.pragma("freelist_count", { simple: true }));
    size = { bytes: pages * pageSize, bytesInUse: (pages - free) * pageSize };
    return {
      revision: Math.max(last?.[1] ?? 1, compactRevision, 1),
      compactRevision,
      clusterId: BigInt(meta.get("cluster_id") ?? "1"),
      leases: leases.map(([id, ttl]): StoredLease => ({ id, ttlSeconds: Number(ttl) })),
    };
  }

  async function startWriter(): Promise<Worker> {
    const workerData: WriterConfig = { file, maxBytes: config.maxBytes };
    const worker = new Worker(workerFile(import.meta.url, "sqlite-writer"), {
      workerData,
      name: "datastore-writer",
    });
    const ready = createDeferred<LogSize>();
    waiting.set(UNASKED, ready);
    worker.on("message", onReply);
    worker.on("error", (error) => {
      fail(
        new LogError("broken", `${file}: the writer ended: ${(error as Error).message}`, {
          cause: error,
        }),
      );
    });
    worker.on("exit", () => fail(new LogError("broken", `${file}: the log is closed`)));
    await ready.promise;
    // The process ends when its work does, not when its logs are closed.
    worker.unref();
    return worker;
  }

  function onReply(reply: WriterReply): void {
    const deferred = waiting.get(reply.id);
    waiting.delete(reply.id);
    if (waiting.size === 0) opened?.worker.unref();
    if (reply.ok) {
      size = reply.size;
      deferred?.resolve(reply.size);
      return;
    }
    const error = new LogError(reply.code, `${file}: ${reply.message}`);
    if (reply.code === "broken") failure ??= error;
    deferred?.reject(error);
  }

  function fail(error: LogError): void {
    failure ??= error;
    for (const deferred of waiting.values()) deferred.reject(failure);
    waiting.clear();
  }

  function request(
    message: Unnumbered<WriterRequest>,
    transfer: readonly ArrayBuffer[] = [],
  ): Promise<LogSize> {
    invariant(opened !== undefined, "the log is loaded before it is used");
    if (failure !== undefined) return Promise.reject(failure);
    const id = nextId++;
    const deferred = createDeferred<LogSize>();
    waiting.set(id, deferred);
    opened.worker.ref();
    opened.worker.postMessage({ ...message, id }, transfer);
    return deferred.promise;
  }

  return {
    load,
    async *tail(position) {
      invariant(opened !== undefined, "the log is loaded before it is used");
      const select = opened.db.prepare(TAIL).raw();
      for (let after = position; ;) {
        const rows = select.all(after, LOAD_CHUNK) as TailRow[];
        if (rows.length === 0) return;
        yield rows.map(recordOf);
        after = (rows.at(-1) as TailRow)[0];
        if (rows.length < LOAD_CHUNK) return;
      }
    },
    async append(batch: LogBatch) {
      const frame = packBatch(batch.records);
      const firstPosition = lastPosition + 1;
      const { leases, compactRevision } = batch;
      await request({ kind: "append", frame, firstPosition, leases, compactRevision }, [frame]);
      lastPosition += batch.records.length;
      return firstPosition;
    },
    async read(positions) {
      invariant(opened !== undefined, "the log is loaded before it is used");
      const { read } = opened;
      return positions.map((position) => {
        const value = read.get(position) as Buffer | undefined;
        if (value === undefined)
          throw new LogError("broken", `${file}: position ${position} is missing`);
        return value;
      });
    },
    async trim(positions) {
      const list = Float64Array.from(positions);
      await request({ kind: "trim", positions: list }, [list.buffer]);
    },
    size: () => size,
    async close() {
      if (opened === undefined) return;
      const { worker, db, lock } = opened;
      if (failure === undefined) {
        const exited = new Promise((resolve) => worker.once("exit", resolve));
        await request({ kind: "close" });
        worker.ref();
        await exited;
      } else {
        await worker.terminate();
      }
      db.close();
      lock.close();
    },
  };
}

interface Opened {
  readonly db: Database;
  readonly lock: Database;
  readonly worker: Worker;
  readonly read: ReturnType<Database["prepare"]>;
}

type TailRow = [number, number, number, Buffer, number, number, string | null, number];

/** Leases use all 63 bits, which a JavaScript number does not hold; they come as text. */
const TAIL = `
  SELECT position, revision, deleted, key, create_revision, version, CAST(lease AS TEXT), length(value)
  FROM log WHERE position > ? ORDER BY position LIMIT ?`;

function recordOf([
  position,
  revision,
  deleted,
  key,
  createRevision,
  version,
  lease,
  valueLength,
]: TailRow): KeptRecord {
  return {
    position,
    revision,
    deleted: deleted === 1,
    key: key.toString("latin1"),
    createRevision,
    version,
    lease: lease === null ? 0n : BigInt(lease),
    valueLength,
  };
}

/** SQLite makes files that everybody can read; what it finds empty it takes as it is, and its own side files like it. */
async function createPrivate(file: string): Promise<void> {
  const handle = await open(file, "a", 0o600);
  await handle.close();
}

/** An empty database held in an exclusive transaction: the operating system gives the lock up when the process dies. */
function lockFile(lock: Database): Database {
  try {
    lock.exec("BEGIN EXCLUSIVE");
    return lock;
  } catch (error) {
    lock.close();
    throw error;
  }
}
