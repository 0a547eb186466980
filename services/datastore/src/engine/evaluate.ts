import {
  etcdErrors,
  type Compare,
  type DeleteRangeRequest,
  type DeleteRangeResponse,
  type KeyValue,
  type PutRequest,
  type PutResponse,
  type RangeRequest,
  type RangeResponse,
  type RequestOp,
  type ResponseHeader,
  type ResponseOp,
  type TxnRequest,
  type TxnResponse,
} from "@wherry/etcd-api";
import { InvariantError } from "@wherry/service-kit";
import type { Journal } from "./journal.ts";
import {
  EMPTY,
  keyRangeOf,
  keyTextOf,
  keyValueOf,
  liveVersionAt,
  NO_LEASE,
  rangeContains,
  type KeyRange,
  type KeyVersion,
} from "./key-version.ts";
import type { State } from "./state.ts";
import type { Captured, ValueCache } from "./value-cache.ts";

/**
 * Requests against the state at its tip. An evaluation is synchronous: it changes the state, notes which values its answer
 * needs and gives a draft, from which the answer is built when those values are there.
 */
export interface Draft<Response> {
  build(): Response;
}

export interface Evaluation {
  readonly state: State;
  readonly journal: Journal;
  readonly cache: ValueCache;
  readonly header: (revision: number) => ResponseHeader;
  /** The revision that this request writes, once it has written. */
  written: number | undefined;
  /** What the answer needs. */
  readonly captured: Captured[];
}

/** Thrown before anything is changed: the evaluation needs values that are not in memory. Fill them in and start again. */
export class ValuesMissing extends Error {
  readonly captured: Captured;

  constructor(captured: Captured) {
    super("values are not in memory");
    this.captured = captured;
  }
}

export function evaluateRange(on: Evaluation, request: RangeRequest): Draft<RangeResponse> {
  const { state } = on;
  const revision = readRevision(state, request.revision);
  const header = on.header(state.revision);
  const range = keyRangeOf(request.key, request.rangeEnd);
  const count = state.countAt(range, revision);
  if (request.countOnly === true) {
    const response = { header, kvs: [], more: false, count };
    return { build: () => response };
  }
  const scanLimit = needsWholeRange(request) ? undefined : (request.limit ?? 0) + 1;
  const found = versionsIn(state, range, revision, scanLimit);
  return draftRange(on, request, { header, versions: found, count });
}

export interface RangeFinding {
  readonly header: ResponseHeader;
  readonly versions: readonly KeyVersion[];
  readonly count: number;
}

/** Filters, sorts and cuts as etcd does: sorting and filtering come before the limit, but `count` ignores them all. */
export function draftRange(
  on: Evaluation,
  request: RangeRequest,
  finding: RangeFinding,
): Draft<RangeResponse> {
  const { header, count } = finding;
  const filtered = isFiltering(request)
    ? finding.versions.filter((version) => passesFilters(version, request))
    : finding.versions;
  const order = sortOrderOf(request);
  const limit = request.limit ?? 0;
  const more = limit > 0 && filtered.length > limit;
  const cut = <T>(items: readonly T[]): readonly T[] => (more ? items.slice(0, limit) : items);
  const strip = (kvs: readonly KeyValue[]): readonly KeyValue[] =>
    kvs.map((kv) => ({ ...kv, value: EMPTY }));

  if (request.sortTarget === "value" && order !== "none") {
    const captured = capture(on, filtered);
    return {
      build() {
        const sign = order === "descend" ? -1 : 1;
        const kvs = cut(
          [...(captured.kvs as KeyValue[])].sort((a, b) => sign * Buffer.compare(a.value, b.value)),
        );
        return { header, kvs: request.keysOnly === true ? strip(kvs) : kvs, more, count };
      },
    };
  }
  const versions = cut(
    order === "none" ? filtered : sortVersions(filtered, request.sortTarget ?? "key", order),
  );
  if (request.keysOnly === true) {
    return {
      build: () => ({
        header,
        kvs: versions.map((version) => keyValueOf(version, EMPTY)),
        more,
        count,
      }),
    };
  }
  const captured = capture(on, versions);
  return { build: () => ({ header, kvs: captured.kvs as KeyValue[], more, count }) };
}

export function evaluatePut(on: Evaluation, request: PutRequest): Draft<PutResponse> {
  const before = on.state.index.get(keyTextOf(request.key));
  const previous = before?.live === true ? before.newest : undefined;
  let value = request.value;
  let lease = request.lease ?? NO_LEASE;
  if (request.ignoreValue === true || request.ignoreLease === true) {
    if (previous === undefined) throw etcdErrors.keyNotFound();
    if (request.ignoreLease === true) lease = previous.lease;
    if (request.ignoreValue === true) value = valueNow(on, previous);
  }
  const previousKv =
    request.prevKv === true && previous !== undefined ? capture(on, [previous]) : undefined;
  const revision = writeRevision(on);
  on.state.put(on.journal, revision, request.key, value, lease);
  const header = on.header(revision);
  return {
    build() {
      const prevKv = previousKv?.kvs[0];
      return prevKv === undefined ? { header } : { header, prevKv };
    },
  };
}

export function evaluateDeleteRange(
  on: Evaluation,
  request: DeleteRangeRequest,
): Draft<DeleteRangeResponse> {
  const entries = on.state.liveEntries(keyRangeOf(request.key, request.rangeEnd));
  const previous =
    request.prevKv === true
      ? capture(
          on,
          entries.map((entry) => entry.newest),
        )
      : undefined;
  if (entries.length > 0) {
    const revision = writeRevision(on);
    for (const entry of entries) on.state.delete(on.journal, revision, entry);
  }
  const header = on.header(on.state.revision);
  return {
    build: () => ({
      header,
      deleted: entries.length,
      prevKvs: (previous?.kvs ?? []) as KeyValue[],
    }),
  };
}

export function evaluateTxn(on: Evaluation, request: TxnRequest): Draft<TxnResponse> {
  const path = choosePath(on, request);
  checkPuts(on, path, []);
  checkRanges(on.state, path);
  const draft = runPath(on, path);
  return { build: () => ({ ...draft.build(), header: on.header(draft.revision) }) };
}

/** Whether the lease of a plain put exists; etcd looks at it before the key. */
export function assertLease(state: State, lease: bigint | undefined): void {
  if (lease !== undefined && lease !== NO_LEASE && !state.leases.has(lease))
    throw etcdErrors.leaseNotFound();
}

export function readRevision(state: State, wanted: number | undefined): number {
  const revision = wanted ?? 0;
  if (revision > state.revision) throw etcdErrors.futureRevision();
  if (revision <= 0) return state.revision;
  if (revision < state.compactRevision) throw etcdErrors.compacted();
  return revision;
}

/** True when a limit cannot end the scan early. */
export function needsWholeRange(request: RangeRequest): boolean {
  return (
    (request.limit ?? 0) === 0 || isFiltering(request) || (request.sortOrder ?? "none") !== "none"
  );
}

/** Which branch each transaction takes; all compares see the state before any write of the request. */
interface Path {
  readonly succeeded: boolean;
  readonly steps: readonly Step[];
}

type Step = { readonly op: Exclude<RequestOp, { kind: "txn" }> } | { readonly nested: Path };

function choosePath(on: Evaluation, request: TxnRequest): Path {
  const succeeded = request.compare.every((compare) => holds(on, compare));
  const ops = succeeded ? request.success : request.failure;
  return {
    succeeded,
    steps: ops.map((op) => (op.kind === "txn" ? { nested: choosePath(on, op.request) } : { op })),
  };
}

function holds(on: Evaluation, compare: Compare): boolean {
  const versions = versionsIn(
    on.state,
    keyRangeOf(compare.key, compare.rangeEnd),
    on.state.revision,
    undefined,
  );
  if (versions.length === 0) return compare.target !== "value" && matches(compare, 0);
  if (compare.target !== "value")
    return versions.every((version) => matches(compare, numberFor(compare.target, version)));
  const captured = on.cache.capture(versions);
  if (captured.missing > 0) throw new ValuesMissing(captured);
  return captured.kvs.every((kv) =>
    isResult(compare, Buffer.compare((kv as KeyValue).value, compare.operand)),
  );
}

function numberFor(
  target: "version" | "create" | "mod" | "lease",
  version: KeyVersion,
): number | bigint {
  switch (target) {
    case "version":
      return version.version;
    case "create":
      return version.createRevision;
    case "mod":
      return version.revision;
    case "lease":
      return version.lease;
  }
}

function matches(compare: Compare, actual: number | bigint): boolean {
  const operand = compare.operand as number | bigint;
  // A number and a bigint compare by value, but are never `===`.
  return isResult(compare, actual < operand ? -1 : actual > operand ? 1 : 0);
}

function isResult(compare: Compare, sign: number): boolean {
  switch (compare.result) {
    case "equal":
      return sign === 0;
    case "greater":
      return sign > 0;
    case "less":
      return sign < 0;
    case "notEqual":
      return sign !== 0;
  }
}

function checkPuts(on: Evaluation, path: Path, deletedBefore: KeyRange[]): void {
  for (const step of path.steps) {
    if ("nested" in step) {
      checkPuts(on, step.nested, deletedBefore);
    } else if (step.op.kind === "put") {
      checkPutAgainstState(on, step.op.request, deletedBefore);
    } else if (step.op.kind === "deleteRange") {
      deletedBefore.push(keyRangeOf(step.op.request.key, step.op.request.rangeEnd));
    }
  }
}

/** A put that keeps a value or lease of a key deleted earlier in its transaction makes etcd 3.5 panic; here it is refused. */
function checkPutAgainstState(
  on: Evaluation,
  request: PutRequest,
  deletedBefore: readonly KeyRange[],
): void {
  if (request.ignoreValue === true || request.ignoreLease === true) {
    const key = keyTextOf(request.key);
    const entry = on.state.index.get(key);
    if (entry?.live !== true || deletedBefore.some((range) => rangeContains(range, key)))
      throw etcdErrors.keyNotFound();
    if (request.ignoreValue === true) valueNow(on, entry.newest);
  }
  assertLease(on.state, request.lease);
}

function checkRanges(state: State, path: Path): void {
  for (const step of path.steps) {
    if ("nested" in step) checkRanges(state, step.nested);
    else if (step.op.kind === "range") readRevision(state, step.op.request.revision);
  }
}

function runPath(on: Evaluation, path: Path): Draft<TxnResponse> & { readonly revision: number } {
  const drafts = path.steps.map((step): Draft<ResponseOp> =>
    "nested" in step ? runNested(on, step.nested) : runOp(on, step.op),
  );
  const header = on.header(0);
  return {
    revision: on.state.revision,
    build: () => ({
      header,
      succeeded: path.succeeded,
      responses: drafts.map((draft) => draft.build()),
    }),
  };
}

function runNested(on: Evaluation, path: Path): Draft<ResponseOp> {
  const draft = runPath(on, path);
  return { build: () => ({ kind: "txn", response: draft.build() }) };
}

function runOp(on: Evaluation, op: Exclude<RequestOp, { kind: "txn" }>): Draft<ResponseOp> {
  switch (op.kind) {
    case "range": {
      const draft = evaluateRange(on, op.request);
      return { build: () => ({ kind: "range", response: draft.build() }) };
    }
    case "put": {
      const draft = evaluatePut(on, op.request);
      return { build: () => ({ kind: "put", response: draft.build() }) };
    }
    case "deleteRange": {
      const draft = evaluateDeleteRange(on, op.request);
      return { build: () => ({ kind: "deleteRange", response: draft.build() }) };
    }
  }
}

function writeRevision(on: Evaluation): number {
  on.written ??= on.state.nextRevision(on.journal);
  return on.written;
}

function valueNow(on: Evaluation, version: KeyVersion): Buffer {
  const captured = on.cache.capture([version]);
  const kv = captured.kvs[0];
  if (kv === undefined) throw new ValuesMissing(captured);
  return kv.value;
}

function capture(on: Evaluation, versions: readonly KeyVersion[]): Captured {
  const captured = on.cache.capture(versions);
  on.captured.push(captured);
  return captured;
}

function versionsIn(
  state: State,
  range: KeyRange,
  revision: number,
  limit: number | undefined,
): KeyVersion[] {
  if (range.kind === "key") {
    const entry = state.index.get(range.key);
    const version = entry === undefined ? undefined : liveVersionAt(entry, revision);
    return version === undefined ? [] : [version];
  }
  const versions: KeyVersion[] = [];
  state.index.scan(range.from, range.to, (entry) => {
    const version = liveVersionAt(entry, revision);
    if (version !== undefined) versions.push(version);
    return limit === undefined || versions.length < limit;
  });
  return versions;
}

function isFiltering(request: RangeRequest): boolean {
  const {
    minModRevision = 0,
    maxModRevision = 0,
    minCreateRevision = 0,
    maxCreateRevision = 0,
  } = request;
  return (
    minModRevision !== 0 ||
    maxModRevision !== 0 ||
    minCreateRevision !== 0 ||
    maxCreateRevision !== 0
  );
}

function passesFilters(version: KeyVersion, request: RangeRequest): boolean {
  const {
    minModRevision = 0,
    maxModRevision = 0,
    minCreateRevision = 0,
    maxCreateRevision = 0,
  } = request;
  return (
    (minModRevision === 0 || version.revision >= minModRevision) &&
    (maxModRevision === 0 || version.revision <= maxModRevision) &&
    (minCreateRevision === 0 || version.createRevision >= minCreateRevision) &&
    (maxCreateRevision === 0 || version.createRevision <= maxCreateRevision)
  );
}

/** Equal ones stay in the order of their keys. A target other than the key without an order means ascending. */
function sortOrderOf(request: RangeRequest): "none" | "ascend" | "descend" {
  const order = request.sortOrder ?? "none";
  return order === "none" && (request.sortTarget ?? "key") !== "key" ? "ascend" : order;
}

function sortVersions(
  versions: readonly KeyVersion[],
  target: "key" | "version" | "create" | "mod" | "value",
  order: "ascend" | "descend",
): readonly KeyVersion[] {
  const sign = order === "descend" ? -1 : 1;
  switch (target) {
    case "version":
      return versions.toSorted((a, b) => sign * (a.version - b.version));
    case "create":
      return versions.toSorted((a, b) => sign * (a.createRevision - b.createRevision));
    case "mod":
      return versions.toSorted((a, b) => sign * (a.revision - b.revision));
    case "key":
      return order === "descend" ? versions.toReversed() : versions;
    case "value":
      throw new InvariantError("values are sorted once they are there");
  }
}
