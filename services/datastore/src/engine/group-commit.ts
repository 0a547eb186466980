import { etcdErrors, EtcdError } from "@wherry/etcd-api";
import { LogError, type Log, type LogBatch } from "../log/log.ts";
import { Journal } from "./journal.ts";
import type { KeyVersion } from "./key-version.ts";

export interface GroupCommitDeps {
  readonly log: Log;
  /** The state's revision, after what is in the journal. */
  readonly revision: () => number;
  /** The batch is durable. Called before anyone who waits for it goes on. */
  readonly onDurable: (journal: Journal, revision: number, durationMs: number) => void;
  /** The log can no longer be trusted. Called once. */
  readonly onBroken: (error: LogError) => void;
  /** Bytes that may wait for the log; writes beyond are refused with "too many requests". */
  readonly pendingMaxBytes: number;
}

/**
 * Writes to the log what was done to the state, one batch at a time. While one batch is being written the next one
 * gathers, so that all writers of that time share a transaction and an fsync.
 *
 * 1. At most one append is under way.
 * 2. Nothing that was evaluated on top of a batch is released before that batch is durable.
 * 3. When an append fails, everything since the last durable state is undone, newest first, and every waiting request fails.
 */
export class GroupCommit {
  readonly #deps: GroupCommitDeps;
  #forming = new Journal();
  #writing: Journal | undefined;
  #scheduled = false;
  #broken: EtcdError | undefined;
  #durableRevision: number;

  constructor(deps: GroupCommitDeps, durableRevision: number) {
    this.#deps = deps;
    this.#durableRevision = durableRevision;
  }

  get durableRevision(): number {
    return this.#durableRevision;
  }

  /** Takes what a request changes. The request waits for `settled` before it answers. */
  journal(): Journal {
    if (this.#broken !== undefined) throw this.#broken;
    if (this.#forming.bytes > this.#deps.pendingMaxBytes) throw etcdErrors.tooManyRequests();
    if (this.#forming.isEmpty) this.#schedule();
    return this.#forming;
  }

  /** Settles when all that is in the state now is durable; undefined when it is already. */
  settled(): Promise<void> | undefined {
    if (!this.#forming.isEmpty) return this.#forming.settled.promise;
    return this.#writing?.settled.promise;
  }

  /** Waits for the log to have everything, whatever comes of it. */
  async drain(): Promise<void> {
    for (let waiting = this.settled(); waiting !== undefined; waiting = this.settled()) {
      await waiting.catch(() => {});
    }
  }

  /** An immediate later than the last answers, so that their callers' next writes come along. */
  #schedule(): void {
    if (this.#scheduled || this.#writing !== undefined) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      void this.#write();
    });
  }

  async #write(): Promise<void> {
    if (this.#writing !== undefined || this.#forming.isEmpty || this.#broken !== undefined) return;
    const journal = this.#forming;
    this.#writing = journal;
    this.#forming = new Journal();
    const revision = this.#deps.revision();
    const beganMs = performance.now();
    try {
      const position = await this.#deps.log.append(batchOf(journal, revision));
      for (const [index, version] of journal.versions.entries())
        version.position = position + index;
      journal.seal();
      this.#durableRevision = revision;
      this.#writing = undefined;
      this.#deps.onDurable(journal, revision, performance.now() - beganMs);
      journal.settled.resolve();
    } catch (error) {
      this.#fail(journal, error);
    }
    if (!this.#forming.isEmpty) this.#schedule();
  }

  #fail(journal: Journal, error: unknown): void {
    const onTop = this.#forming;
    this.#forming = new Journal();
    this.#writing = undefined;
    onTop.undoTo(0);
    journal.undoTo(0);
    const answer = answerTo(error);
    const isBroken =
      !(error instanceof LogError) || error.code === "broken" || error.code === "unusable";
    if (isBroken) this.#broken = answer;
    journal.settled.reject(answer);
    onTop.settled.reject(answer);
    if (isBroken)
      this.#deps.onBroken(
        error instanceof LogError
          ? error
          : new LogError("broken", "the log failed in an unforeseen way", { cause: error }),
      );
  }
}

function batchOf(journal: Journal, revision: number): LogBatch {
  const records = journal.versions.map((version: KeyVersion) => ({
    revision: version.revision,
    deleted: version.deleted,
    key: version.entry.key,
    createRevision: version.createRevision,
    version: version.version,
    lease: version.lease,
    value: version.kv?.value ?? EMPTY_VALUE,
  }));
  const batch = { records, leases: journal.leases, revision };
  return journal.compactRevision === undefined
    ? batch
    : { ...batch, compactRevision: journal.compactRevision };
}

const EMPTY_VALUE = Buffer.alloc(0);

function answerTo(error: unknown): EtcdError {
  if (error instanceof LogError && error.code === "full") return etcdErrors.noSpace(error);
  if (error instanceof LogError && error.code === "rejected") {
    return new EtcdError(
      "unavailable",
      `etcdserver: the write was not accepted by the log: ${error.message}`,
      { cause: error },
    );
  }
  return etcdErrors.stopped(error);
}
