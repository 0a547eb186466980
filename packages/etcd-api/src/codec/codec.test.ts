import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { EtcdError } from "../errors.ts";
import type {
  Compare,
  KeyValue,
  RequestOp,
  ResponseHeader,
  ResponseOp,
  TxnRequest,
  TxnResponse,
} from "../kv.ts";
import {
  emptyRequest,
  healthResponse,
  memberListResponse,
  statusResponse,
} from "./cluster-messages.ts";
import {
  compactionRequest,
  compactionResponse,
  compare,
  deleteRangeRequest,
  deleteRangeResponse,
  keyValue,
  putRequest,
  putResponse,
  rangeRequest,
  rangeResponse,
  responseHeader,
  txnRequest,
  txnResponse,
} from "./kv-messages.ts";
import {
  leaseGrantRequest,
  leaseGrantResponse,
  leaseIdRequest,
  leaseRevokeResponse,
  leasesResponse,
  leaseTimeToLiveRequest,
  leaseTimeToLiveResponse,
} from "./lease-messages.ts";
import { decodeMessage, encodeMessage, type MessageCodec } from "./message-codec.ts";
import { watchRequest, watchResponse, type WatchRequestMessage } from "./watch-messages.ts";
import { WireError } from "./wire-reader.ts";

/** Values that are not a default, since defaults do not travel. */
const bytes = fc.uint8Array({ minLength: 1, maxLength: 40 }).map((array) => Buffer.from(array));
const anyBytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array));
const count = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const anyInteger = fc.integer({ min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER });
const lease = fc.bigInt({ min: 1n, max: 2n ** 63n - 1n });
const id = fc.bigInt({ min: 1n, max: 2n ** 64n - 1n });
const yes = fc.constant(true as const);
const text = fc.string({ minLength: 1, unit: "grapheme" });

const header: fc.Arbitrary<ResponseHeader> = fc.record({
  clusterId: id,
  memberId: id,
  revision: anyInteger,
  raftTerm: id,
});
const kv: fc.Arbitrary<KeyValue> = fc.record({
  key: bytes,
  createRevision: count,
  modRevision: count,
  version: count,
  value: anyBytes,
  lease,
});
const range = fc.record(
  {
    key: bytes,
    rangeEnd: bytes,
    limit: count,
    revision: count,
    sortOrder: fc.constantFrom("ascend" as const, "descend" as const),
    sortTarget: fc.constantFrom(
      "version" as const,
      "create" as const,
      "mod" as const,
      "value" as const,
    ),
    serializable: yes,
    keysOnly: yes,
    countOnly: yes,
    minModRevision: count,
    maxModRevision: count,
    minCreateRevision: count,
    maxCreateRevision: count,
  },
  { requiredKeys: ["key"] },
);
const put = fc.record(
  { key: bytes, value: anyBytes, lease, prevKv: yes, ignoreValue: yes, ignoreLease: yes },
  { requiredKeys: ["key", "value"] },
);
const deletion = fc.record({ key: bytes, rangeEnd: bytes, prevKv: yes }, { requiredKeys: ["key"] });
const comparison: fc.Arbitrary<Compare> = fc
  .tuple(
    fc.record(
      {
        result: fc.constantFrom(
          "equal" as const,
          "greater" as const,
          "less" as const,
          "notEqual" as const,
        ),
        key: bytes,
        rangeEnd: bytes,
      },
      { requiredKeys: ["result", "key"] },
    ),
    fc.oneof(
      fc.record({
        target: fc.constantFrom("version" as const, "create" as const, "mod" as const),
        operand: anyInteger,
      }),
      fc.record({ target: fc.constant("value" as const), operand: anyBytes }),
      fc.record({
        target: fc.constant("lease" as const),
        operand: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      }),
    ),
  )
  .map(([base, target]): Compare => ({ ...base, ...target }));
const rangeAnswer = fc.record({
  header,
  kvs: fc.array(kv, { maxLength: 3 }),
  more: fc.boolean(),
  count,
});
const putAnswer = fc.record({ header, prevKv: kv }, { requiredKeys: ["header"] });
const deletionAnswer = fc.record({
  header,
  deleted: count,
  prevKvs: fc.array(kv, { maxLength: 3 }),
});

const { txn } = fc.letrec<{ op: RequestOp; txn: TxnRequest }>((tie) => ({
  op: fc.oneof(
    { maxDepth: 2 },
    range.map((request): RequestOp => ({ kind: "range", request })),
    put.map((request): RequestOp => ({ kind: "put", request })),
    deletion.map((request): RequestOp => ({ kind: "deleteRange", request })),
    tie("txn").map((request): RequestOp => ({ kind: "txn", request })),
  ),
  txn: fc.record({
    compare: fc.array(comparison, { maxLength: 2 }),
    success: fc.array(tie("op"), { maxLength: 2 }),
    failure: fc.array(tie("op"), { maxLength: 2 }),
  }),
}));
const { txnAnswer } = fc.letrec<{ op: ResponseOp; txnAnswer: TxnResponse }>((tie) => ({
  op: fc.oneof(
    { maxDepth: 2 },
    rangeAnswer.map((response): ResponseOp => ({ kind: "range", response })),
    putAnswer.map((response): ResponseOp => ({ kind: "put", response })),
    deletionAnswer.map((response): ResponseOp => ({ kind: "deleteRange", response })),
    tie("txnAnswer").map((response): ResponseOp => ({ kind: "txn", response })),
  ),
  txnAnswer: fc.record({
    header,
    succeeded: fc.boolean(),
    responses: fc.array(tie("op"), { maxLength: 2 }),
  }),
}));

const watchCreate = fc.record(
  {
    key: bytes,
    rangeEnd: bytes,
    startRevision: count,
    prevKv: yes,
    progressNotify: yes,
    filters: fc.uniqueArray(fc.constantFrom("noPut" as const, "noDelete" as const), {
      minLength: 1,
    }),
    watchId: anyInteger.filter((number) => number !== 0),
    fragment: yes,
  },
  { requiredKeys: ["key"] },
);
const watchMessage: fc.Arbitrary<WatchRequestMessage> = fc.oneof(
  watchCreate.map((create): WatchRequestMessage => ({ kind: "create", create })),
  anyInteger.map((watchId): WatchRequestMessage => ({ kind: "cancel", watchId })),
  fc.constant<WatchRequestMessage>({ kind: "progress" }),
);
const event = fc.record(
  { type: fc.constantFrom("put" as const, "delete" as const), kv, prevKv: kv },
  { requiredKeys: ["type", "kv"] },
);
const watchAnswer = fc.record({
  header,
  watchId: anyInteger,
  created: fc.boolean(),
  canceled: fc.boolean(),
  compactRevision: anyInteger,
  cancelReason: fc.oneof(fc.constant(""), text),
  fragment: fc.boolean(),
  events: fc.array(event, { maxLength: 3 }),
});
const grantAnswer = fc.record({ header, id: lease, ttl: anyInteger });
const status = fc.record({
  header,
  version: text,
  dbSize: count,
  dbSizeInUse: count,
  leader: id,
  raftIndex: id,
  raftTerm: id,
});
const member = fc.record({
  id,
  name: text,
  peerUrls: fc.array(text, { maxLength: 2 }),
  clientUrls: fc.array(text, { maxLength: 2 }),
  isLearner: fc.boolean(),
});

interface Case<T> {
  readonly codec: MessageCodec<T>;
  readonly message: fc.Arbitrary<T>;
}

/** Keeps codec and arbitrary of one type together; the list below need not know which. */
const caseOf = <T>(codec: MessageCodec<T>, message: fc.Arbitrary<T>): Case<unknown> =>
  ({ codec, message }) as Case<unknown>;

const cases: Readonly<Record<string, Case<unknown>>> = {
  ResponseHeader: caseOf(responseHeader, header),
  KeyValue: caseOf(keyValue, kv),
  RangeRequest: caseOf(rangeRequest, range),
  RangeResponse: caseOf(rangeResponse, rangeAnswer),
  PutRequest: caseOf(putRequest, put),
  PutResponse: caseOf(putResponse, putAnswer),
  DeleteRangeRequest: caseOf(deleteRangeRequest, deletion),
  DeleteRangeResponse: caseOf(deleteRangeResponse, deletionAnswer),
  Compare: caseOf(compare, comparison),
  TxnRequest: caseOf(txnRequest, txn),
  TxnResponse: caseOf(txnResponse, txnAnswer),
  CompactionRequest: caseOf(
    compactionRequest,
    fc.record({ revision: count, physical: yes }, { requiredKeys: ["revision"] }),
  ),
  CompactionResponse: caseOf(compactionResponse, fc.record({ header })),
  WatchRequest: caseOf(watchRequest, watchMessage),
  WatchResponse: caseOf(watchResponse, watchAnswer),
  LeaseGrantRequest: caseOf(
    leaseGrantRequest,
    fc.record({ ttl: anyInteger, id: lease }, { requiredKeys: ["ttl"] }),
  ),
  LeaseGrantResponse: caseOf(leaseGrantResponse, grantAnswer),
  LeaseRevokeRequest: caseOf(leaseIdRequest, lease),
  LeaseRevokeResponse: caseOf(leaseRevokeResponse, fc.record({ header })),
  LeaseTimeToLiveRequest: caseOf(
    leaseTimeToLiveRequest,
    fc.record({ id: lease, keys: fc.boolean() }),
  ),
  LeaseTimeToLiveResponse: caseOf(
    leaseTimeToLiveResponse,
    fc.record({
      header,
      id: lease,
      ttl: anyInteger,
      grantedTtl: anyInteger,
      keys: fc.array(anyBytes, { maxLength: 3 }),
    }),
  ),
  LeaseLeasesResponse: caseOf(
    leasesResponse,
    fc.record({ header, ids: fc.array(lease, { maxLength: 3 }) }),
  ),
  StatusResponse: caseOf(statusResponse, status),
  MemberListResponse: caseOf(
    memberListResponse,
    fc.record({ header, members: fc.array(member, { maxLength: 2 }) }),
  ),
  HealthCheckResponse: caseOf(healthResponse, fc.constantFrom(1, 2, 3)),
};

/** fast-check makes objects without a prototype. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null || Buffer.isBuffer(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, plain(field)]));
}

/** Field 99 with each wire type: varint, eight bytes, a length and content, four bytes. */
const unknownFields = Buffer.from("980696019906aaaaaaaaaaaaaaaa9a06036162639d06bbbbbbbb", "hex");

describe("the etcd codec", () => {
  for (const [name, { codec, message }] of Object.entries(cases)) {
    it(`reads what it writes: ${name}`, () => {
      const property = (generated: unknown): void => {
        const original = plain(generated);
        const encoded = encodeMessage(codec, original, 16);
        assert.deepEqual(decodeMessage(codec, encoded, false), original);
        assert.deepEqual(
          decodeMessage(codec, Buffer.concat([unknownFields, encoded, unknownFields]), true),
          original,
        );
      };
      fc.assert(fc.property(message, property), { numRuns: 100, seed: 1 });
    });

    it(`never fails but by a stated error on cut or damaged bytes: ${name}`, () => {
      const property = (original: unknown, at: number, byte: number): void => {
        const encoded = Buffer.from(encodeMessage(codec, original));
        const damaged = Buffer.from(encoded);
        if (damaged.length > 0) damaged[at % damaged.length] = byte;
        for (const input of [encoded.subarray(0, at % (encoded.length + 1)), damaged]) {
          try {
            decodeMessage(codec, input, false);
          } catch (error) {
            assert.ok(error instanceof WireError || error instanceof EtcdError, String(error));
          }
        }
      };
      fc.assert(fc.property(message, fc.nat(10_000), fc.integer({ min: 0, max: 255 }), property), {
        numRuns: 100,
        seed: 1,
      });
    });
  }

  it("writes the bytes that protoc's encoder writes", () => {
    const create: TxnRequest = {
      compare: [{ target: "mod", result: "equal", key: Buffer.from("k"), operand: 0 }],
      success: [
        { kind: "put", request: { key: Buffer.from("k"), value: Buffer.from("v"), lease: 1n } },
      ],
      failure: [],
    };
    // compare { target: MOD key: "k" mod_revision: 0 } success { request_put { key: "k" value: "v" lease: 1 } }
    assert.equal(
      encodeMessage(txnRequest, create).toString("hex"),
      "0a0710021a016b3000120a12080a016b1201761801",
    );
    // watch_id: -1 in a progress answer: ten bytes of a negative varint
    const progress = encodeMessage(watchResponse, {
      header: { clusterId: 0n, memberId: 0n, revision: 300, raftTerm: 0n },
      watchId: -1,
      created: false,
      canceled: false,
      compactRevision: 0,
      cancelReason: "",
      fragment: false,
      events: [],
    });
    assert.equal(progress.toString("hex"), "0a0318ac0210ffffffffffffffffff01");
    assert.equal(encodeMessage(emptyRequest, undefined).length, 0);
  });

  it("gives buffers of their own when asked, and views of the message otherwise", () => {
    const encoded = encodeMessage(putRequest, {
      key: Buffer.from("key"),
      value: Buffer.alloc(100, "v"),
    });
    const view = decodeMessage(putRequest, encoded, false);
    const own = decodeMessage(putRequest, encoded, true);
    assert.equal(view.value.buffer, encoded.buffer);
    assert.equal(own.value.buffer.byteLength, 100);
  });

  it("names what it does not know with etcd's error", () => {
    const withField = (field: number, value: number): Buffer => Buffer.from([field * 8, value]);
    const refused = <T>(codec: MessageCodec<T>, input: Buffer, message: string): void =>
      assert.throws(
        () => decodeMessage(codec, input, false),
        (error) => error instanceof EtcdError && error.message === message,
      );
    refused(rangeRequest, withField(5, 9), "etcdserver: invalid sort option");
    refused(rangeRequest, withField(6, 9), "etcdserver: invalid sort option");
    refused(compare, withField(2, 9), "etcdserver: unknown compare target");
    refused(txnRequest, Buffer.from("1200", "hex"), "etcdserver: key not found");
  });
});
