import {
  etcdErrors,
  type DeleteRangeRequest,
  type PutRequest,
  type RangeRequest,
  type RequestOp,
  type TxnRequest,
} from "@wherry/etcd-api";
import { keyTextOf, type KeyText } from "./key-version.ts";

/**
 * What etcd checks before it looks at any data, in etcd's order (server/etcdserver/api/v3rpc/key.go): each function throws the error that etcd
 * answers.
 */

export interface RequestLimits {
  /** Operations in a transaction, per list. */
  readonly maxTxnOps: number;
  /** Bytes of keys and values in one request. */
  readonly maxRequestBytes: number;
}

export function checkRange(request: RangeRequest): void {
  if (request.key.length === 0) throw etcdErrors.emptyKey();
}

export function checkPut(request: PutRequest): void {
  if (request.key.length === 0) throw etcdErrors.emptyKey();
  if (request.ignoreValue === true && request.value.length > 0) throw etcdErrors.valueProvided();
  if (request.ignoreLease === true && (request.lease ?? 0n) !== 0n)
    throw etcdErrors.leaseProvided();
}

export function checkDeleteRange(request: DeleteRangeRequest): void {
  if (request.key.length === 0) throw etcdErrors.emptyKey();
}

export function checkTxn(request: TxnRequest, limits: RequestLimits): void {
  checkTxnOps(request, limits.maxTxnOps);
  checkOverlaps(request.success);
  checkOverlaps(request.failure);
}

export function checkSize(bytes: number, limits: RequestLimits): void {
  if (bytes > limits.maxRequestBytes) throw etcdErrors.requestTooLarge();
}

/** Bytes of keys and values that a transaction carries, nested ones included. */
export function txnBytes(request: TxnRequest): number {
  let bytes = 0;
  for (const compare of request.compare) {
    bytes += compare.key.length + (compare.target === "value" ? compare.operand.length : 0);
  }
  for (const op of [...request.success, ...request.failure]) {
    if (op.kind === "put") bytes += op.request.key.length + op.request.value.length;
    else if (op.kind === "txn") bytes += txnBytes(op.request);
    else bytes += op.request.key.length;
  }
  return bytes;
}

function checkTxnOps(request: TxnRequest, maxOps: number): void {
  const longest = Math.max(request.compare.length, request.success.length, request.failure.length);
  if (longest > maxOps) throw etcdErrors.tooManyOps();
  for (const compare of request.compare) {
    if (compare.key.length === 0) throw etcdErrors.emptyKey();
  }
  for (const op of [...request.success, ...request.failure]) checkOp(op, maxOps - longest);
}

function checkOp(op: RequestOp, maxOps: number): void {
  switch (op.kind) {
    case "range":
      return checkRange(op.request);
    case "put":
      return checkPut(op.request);
    case "deleteRange":
      return checkDeleteRange(op.request);
    case "txn":
      return checkTxnOps(op.request, maxOps);
  }
}

interface Touched {
  readonly puts: Set<KeyText>;
  readonly deletes: Span[];
}

interface Span {
  readonly from: KeyText;
  /** Empty = no upper end. "\0" is taken literally here, as etcd does: such a range overlaps nothing above it. */
  readonly to: KeyText;
}

/** One transaction may not put a key twice, nor put a key that it deletes; the two branches of a nested one exclude each other. */
function checkOverlaps(ops: readonly RequestOp[]): Touched {
  const puts = new Set<KeyText>();
  const deletes: Span[] = [];
  for (const op of ops) {
    if (op.kind === "deleteRange") deletes.push(spanOf(op.request));
  }
  for (const op of ops) {
    if (op.kind !== "txn") continue;
    const success = checkOverlaps(op.request.success);
    const failure = checkOverlaps(op.request.failure);
    for (const key of success.puts) addPut(key, puts, deletes);
    for (const key of failure.puts) {
      if (success.puts.has(key)) assertNotDeleted(key, deletes);
      else addPut(key, puts, deletes);
    }
    deletes.push(...success.deletes, ...failure.deletes);
  }
  for (const op of ops) {
    if (op.kind === "put") addPut(keyTextOf(op.request.key), puts, deletes);
  }
  return { puts, deletes };
}

function addPut(key: KeyText, puts: Set<KeyText>, deletes: readonly Span[]): void {
  if (puts.has(key)) throw etcdErrors.duplicateKey();
  assertNotDeleted(key, deletes);
  puts.add(key);
}

function assertNotDeleted(key: KeyText, deletes: readonly Span[]): void {
  if (deletes.some(({ from, to }) => key >= from && (to === "" || key < to)))
    throw etcdErrors.duplicateKey();
}

function spanOf({ key, rangeEnd }: DeleteRangeRequest): Span {
  const from = keyTextOf(key);
  const to = rangeEnd === undefined || rangeEnd.length === 0 ? `${from}\0` : keyTextOf(rangeEnd);
  return { from, to };
}
