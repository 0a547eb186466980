import type {
  Compare,
  CompareResult,
  DeleteRangeRequest,
  EtcdStore,
  PutRequest,
  RangeRequest,
  RequestOp,
  TxnRequest,
} from "@wherry/etcd-api";

/** One random request, as a value that can be sent to several stores. */
export type Operation =
  | { readonly kind: "range"; readonly request: RangeRequest }
  | { readonly kind: "put"; readonly request: PutRequest }
  | { readonly kind: "deleteRange"; readonly request: DeleteRangeRequest }
  | { readonly kind: "txn"; readonly request: TxnRequest }
  | { readonly kind: "compact"; readonly revision: number }
  | { readonly kind: "grant"; readonly id: bigint }
  | { readonly kind: "revoke"; readonly id: bigint }
  | { readonly kind: "timeToLive"; readonly id: bigint };

export type Random = () => number;

/** mulberry32: small, fast and the same everywhere. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const keys = ["a", "a/1", "a/2", "a/3", "b", "b/1", "b/2", "c", "d", "d/\u00ff"];
const ends = [undefined, "a0", "b", "b0", "c", "d", "e", "\0"];
const values = ["", "one", "two", "three"];
const leaseIds = [1001n, 1002n, 1003n];

/** Requests of every kind over few keys, so that they meet. `revision` is the store's. */
export function randomOperation(random: Random, revision: number): Operation {
  const dice = random();
  if (dice < 0.3) return { kind: "range", request: randomRange(random, revision) };
  if (dice < 0.55) return { kind: "put", request: randomPut(random, true) };
  if (dice < 0.65) return { kind: "deleteRange", request: randomDelete(random) };
  if (dice < 0.92) return { kind: "txn", request: randomTxn(random, revision, 2) };
  if (dice < 0.93)
    return { kind: "compact", revision: Math.max(revision - pick(random, [0, 5, 20, -3]), 1) };
  const id = pick(random, leaseIds);
  return { kind: pick(random, ["grant", "grant", "revoke", "timeToLive"] as const), id };
}

/** Sends the request; the answer without what differs between stores, or the error's code and text. */
export async function perform(store: EtcdStore, operation: Operation): Promise<unknown> {
  try {
    return normalise(await send(store, operation));
  } catch (error) {
    const { code, message } = error as { readonly code?: string; readonly message: string };
    return { code, message };
  }
}

function send(store: EtcdStore, operation: Operation): Promise<unknown> {
  switch (operation.kind) {
    case "range":
      return store.range(operation.request);
    case "put":
      return store.put(operation.request);
    case "deleteRange":
      return store.deleteRange(operation.request);
    case "txn":
      return store.txn(operation.request);
    case "compact":
      return store.compact({ revision: operation.revision, physical: true });
    case "grant":
      return store.leaseGrant({ id: operation.id, ttl: 100_000 });
    case "revoke":
      return store.leaseRevoke(operation.id);
    case "timeToLive":
      return timeToLive(store, operation.id);
  }
}

/** The keys come in no order, and the remaining time depends on the moment. */
async function timeToLive(store: EtcdStore, id: bigint): Promise<unknown> {
  const answer = await store.leaseTimeToLive(id, true);
  return {
    ...answer,
    ttl: answer.ttl > 0,
    keys: answer.keys.map((key) => key.toString("latin1")).sort(),
  };
}

/** Headers are reduced to their revision, buffers to text, so that differences can be read. */
export function normalise(value: unknown): unknown {
  if (Buffer.isBuffer(value)) return value.toString("latin1");
  if (typeof value === "bigint") return String(value);
  if (Array.isArray(value)) return value.map(normalise);
  if (typeof value !== "object" || value === null) return value;
  if ("clusterId" in value && "revision" in value) return value.revision;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, normalise(field)]));
}

function randomRange(random: Random, revision: number): RangeRequest {
  const request: { -readonly [Field in keyof RangeRequest]: RangeRequest[Field] } = {
    key: randomKey(random),
    ...randomEnd(random),
  };
  if (chance(random, 0.3)) request.limit = Math.floor(random() * 4);
  if (chance(random, 0.3)) request.revision = Math.max(revision - Math.floor(random() * 25) + 1, 0);
  if (chance(random, 0.3)) request.sortOrder = pick(random, ["none", "ascend", "descend"]);
  if (chance(random, 0.3))
    request.sortTarget = pick(random, ["key", "version", "create", "mod", "value"]);
  if (chance(random, 0.15)) request.keysOnly = true;
  if (chance(random, 0.15)) request.countOnly = true;
  if (chance(random, 0.1)) request.serializable = true;
  for (const field of [
    "minModRevision",
    "maxModRevision",
    "minCreateRevision",
    "maxCreateRevision",
  ] as const) {
    if (chance(random, 0.07)) request[field] = Math.max(revision - Math.floor(random() * 20), 0);
  }
  return request;
}

function randomPut(random: Random, mayIgnore: boolean): PutRequest {
  const isIgnoring = mayIgnore && chance(random, 0.12);
  return {
    key: randomKey(random),
    value: Buffer.from(pick(random, values)),
    lease: chance(random, 0.2) ? pick(random, leaseIds) : 0n,
    prevKv: chance(random, 0.3),
    ignoreValue: isIgnoring && chance(random, 0.5),
    ignoreLease: isIgnoring && chance(random, 0.5),
  };
}

function randomDelete(random: Random): DeleteRangeRequest {
  return { key: randomKey(random), ...randomEnd(random), prevKv: chance(random, 0.4) };
}

function randomTxn(random: Random, revision: number, depth: number): TxnRequest {
  const list = <T>(max: number, make: () => T): T[] =>
    Array.from({ length: Math.floor(random() * (max + 1)) }, make);
  return {
    compare: list(2, () => randomCompare(random, revision)),
    success: list(3, () => randomOp(random, revision, depth)),
    failure: list(3, () => randomOp(random, revision, depth)),
  };
}

function randomOp(random: Random, revision: number, depth: number): RequestOp {
  const dice = random();
  if (dice < 0.4) return { kind: "put", request: randomPut(random, false) };
  if (dice < 0.7) return { kind: "range", request: randomRange(random, revision) };
  if (dice < 0.85 || depth === 0) return { kind: "deleteRange", request: randomDelete(random) };
  return { kind: "txn", request: randomTxn(random, revision, depth - 1) };
}

function randomCompare(random: Random, revision: number): Compare {
  const base = {
    key: randomKey(random),
    result: pick<CompareResult>(random, ["equal", "greater", "less", "notEqual"]),
    ...(chance(random, 0.2) ? randomEnd(random) : {}),
  };
  const target = pick(random, ["version", "create", "mod", "value", "lease"] as const);
  switch (target) {
    case "version":
      return { ...base, target, operand: Math.floor(random() * 4) };
    case "create":
    case "mod":
      return {
        ...base,
        target,
        operand: chance(random, 0.3) ? 0 : Math.max(revision - Math.floor(random() * 10), 0),
      };
    case "value":
      return { ...base, target, operand: Buffer.from(pick(random, values)) };
    case "lease":
      return { ...base, target, operand: pick(random, [0n, ...leaseIds]) };
  }
}

function randomKey(random: Random): Buffer {
  return chance(random, 0.02) ? Buffer.alloc(0) : Buffer.from(pick(random, keys), "latin1");
}

function randomEnd(random: Random): { readonly rangeEnd?: Buffer } {
  const end = chance(random, 0.5) ? undefined : pick(random, ends);
  return end === undefined ? {} : { rangeEnd: Buffer.from(end, "latin1") };
}

function chance(random: Random, probability: number): boolean {
  return random() < probability;
}

function pick<T>(random: Random, items: readonly T[]): T {
  return items[Math.floor(random() * items.length)] as T;
}
