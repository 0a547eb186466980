import {
  etcdErrors,
  type CallOptions,
  type CompactRequest,
  type CompactResponse,
  type DeleteRangeRequest,
  type DeleteRangeResponse,
  type EtcdStore,
  type LeaseGrantRequest,
  type LeaseGrantResponse,
  type LeaseTimeToLiveResponse,
  type PutRequest,
  type PutResponse,
  type RangeRequest,
  type RangeResponse,
  type ResponseHeader,
  type StatusResponse,
  type TxnRequest,
  type TxnResponse,
  type WatchRequest,
  type WatchStream,
} from "@wherry/etcd-api";
import type { Clock, Logger } from "@wherry/service-kit";
import type { Log, LogError } from "../log/log.ts";
import {
  checkDeleteRange,
  checkPut,
  checkRange,
  checkSize,
  checkTxn,
  txnBytes,
  type RequestLimits,
} from "./check-request.ts";
import {
  assertLease,
  draftRange,
  evaluateDeleteRange,
  evaluatePut,
  evaluateRange,
  evaluateTxn,
  needsWholeRange,
  readRevision,
  ValuesMissing,
  type Draft,
  type Evaluation,
} from "./evaluate.ts";
import { GroupCommit } from "./group-commit.ts";
import { Journal } from "./journal.ts";
import { keyBufferOf, keyRangeOf, liveVersionAt, type KeyVersion } from "./key-version.ts";
import { LeaseExpiry } from "./lease-expiry.ts";
import type { Lease } from "./lease-table.ts";
import type { EngineMetrics } from "./engine-metrics.ts";
import { State } from "./state.ts";
import { ValueCache } from "./value-cache.ts";
import { WatchHub } from "./watch-hub.ts";

export interface EngineConfig extends RequestLimits {
  readonly valueCacheBytes: number;
  /** The etcd version that `status` reports. */
  readonly version: string;
  /** How often a watch with `progressNotify` hears that nothing happened. */
  readonly progressIntervalMs: number;
  readonly pendingMaxBytes: number;
}

export interface EngineDeps {
  readonly log: Log;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: EngineMetrics;
  /** The log failed for good; the engine answers "server stopped" from now on. */
  readonly onBroken: (error: LogError) => void;
}

export interface Engine extends EtcdStore {
  readonly revision: number;
  readonly compactRevision: number;
  /** Waits for what is under way, then refuses everything and ends all watches. The log is left to the caller. */
  stop(): Promise<void>;
}

export const engineDefaults: EngineConfig = {
  valueCacheBytes: 32 * 1024 * 1024,
  version: "3.6.11",
  progressIntervalMs: 5_000,
  maxTxnOps: 128,
  maxRequestBytes: 1.5 * 1024 * 1024,
  pendingMaxBytes: 64 * 1024 * 1024,
};

/** etcd's bounds (server/lease/lessor.go; the minimum follows from its default election timeout). */
const LEASE_TTL_MAX_SECONDS = 9_000_000_000;
const LEASE_TTL_MIN_SECONDS = 2;

/** Keys that a list looks at before it lets others run. */
const RANGE_SLICE = 4000;

/** Versions that compaction looks at, and positions that it gives to the log, before it lets others run. */
const PRUNE_SLICE = 1000;

/** An evaluation asks for one compare's values at a time, and may need others when the state changed meanwhile. */
const VALUE_RETRIES = 2 * 128;

/** Reads the log into memory and serves etcd's API over it. */
export async function createEngine(config: EngineConfig, deps: EngineDeps): Promise<Engine> {
  return createEngineOver(await loadState(deps), config, deps);
}

export interface LoadedState {
  readonly state: State;
  readonly clusterId: bigint;
  /** Positions that a compaction meant to remove and did not come to. */
  readonly garbage: readonly number[];
}

export function createEngineOver(
  loaded: LoadedState,
  config: EngineConfig,
  deps: EngineDeps,
): Engine {
  const { log, clock, metrics } = deps;
  const { state, clusterId, garbage } = loaded;
  const cache = new ValueCache(log, config.valueCacheBytes);
  let stopped: unknown;

  const commit = new GroupCommit(
    {
      log,
      pendingMaxBytes: config.pendingMaxBytes,
      revision: () => state.revision,
      onDurable(journal, revision, durationMs) {
        hub.publish(journal.versions);
        for (const version of journal.versions) cache.add(version);
        metrics.committed(journal.versions, durationMs);
        metrics.observe({ state, watches: hub.size, size: log.size() });
        if (journal.compactRevision !== undefined) startPruning(revision);
      },
      onBroken(error) {
        shut(etcdErrors.stopped(error));
        deps.onBroken(error);
      },
    },
    state.revision,
  );
  const hub = new WatchHub({
    state,
    cache,
    clock,
    durableRevision: () => commit.durableRevision,
    progressIntervalMs: config.progressIntervalMs,
  });
  const expiry = new LeaseExpiry({ clock, revoke: expire });
  for (const lease of state.leases.values()) expiry.track(lease);
  metrics.observe({ state, watches: 0, size: log.size() });
  let pruning: Promise<void> = garbage.length === 0 ? Promise.resolve() : trim(garbage);

  const headerAt = (revision: number): ResponseHeader => ({
    clusterId,
    memberId: clusterId,
    revision,
    raftTerm: 1n,
  });

  function shut(error: unknown): void {
    if (stopped !== undefined) return;
    stopped = error;
    expiry.stop();
    hub.fail(error);
  }

  /** Holds an answer back until what it is built on is durable and what it needs is in memory. */
  async function release<Response>(
    draft: Draft<Response>,
    evaluation: Evaluation,
    options: CallOptions | undefined,
  ): Promise<Response> {
    // The reading starts at once: what is read now is safe from a compaction in the same batch.
    const filling = cache.complete(evaluation.captured);
    const durable = commit.settled();
    if (durable !== undefined) await unlessAborted(durable, options?.signal);
    if (filling !== undefined) await unlessAborted(filling, options?.signal);
    return draft.build();
  }

  async function run<Response>(
    evaluate: (evaluation: Evaluation) => Draft<Response>,
    options: CallOptions | undefined,
    kind: "read" | "write",
  ): Promise<Response> {
    assertOpen(options);
    const read: ValuesMissing[] = [];
    for (let attempt = 0; ; attempt += 1) {
      const evaluation = newEvaluation(kind === "write" ? commit.journal() : undefined);
      const outcome = attemptTo(evaluate, evaluation, pin(read));
      if (!(outcome instanceof ValuesMissing)) return release(outcome, evaluation, options);
      if (attempt === VALUE_RETRIES) throw etcdErrors.tooManyRequests(outcome);
      await cache.complete([outcome.captured]);
      assertOpen(options);
      read.push(outcome);
    }
  }

  /** Leaves nothing behind when it does not succeed. */
  function attemptTo<Response>(
    evaluate: (evaluation: Evaluation) => Draft<Response>,
    evaluation: Evaluation,
    pinned: readonly KeyVersion[],
  ): Draft<Response> | ValuesMissing {
    const mark = evaluation.journal.mark;
    try {
      return evaluate(evaluation);
    } catch (error) {
      evaluation.journal.undoTo(mark);
      if (error instanceof ValuesMissing) return error;
      throw error;
    } finally {
      for (const version of pinned) version.kv = undefined;
    }
  }

  function newEvaluation(journal = READ_ONLY): Evaluation {
    return { state, journal, cache, header: innerHeaderAt, written: undefined, captured: [] };
  }

  function assertOpen(options: CallOptions | undefined): void {
    if (stopped !== undefined) throw stopped;
    options?.signal?.throwIfAborted();
  }

  async function range(request: RangeRequest, options?: CallOptions): Promise<RangeResponse> {
    metrics.operation("range");
    assertOpen(options);
    checkRange(request);
    const keyRange = keyRangeOf(request.key, request.rangeEnd);
    const isLong =
      keyRange.kind === "span" && request.countOnly !== true && longestScan(request) > RANGE_SLICE;
    if (isLong && state.index.countLive(keyRange.from, keyRange.to) > RANGE_SLICE)
      return rangeInSlices(request, keyRange, options);
    const response = await run((evaluation) => evaluateRange(evaluation, request), options, "read");
    return withHeader(response);
  }

  /** A long list at one revision, a slice at a time. Compaction waits for it. */
  async function rangeInSlices(
    request: RangeRequest,
    keyRange: Extract<ReturnType<typeof keyRangeOf>, { kind: "span" }>,
    options: CallOptions | undefined,
  ): Promise<RangeResponse> {
    const evaluation = newEvaluation();
    const revision = readRevision(state, request.revision);
    const header = headerAt(state.revision);
    const count = state.countAt(keyRange, revision);
    const durable = commit.settled();
    const reading = (async () => {
      const versions = await scanInSlices(keyRange, revision, longestScan(request));
      const draft = draftRange(evaluation, request, { header, versions, count });
      await cache.complete(evaluation.captured);
      return draft;
    })();
    cache.guard(reading);
    if (durable !== undefined) await unlessAborted(durable, options?.signal);
    return (await unlessAborted(reading, options?.signal)).build();
  }

  async function scanInSlices(
    range: Extract<ReturnType<typeof keyRangeOf>, { kind: "span" }>,
    revision: number,
    limit: number,
  ): Promise<readonly KeyVersion[]> {
    const versions: KeyVersion[] = [];
    for (let from: string | undefined = range.from; ;) {
      from = scanSlice(from, range.to, revision, limit, versions);
      if (from === undefined || versions.length >= limit) return versions;
      await new Promise(setImmediate);
    }
  }

  /** Gives the key to go on from; undefined at the end. */
  function scanSlice(
    from: string,
    to: string | undefined,
    revision: number,
    limit: number,
    versions: KeyVersion[],
  ): string | undefined {
    let looked = 0;
    let next: string | undefined;
    state.index.scan(from, to, (entry) => {
      if (looked === RANGE_SLICE) {
        next = entry.key;
        return false;
      }
      looked += 1;
      const version = liveVersionAt(entry, revision);
      if (version !== undefined) versions.push(version);
      return versions.length < limit;
    });
    return next;
  }

  async function put(request: PutRequest, options?: CallOptions): Promise<PutResponse> {
    metrics.operation("put");
    checkPut(request);
    checkSize(request.key.length + request.value.length, config);
    const response = await run(
      (evaluation) => {
        assertLease(state, request.lease);
        return evaluatePut(evaluation, request);
      },
      options,
      "write",
    );
    return withHeader(response);
  }

  async function deleteRange(
    request: DeleteRangeRequest,
    options?: CallOptions,
  ): Promise<DeleteRangeResponse> {
    metrics.operation("delete");
    checkDeleteRange(request);
    return withHeader(
      await run((evaluation) => evaluateDeleteRange(evaluation, request), options, "write"),
    );
  }

  async function txn(request: TxnRequest, options?: CallOptions): Promise<TxnResponse> {
    metrics.operation("txn");
    checkTxn(request, config);
    checkSize(txnBytes(request), config);
    return withHeader(
      await run((evaluation) => evaluateTxn(evaluation, request), options, "write"),
    );
  }

  async function compact(
    { revision, physical }: CompactRequest,
    options?: CallOptions,
  ): Promise<CompactResponse> {
    assertOpen(options);
    if (revision <= state.compactRevision) throw etcdErrors.compacted();
    if (revision > state.revision) throw etcdErrors.futureRevision();
    const journal = commit.journal();
    state.compact(journal, revision);
    const header = headerAt(state.revision);
    await unlessAborted(journal.settled.promise, options?.signal);
    if (physical === true) await unlessAborted(pruning, options?.signal);
    return { header };
  }

  function startPruning(durableRevision: number): void {
    const target = Math.min(state.compactRevision, durableRevision);
    pruning = pruning.then(() => prune(target));
  }

  async function prune(target: number): Promise<void> {
    const beganMs = performance.now();
    // Lists that began at older revisions look at these versions slice by slice.
    await cache.quiesce();
    let removed = 0;
    const { history } = state;
    for (let from = 0; from < history.indexOf(target + 1); from += PRUNE_SLICE) {
      const positions = state.prune(
        target,
        from,
        Math.min(from + PRUNE_SLICE, history.indexOf(target + 1)),
      );
      removed += positions.length;
      hub.forgetShared();
      // Whoever found these versions before they were cut off is still reading their values.
      await cache.quiesce();
      await trim(positions);
      await new Promise(setImmediate);
    }
    history.dropBefore(target);
    const durationMs = Math.round(performance.now() - beganMs);
    metrics.observe({ state, watches: hub.size, size: log.size() });
    deps.logger.info({ compactRevision: target, removed, durationMs }, "compacted");
  }

  /** Records that could not be removed are found again at the next start. */
  async function trim(positions: readonly number[]): Promise<void> {
    if (positions.length === 0) return;
    try {
      await log.trim(positions);
    } catch (err) {
      deps.logger.warn(
        { err, records: positions.length },
        "compacted records stay in the log until the next start",
      );
    }
  }

  function expire(lease: Lease): boolean {
    if (state.leases.get(lease.id) !== lease) return true;
    try {
      state.revoke(commit.journal(), lease);
    } catch (err) {
      deps.logger.warn({ err, lease: String(lease.id) }, "lease could not be revoked");
      return false;
    }
    // When the log does not accept the revocation, the lease is back and must expire again.
    commit.settled()?.catch(() => expiry.track(lease));
    return true;
  }

  async function leaseGrant(
    request: LeaseGrantRequest,
    options?: CallOptions,
  ): Promise<LeaseGrantResponse> {
    assertOpen(options);
    if (request.ttl > LEASE_TTL_MAX_SECONDS) throw etcdErrors.leaseTtlTooLarge();
    const wanted = request.id ?? 0n;
    if (wanted !== 0n && state.leases.has(wanted)) throw etcdErrors.leaseExists();
    const id = wanted === 0n ? freeLeaseId(state) : wanted;
    const ttlSeconds = Math.max(request.ttl, LEASE_TTL_MIN_SECONDS);
    const lease: Lease = {
      id,
      ttlSeconds,
      expiresMs: clock.monotonic() + ttlSeconds * 1000,
      keys: new Set(),
    };
    const journal = commit.journal();
    state.grant(journal, lease);
    const header = headerAt(state.revision);
    await unlessAborted(journal.settled.promise, options?.signal);
    expiry.track(lease);
    return { header, id, ttl: ttlSeconds };
  }

  async function leaseRevoke(
    id: bigint,
    options?: CallOptions,
  ): Promise<{ readonly header: ResponseHeader }> {
    assertOpen(options);
    const lease = state.leases.get(id);
    if (lease === undefined) throw etcdErrors.leaseNotFound();
    const journal = commit.journal();
    state.revoke(journal, lease);
    const header = headerAt(state.revision);
    await unlessAborted(journal.settled.promise, options?.signal);
    return { header };
  }

  async function leaseKeepAlive(id: bigint, options?: CallOptions): Promise<LeaseGrantResponse> {
    assertOpen(options);
    const header = headerAt(state.revision);
    const lease = state.leases.get(id);
    await commit.settled();
    if (lease === undefined) return { header, id, ttl: 0 };
    lease.expiresMs = clock.monotonic() + lease.ttlSeconds * 1000;
    return { header, id, ttl: lease.ttlSeconds };
  }

  async function leaseTimeToLive(
    id: bigint,
    withKeys: boolean,
    options?: CallOptions,
  ): Promise<LeaseTimeToLiveResponse> {
    assertOpen(options);
    const header = headerAt(state.revision);
    const lease = state.leases.get(id);
    const keys = withKeys && lease !== undefined ? [...lease.keys].map(keyBufferOf) : [];
    await commit.settled();
    if (lease === undefined) return { header, id, ttl: -1, grantedTtl: 0, keys };
    const leftMs = Math.max(lease.expiresMs - clock.monotonic(), 0);
    return { header, id, ttl: Math.floor(leftMs / 1000), grantedTtl: lease.ttlSeconds, keys };
  }

  function withHeader<Response extends { readonly header: ResponseHeader }>(
    response: Response,
  ): Response {
    return { ...response, header: headerAt(response.header.revision) };
  }

  return {
    range,
    put,
    deleteRange,
    txn,
    compact,
    leaseGrant,
    leaseRevoke,
    leaseKeepAlive,
    leaseTimeToLive,
    watch(request: WatchRequest, options?: CallOptions): WatchStream {
      const signal = options?.signal;
      const onAbort = (): void => stream.cancel();
      const stream = hub.watch(request, () => signal?.removeEventListener("abort", onAbort));
      signal?.addEventListener("abort", onAbort, { once: true });
      if (signal?.aborted === true) stream.cancel();
      return stream;
    },
    async leases(options) {
      assertOpen(options);
      const answer = {
        header: headerAt(state.revision),
        ids: [...state.leases.values()].map((lease) => lease.id),
      };
      await commit.settled();
      return answer;
    },
    async status(options): Promise<StatusResponse> {
      assertOpen(options);
      const { bytes, bytesInUse } = log.size();
      const revision = commit.durableRevision;
      return {
        header: headerAt(revision),
        version: config.version,
        dbSize: bytes,
        dbSizeInUse: bytesInUse,
        leader: clusterId,
        raftIndex: BigInt(revision),
        raftTerm: 1n,
      };
    },
    get revision() {
      return commit.durableRevision;
    },
    get compactRevision() {
      return state.compactRevision;
    },
    async stop() {
      const error = etcdErrors.stopped();
      stopped ??= error;
      expiry.stop();
      await commit.drain();
      await pruning;
      hub.fail(error);
    },
  };
}

/** Reads evaluate without a journal; nothing is ever written to this one. */
const READ_ONLY = new Journal();

/** Answers inside a transaction carry a revision only. */
const innerHeaderAt = (revision: number): ResponseHeader => ({
  clusterId: 0n,
  memberId: 0n,
  revision,
  raftTerm: 0n,
});

async function loadState({ log, clock, logger }: EngineDeps): Promise<LoadedState> {
  const beganMs = performance.now();
  const state = new State();
  const loaded = await log.load();
  state.revision = loaded.revision;
  state.compactRevision = loaded.compactRevision;
  for (const lease of loaded.leases)
    state.loadLease(lease, clock.monotonic() + lease.ttlSeconds * 1000);
  const garbage: number[] = [];
  for await (const records of log.tail(0)) {
    for (const record of records) state.loadRecord(record, garbage);
  }
  const durationMs = Math.round(performance.now() - beganMs);
  const { revision, compactRevision } = state;
  logger.info({ revision, compactRevision, keys: state.index.liveCount, durationMs }, "log loaded");
  return { state, garbage, clusterId: loaded.clusterId };
}

function longestScan(request: RangeRequest): number {
  return needsWholeRange(request) ? Number.POSITIVE_INFINITY : (request.limit ?? 0) + 1;
}

/** Own ids stay below 2^52, so that they are exact as numbers too. */
function freeLeaseId(state: State): bigint {
  for (;;) {
    const id = BigInt(Math.floor(Math.random() * (2 ** 52 - 1)) + 1);
    if (!state.leases.has(id)) return id;
  }
}

/** Puts values that were just read in reach of one evaluation, whatever the cache's bound. Gives those to take back. */
function pin(read: readonly ValuesMissing[]): readonly KeyVersion[] {
  const pinned: KeyVersion[] = [];
  for (const { captured } of read) {
    for (const [index, version] of captured.versions.entries()) {
      if (version.kv !== undefined) continue;
      version.kv = captured.kvs[index];
      pinned.push(version);
    }
  }
  return pinned;
}

async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
