/**
 * The etcd v3 API as TypeScript: what a store offers (`EtcdStore`), whether it lives in this process or behind gRPC.
 *
 * Names and meaning follow etcd's rpc.proto and kv.proto (etcdserverpb, mvccpb). Revisions are JavaScript numbers (they
 * stay far below 2^53); lease, cluster and member ids are bigints, because etcd draws them from all 63 or 64 bits.
 * A key range is `[key, rangeEnd)`: no `rangeEnd` = the single key; `rangeEnd` = "\0" = every key >= `key`.
 *
 * Buffers that a store hands out are immutable and own their backing store; callers may keep them without copying and
 * must never write to them. Buffers handed in must not be changed afterwards.
 *
 * Failures are `EtcdError`s with etcd's own gRPC code and text. Unknown outcomes of writes (connection lost) carry the
 * code `unavailable` or `deadlineExceeded`.
 */

export interface ResponseHeader {
  readonly clusterId: bigint;
  readonly memberId: bigint;
  /** The store's revision when the request was evaluated. */
  readonly revision: number;
  readonly raftTerm: bigint;
}

export interface KeyValue {
  readonly key: Buffer;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  readonly value: Buffer;
  /** 0n = no lease. */
  readonly lease: bigint;
}

export type SortOrder = "none" | "ascend" | "descend";
export type SortTarget = "key" | "version" | "create" | "mod" | "value";

export interface RangeRequest {
  readonly key: Buffer;
  readonly rangeEnd?: Buffer;
  /** 0 or absent = no limit. */
  readonly limit?: number;
  /** 0 or absent = the current revision. */
  readonly revision?: number;
  readonly sortOrder?: SortOrder;
  readonly sortTarget?: SortTarget;
  readonly serializable?: boolean;
  readonly keysOnly?: boolean;
  readonly countOnly?: boolean;
  readonly minModRevision?: number;
  readonly maxModRevision?: number;
  readonly minCreateRevision?: number;
  readonly maxCreateRevision?: number;
}

export interface RangeResponse {
  readonly header: ResponseHeader;
  readonly kvs: readonly KeyValue[];
  readonly more: boolean;
  /** Number of keys in the whole range at that revision, limit or not. */
  readonly count: number;
}

export interface PutRequest {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly lease?: bigint;
  readonly prevKv?: boolean;
  readonly ignoreValue?: boolean;
  readonly ignoreLease?: boolean;
}

export interface PutResponse {
  readonly header: ResponseHeader;
  readonly prevKv?: KeyValue;
}

export interface DeleteRangeRequest {
  readonly key: Buffer;
  readonly rangeEnd?: Buffer;
  readonly prevKv?: boolean;
}

export interface DeleteRangeResponse {
  readonly header: ResponseHeader;
  readonly deleted: number;
  readonly prevKvs: readonly KeyValue[];
}

export type CompareResult = "equal" | "greater" | "less" | "notEqual";

/** `rangeEnd` compares every key of the range; all must match. */
export type Compare = {
  readonly result: CompareResult;
  readonly key: Buffer;
  readonly rangeEnd?: Buffer;
} & (
  | { readonly target: "version" | "create" | "mod"; readonly operand: number }
  | { readonly target: "value"; readonly operand: Buffer }
  | { readonly target: "lease"; readonly operand: bigint }
);

export type RequestOp =
  | { readonly kind: "range"; readonly request: RangeRequest }
  | { readonly kind: "put"; readonly request: PutRequest }
  | { readonly kind: "deleteRange"; readonly request: DeleteRangeRequest }
  | { readonly kind: "txn"; readonly request: TxnRequest };

export type ResponseOp =
  | { readonly kind: "range"; readonly response: RangeResponse }
  | { readonly kind: "put"; readonly response: PutResponse }
  | { readonly kind: "deleteRange"; readonly response: DeleteRangeResponse }
  | { readonly kind: "txn"; readonly response: TxnResponse };

export interface TxnRequest {
  readonly compare: readonly Compare[];
  readonly success: readonly RequestOp[];
  readonly failure: readonly RequestOp[];
}

export interface TxnResponse {
  readonly header: ResponseHeader;
  readonly succeeded: boolean;
  readonly responses: readonly ResponseOp[];
}

export interface CompactRequest {
  readonly revision: number;
  readonly physical?: boolean;
}

export interface CompactResponse {
  readonly header: ResponseHeader;
}

export interface CallOptions {
  /** Ends the wait; a write that was already handed over may still happen. */
  readonly signal?: AbortSignal;
}

export interface KV {
  range(request: RangeRequest, options?: CallOptions): Promise<RangeResponse>;
  put(request: PutRequest, options?: CallOptions): Promise<PutResponse>;
  deleteRange(request: DeleteRangeRequest, options?: CallOptions): Promise<DeleteRangeResponse>;
  txn(request: TxnRequest, options?: CallOptions): Promise<TxnResponse>;
  compact(request: CompactRequest, options?: CallOptions): Promise<CompactResponse>;
}

export interface WatchEvent {
  readonly type: "put" | "delete";
  /** For a delete: key and modRevision (the delete's revision) only; value empty. */
  readonly kv: KeyValue;
  /** Present when the watch asked for it and the key existed before. */
  readonly prevKv?: KeyValue;
}

export interface WatchRequest {
  readonly key: Buffer;
  readonly rangeEnd?: Buffer;
  /** First revision wanted. 0 or absent = only what happens from now on. */
  readonly startRevision?: number;
  readonly prevKv?: boolean;
  readonly progressNotify?: boolean;
  readonly filters?: readonly ("noPut" | "noDelete")[];
}

/**
 * What a watch delivers, in order. `created` comes first and once. `events` holds all events of one or more whole
 * revisions (a revision is never split over two messages). `progress` promises that everything up to `revision` has been
 * delivered. `canceled` is the last message; `compactRevision` > 0 means that the wanted revisions are gone.
 */
export type WatchMessage =
  | { readonly kind: "created"; readonly revision: number }
  | { readonly kind: "events"; readonly revision: number; readonly events: readonly WatchEvent[] }
  | { readonly kind: "progress"; readonly revision: number }
  | { readonly kind: "canceled"; readonly compactRevision: number; readonly reason: string };

/**
 * The iteration ends after `cancel`, an aborted signal or a `canceled` message. It throws an EtcdError (`unavailable`) when the store or the
 * connection to it ends; watch again from the revision after the last one seen.
 */
export interface WatchStream extends AsyncIterable<WatchMessage> {
  /** Asks for a `progress` message as soon as the watch is synced. */
  requestProgress(): void;
  /** Ends the stream; idempotent. */
  cancel(): void;
}

export interface Watcher {
  watch(request: WatchRequest, options?: CallOptions): WatchStream;
}

export interface LeaseGrantRequest {
  /** Seconds. */
  readonly ttl: number;
  /** 0n = the store chooses. */
  readonly id?: bigint;
}

export interface LeaseGrantResponse {
  readonly header: ResponseHeader;
  readonly id: bigint;
  readonly ttl: number;
}

export interface LeaseTimeToLiveResponse {
  readonly header: ResponseHeader;
  readonly id: bigint;
  /** Remaining seconds; -1 = no such lease. */
  readonly ttl: number;
  readonly grantedTtl: number;
  readonly keys: readonly Buffer[];
}

export interface Leases {
  leaseGrant(request: LeaseGrantRequest, options?: CallOptions): Promise<LeaseGrantResponse>;
  leaseRevoke(id: bigint, options?: CallOptions): Promise<{ readonly header: ResponseHeader }>;
  /** Renews once; `ttl` 0 = no such lease (as etcd answers a keep-alive for one). */
  leaseKeepAlive(id: bigint, options?: CallOptions): Promise<LeaseGrantResponse>;
  leaseTimeToLive(
    id: bigint,
    withKeys: boolean,
    options?: CallOptions,
  ): Promise<LeaseTimeToLiveResponse>;
  leases(
    options?: CallOptions,
  ): Promise<{ readonly header: ResponseHeader; readonly ids: readonly bigint[] }>;
}

export interface StatusResponse {
  readonly header: ResponseHeader;
  readonly version: string;
  /** Bytes. */
  readonly dbSize: number;
  readonly dbSizeInUse: number;
  readonly leader: bigint;
  readonly raftIndex: bigint;
  readonly raftTerm: bigint;
}

export interface Maintenance {
  status(options?: CallOptions): Promise<StatusResponse>;
}

/** Everything that a user of the datastore may ask for; the in-process engine and the gRPC client both are one. */
export interface EtcdStore extends KV, Watcher, Leases, Maintenance {}
