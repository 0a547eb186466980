import { EtcdError, etcdErrors } from "../errors.ts";
import type {
  CompactRequest,
  CompactResponse,
  Compare,
  CompareResult,
  DeleteRangeRequest,
  DeleteRangeResponse,
  KeyValue,
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeResponse,
  RequestOp,
  ResponseHeader,
  ResponseOp,
  SortOrder,
  SortTarget,
  TxnRequest,
  TxnResponse,
} from "../kv.ts";
import { EMPTY, enumNumber, type MessageCodec, type Mutable } from "./message-codec.ts";
import type { WireReader } from "./wire-reader.ts";
import type { WireWriter } from "./wire-writer.ts";

/** Messages of the KV service; field numbers as in etcd's rpc.proto and kv.proto. Fields are written from the highest to the lowest. */

const sortOrders: readonly SortOrder[] = ["none", "ascend", "descend"];
const sortTargets: readonly SortTarget[] = ["key", "version", "create", "mod", "value"];
const compareResults: readonly CompareResult[] = ["equal", "greater", "less", "notEqual"];
const compareTargets: readonly Compare["target"][] = ["version", "create", "mod", "value", "lease"];

export const emptyHeader: ResponseHeader = {
  clusterId: 0n,
  memberId: 0n,
  revision: 0,
  raftTerm: 0n,
};

export const responseHeader: MessageCodec<ResponseHeader> = {
  write(writer, header) {
    writer.bigint(4, header.raftTerm);
    writer.int(3, header.revision);
    writer.bigint(2, header.memberId);
    writer.bigint(1, header.clusterId);
  },
  read(reader) {
    const header: Mutable<ResponseHeader> = { ...emptyHeader };
    while (reader.next()) {
      switch (reader.field) {
        case 1:
          header.clusterId = reader.unsigned();
          break;
        case 2:
          header.memberId = reader.unsigned();
          break;
        case 3:
          header.revision = reader.int();
          break;
        case 4:
          header.raftTerm = reader.unsigned();
          break;
        default:
          reader.skip();
      }
    }
    return header;
  },
};

export const keyValue: MessageCodec<KeyValue> = {
  write(writer, kv) {
    writer.bigint(6, kv.lease);
    writer.bytes(5, kv.value);
    writer.int(4, kv.version);
    writer.int(3, kv.modRevision);
    writer.int(2, kv.createRevision);
    writer.bytes(1, kv.key);
  },
  read(reader) {
    const kv: Mutable<KeyValue> = {
      key: EMPTY,
      createRevision: 0,
      modRevision: 0,
      version: 0,
      value: EMPTY,
      lease: 0n,
    };
    while (reader.next()) {
      switch (reader.field) {
        case 1:
          kv.key = reader.bytes();
          break;
        case 2:
          kv.createRevision = reader.int();
          break;
        case 3:
          kv.modRevision = reader.int();
          break;
        case 4:
          kv.version = reader.int();
          break;
        case 5:
          kv.value = reader.bytes();
          break;
        case 6:
          kv.lease = reader.bigint();
          break;
        default:
          reader.skip();
      }
    }
    return kv;
  },
};

export const rangeRequest: MessageCodec<RangeRequest> = {
  write(writer, request) {
    writer.int(13, request.maxCreateRevision);
    writer.int(12, request.minCreateRevision);
    writer.int(11, request.maxModRevision);
    writer.int(10, request.minModRevision);
    writer.bool(9, request.countOnly);
    writer.bool(8, request.keysOnly);
    writer.bool(7, request.serializable);
    writer.int(6, enumNumber(sortTargets, request.sortTarget ?? "key"));
    writer.int(5, enumNumber(sortOrders, request.sortOrder ?? "none"));
    writer.int(4, request.revision);
    writer.int(3, request.limit);
    writer.bytes(2, request.rangeEnd);
    writer.bytes(1, request.key);
  },
  read(reader) {
    const request: Mutable<RangeRequest> = { key: EMPTY };
    while (reader.next()) readRangeField(reader, request);
    return request;
  },
};

function readRangeField(reader: WireReader, request: Mutable<RangeRequest>): void {
  switch (reader.field) {
    case 1:
      request.key = reader.bytes();
      return;
    case 2:
      request.rangeEnd = reader.bytes();
      return;
    case 3:
      request.limit = reader.int();
      return;
    case 4:
      request.revision = reader.int();
      return;
    case 5:
      request.sortOrder = sortOrders[reader.int()] ?? invalidSort();
      return;
    case 6:
      request.sortTarget = sortTargets[reader.int()] ?? invalidSort();
      return;
    case 7:
      request.serializable = reader.bool();
      return;
    case 8:
      request.keysOnly = reader.bool();
      return;
    case 9:
      request.countOnly = reader.bool();
      return;
    case 10:
      request.minModRevision = reader.int();
      return;
    case 11:
      request.maxModRevision = reader.int();
      return;
    case 12:
      request.minCreateRevision = reader.int();
      return;
    case 13:
      request.maxCreateRevision = reader.int();
      return;
    default:
      reader.skip();
  }
}

export const rangeResponse: MessageCodec<RangeResponse> = {
  write(writer, response) {
    writer.int(4, response.count);
    writer.bool(3, response.more);
    writer.list(2, response.kvs, keyValue.write);
    writer.message(1, response.header, responseHeader.write);
  },
  read(reader) {
    const kvs: KeyValue[] = [];
    const response: Mutable<RangeResponse> = { header: emptyHeader, kvs, more: false, count: 0 };
    while (reader.next()) {
      switch (reader.field) {
        case 1:
          response.header = reader.message(responseHeader.read);
          break;
        case 2:
          kvs.push(reader.message(keyValue.read));
          break;
        case 3:
          response.more = reader.bool();
          break;
        case 4:
          response.count = reader.int();
          break;
        default:
          reader.skip();
      }
    }
    return response;
  },
};

export const putRequest: MessageCodec<PutRequest> = {
  write(writer, request) {
    writer.bool(6, request.ignoreLease);
    writer.bool(5, request.ignoreValue);
    writer.bool(4, request.prevKv);
    writer.bigint(3, request.lease);
    writer.bytes(2, request.value);
    writer.bytes(1, request.key);
  },
  read(reader) {
    const request: Mutable<PutRequest> = { key: EMPTY, value: EMPTY };
    while (reader.next()) {
      switch (reader.field) {
        case 1:
          request.key = reader.bytes();
          break;
        case 2:
          request.value = reader.bytes();
          break;
        case 3:
          request.lease = reader.bigint();
          break;
        case 4:
          request.prevKv = reader.bool();
          break;
        case 5:
          request.ignoreValue = reader.bool();
          break;
        case 6:
          request.ignoreLease = reader.bool();
          break;
        default:
          reader.skip();
      }
    }
    return request;
  },
};

export const putResponse: MessageCodec<PutResponse> = {
  write(writer, response) {
    writer.message(2, response.prevKv, keyValue.write);
    writer.message(1, response.header, responseHeader.write);
  },
  read(reader) {
    const response: Mutable<PutResponse> = { header: emptyHeader };
    while (reader.next()) {
      if (reader.field === 1) response.header = reader.message(responseHeader.read);
      else if (reader.field === 2) response.prevKv = reader.message(keyValue.read);
      else reader.skip();
    }
    return response;
  },
};

export const deleteRangeRequest: MessageCodec<DeleteRangeRequest> = {
  write(writer, request) {
    writer.bool(3, request.prevKv);
    writer.bytes(2, request.rangeEnd);
    writer.bytes(1, request.key);
  },
  read(reader) {
    const request: Mutable<DeleteRangeRequest> = { key: EMPTY };
    while (reader.next()) {
      if (reader.field === 1) request.key = reader.bytes();
      else if (reader.field === 2) request.rangeEnd = reader.bytes();
      else if (reader.field === 3) request.prevKv = reader.bool();
      else reader.skip();
    }
    return request;
  },
};

export const deleteRangeResponse: MessageCodec<DeleteRangeResponse> = {
  write(writer, response) {
    writer.list(3, response.prevKvs, keyValue.write);
    writer.int(2, response.deleted);
    writer.message(1, response.header, responseHeader.write);
  },
  read(reader) {
    const prevKvs: KeyValue[] = [];
    const response: Mutable<DeleteRangeResponse> = { header: emptyHeader, deleted: 0, prevKvs };
    while (reader.next()) {
      if (reader.field === 1) response.header = reader.message(responseHeader.read);
      else if (reader.field === 2) response.deleted = reader.int();
      else if (reader.field === 3) prevKvs.push(reader.message(keyValue.read));
      else reader.skip();
    }
    return response;
  },
};

export const compare: MessageCodec<Compare> = {
  write(writer, message) {
    writer.bytes(64, message.rangeEnd);
    writeOperand(writer, message);
    writer.bytes(3, message.key);
    writer.int(2, enumNumber(compareTargets, message.target));
    writer.int(1, enumNumber(compareResults, message.result));
  },
  read(reader) {
    let result: CompareResult = "equal";
    let target: Compare["target"] = "version";
    let key = EMPTY;
    let rangeEnd: Buffer | undefined;
    let number = 0;
    let value = EMPTY;
    let lease = 0n;
    while (reader.next()) {
      switch (reader.field) {
        case 1:
          result = compareResults[reader.int()] ?? unknownEnum("compare result");
          break;
        case 2:
          target = compareTargets[reader.int()] ?? unknownEnum("compare target");
          break;
        case 3:
          key = reader.bytes();
          break;
        case 4:
        case 5:
        case 6:
          number = reader.int();
          break;
        case 7:
          value = reader.bytes();
          break;
        case 8:
          lease = reader.bigint();
          break;
        case 64:
          rangeEnd = reader.bytes();
          break;
        default:
          reader.skip();
      }
    }
    const base = rangeEnd === undefined ? { result, key } : { result, key, rangeEnd };
    if (target === "value") return { ...base, target, operand: value };
    if (target === "lease") return { ...base, target, operand: lease };
    return { ...base, target, operand: number };
  },
};

/** The operand is a oneof: it is written even when it is 0 or empty. */
function writeOperand(writer: WireWriter, message: Compare): void {
  switch (message.target) {
    case "version":
      return writer.setInt(4, message.operand);
    case "create":
      return writer.setInt(5, message.operand);
    case "mod":
      return writer.setInt(6, message.operand);
    case "value":
      return writer.setBytes(7, message.operand);
    case "lease":
      return writer.setBigint(8, message.operand);
  }
}

export const requestOp: MessageCodec<RequestOp> = {
  write(writer, op) {
    switch (op.kind) {
      case "range":
        return writer.message(1, op.request, rangeRequest.write);
      case "put":
        return writer.message(2, op.request, putRequest.write);
      case "deleteRange":
        return writer.message(3, op.request, deleteRangeRequest.write);
      case "txn":
        return writer.message(4, op.request, txnRequest.write);
    }
  },
  read(reader) {
    let op: RequestOp | undefined;
    while (reader.next()) {
      if (reader.field === 1) op = { kind: "range", request: reader.message(rangeRequest.read) };
      else if (reader.field === 2) op = { kind: "put", request: reader.message(putRequest.read) };
      else if (reader.field === 3)
        op = { kind: "deleteRange", request: reader.message(deleteRangeRequest.read) };
      else if (reader.field === 4) op = { kind: "txn", request: reader.message(txnRequest.read) };
      else reader.skip();
    }
    // etcd answers an operation without content with this.
    if (op === undefined) throw etcdErrors.keyNotFound();
    return op;
  },
};

export const responseOp: MessageCodec<ResponseOp> = {
  write(writer, op) {
    switch (op.kind) {
      case "range":
        return writer.message(1, op.response, rangeResponse.write);
      case "put":
        return writer.message(2, op.response, putResponse.write);
      case "deleteRange":
        return writer.message(3, op.response, deleteRangeResponse.write);
      case "txn":
        return writer.message(4, op.response, txnResponse.write);
    }
  },
  read(reader) {
    let op: ResponseOp | undefined;
    while (reader.next()) {
      if (reader.field === 1) op = { kind: "range", response: reader.message(rangeResponse.read) };
      else if (reader.field === 2) op = { kind: "put", response: reader.message(putResponse.read) };
      else if (reader.field === 3)
        op = { kind: "deleteRange", response: reader.message(deleteRangeResponse.read) };
      else if (reader.field === 4) op = { kind: "txn", response: reader.message(txnResponse.read) };
      else reader.skip();
    }
    return op ?? unknownEnum("kind of response");
  },
};

export const txnRequest: MessageCodec<TxnRequest> = {
  write(writer, request) {
    writer.list(3, request.failure, requestOp.write);
    writer.list(2, request.success, requestOp.write);
    writer.list(1, request.compare, compare.write);
  },
  read(reader) {
    const request = {
      compare: [] as Compare[],
      success: [] as RequestOp[],
      failure: [] as RequestOp[],
    };
    while (reader.next()) {
      if (reader.field === 1) request.compare.push(reader.message(compare.read));
      else if (reader.field === 2) request.success.push(reader.message(requestOp.read));
      else if (reader.field === 3) request.failure.push(reader.message(requestOp.read));
      else reader.skip();
    }
    return request;
  },
};

export const txnResponse: MessageCodec<TxnResponse> = {
  write(writer, response) {
    writer.list(3, response.responses, responseOp.write);
    writer.bool(2, response.succeeded);
    writer.message(1, response.header, responseHeader.write);
  },
  read(reader) {
    const responses: ResponseOp[] = [];
    const response: Mutable<TxnResponse> = { header: emptyHeader, succeeded: false, responses };
    while (reader.next()) {
      if (reader.field === 1) response.header = reader.message(responseHeader.read);
      else if (reader.field === 2) response.succeeded = reader.bool();
      else if (reader.field === 3) responses.push(reader.message(responseOp.read));
      else reader.skip();
    }
    return response;
  },
};

export const compactionRequest: MessageCodec<CompactRequest> = {
  write(writer, request) {
    writer.bool(2, request.physical);
    writer.int(1, request.revision);
  },
  read(reader) {
    const request: Mutable<CompactRequest> = { revision: 0 };
    while (reader.next()) {
      if (reader.field === 1) request.revision = reader.int();
      else if (reader.field === 2) request.physical = reader.bool();
      else reader.skip();
    }
    return request;
  },
};

export const compactionResponse: MessageCodec<CompactResponse> = headerOnly();

/** A response that says nothing but at which revision it was made. */
export function headerOnly(): MessageCodec<{ readonly header: ResponseHeader }> {
  return {
    write(writer, response) {
      writer.message(1, response.header, responseHeader.write);
    },
    read(reader) {
      let header = emptyHeader;
      while (reader.next()) {
        if (reader.field === 1) header = reader.message(responseHeader.read);
        else reader.skip();
      }
      return { header };
    },
  };
}

function invalidSort(): never {
  throw etcdErrors.invalidSortOption();
}

function unknownEnum(what: string): never {
  throw new EtcdError("invalidArgument", `etcdserver: unknown ${what}`);
}
