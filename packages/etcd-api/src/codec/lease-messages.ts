import type {
  LeaseGrantRequest,
  LeaseGrantResponse,
  LeaseTimeToLiveResponse,
  ResponseHeader,
} from "../kv.ts";
import { emptyHeader, headerOnly, responseHeader } from "./kv-messages.ts";
import type { MessageCodec, Mutable } from "./message-codec.ts";

/** Messages of the Lease service. */

export interface LeaseTimeToLiveRequest {
  readonly id: bigint;
  readonly keys: boolean;
}

export interface LeasesResponse {
  readonly header: ResponseHeader;
  readonly ids: readonly bigint[];
}

export const leaseGrantRequest: MessageCodec<LeaseGrantRequest> = {
  write(writer, request) {
    writer.bigint(2, request.id);
    writer.int(1, request.ttl);
  },
  read(reader) {
    const request: Mutable<LeaseGrantRequest> = { ttl: 0 };
    while (reader.next()) {
      if (reader.field === 1) request.ttl = reader.int();
      else if (reader.field === 2) request.id = reader.bigint();
      else reader.skip();
    }
    return request;
  },
};

/** A grant's answer and a keep-alive's have the same fields. */
export const leaseGrantResponse: MessageCodec<LeaseGrantResponse> = {
  write(writer, response) {
    writer.int(3, response.ttl);
    writer.bigint(2, response.id);
    writer.message(1, response.header, responseHeader.write);
  },
  read(reader) {
    const response: Mutable<LeaseGrantResponse> = { header: emptyHeader, id: 0n, ttl: 0 };
    while (reader.next()) {
      if (reader.field === 1) response.header = reader.message(responseHeader.read);
      else if (reader.field === 2) response.id = reader.bigint();
      else if (reader.field === 3) response.ttl = reader.int();
      else reader.skip();
    }
    return response;
  },
};

/** A request that names a lease and nothing else: revoke, keep-alive. */
export const leaseIdRequest: MessageCodec<bigint> = {
  write(writer, id) {
    writer.bigint(1, id);
  },
  read(reader) {
    let id = 0n;
    while (reader.next()) {
      if (reader.field === 1) id = reader.bigint();
      else reader.skip();
    }
    return id;
  },
};

export const leaseRevokeResponse: MessageCodec<{ readonly header: ResponseHeader }> = headerOnly();

export const leaseTimeToLiveRequest: MessageCodec<LeaseTimeToLiveRequest> = {
  write(writer, request) {
    writer.bool(2, request.keys);
    writer.bigint(1, request.id);
  },
  read(reader) {
    const request: Mutable<LeaseTimeToLiveRequest> = { id: 0n, keys: false };
    while (reader.next()) {
      if (reader.field === 1) request.id = reader.bigint();
      else if (reader.field === 2) request.keys = reader.bool();
      else reader.skip();
    }
    return request;
  },
};

export const leaseTimeToLiveResponse: MessageCodec<LeaseTimeToLiveResponse> = {
  write(writer, response) {
    for (const key of [...response.keys].reverse()) writer.setBytes(5, key);
    writer.int(4, response.grantedTtl);
    writer.int(3, response.ttl);
    writer.bigint(2, response.id);
    writer.message(1, response.header, responseHeader.write);
  },
  read(reader) {
    const keys: Buffer[] = [];
    const response: Mutable<LeaseTimeToLiveResponse> = {
      header: emptyHeader,
      id: 0n,
      ttl: 0,
      grantedTtl: 0,
      keys,
    };
    while (reader.next()) {
      if (reader.field === 1) response.header = reader.message(responseHeader.read);
      else if (reader.field === 2) response.id = reader.bigint();
      else if (reader.field === 3) response.ttl = reader.int();
      else if (reader.field === 4) response.grantedTtl = reader.int();
      else if (reader.field === 5) keys.push(reader.bytes());
      else reader.skip();
    }
    return response;
  },
};

export const leasesResponse: MessageCodec<LeasesResponse> = {
  write(writer, response) {
    writer.list(2, response.ids, leaseIdRequest.write);
    writer.message(1, response.header, responseHeader.write);
  },
  read(reader) {
    const ids: bigint[] = [];
    const response: Mutable<LeasesResponse> = { header: emptyHeader, ids };
    while (reader.next()) {
      if (reader.field === 1) response.header = reader.message(responseHeader.read);
      else if (reader.field === 2) ids.push(reader.message(leaseIdRequest.read));
      else reader.skip();
    }
    return response;
  },
};
