import type { ResponseHeader, StatusResponse } from "../kv.ts";
import { emptyHeader, responseHeader } from "./kv-messages.ts";
import type { MessageCodec, Mutable } from "./message-codec.ts";

/** Messages of the Maintenance and Cluster services and of gRPC's health check, as far as they are served. */

export interface Member {
  readonly id: bigint;
  readonly name: string;
  readonly peerUrls: readonly string[];
  readonly clientUrls: readonly string[];
  readonly isLearner: boolean;
}

export interface MemberListResponse {
  readonly header: ResponseHeader;
  readonly members: readonly Member[];
}

/** gRPC's serving status: grpc.health.v1.HealthCheckResponse. */
export const healthStatus = { unknown: 0, serving: 1, notServing: 2, serviceUnknown: 3 } as const;

export const emptyRequest: MessageCodec<undefined> = {
  write() {},
  read(reader) {
    while (reader.next()) reader.skip();
    return undefined;
  },
};

export const statusResponse: MessageCodec<StatusResponse> = {
  write(writer, response) {
    writer.int(9, response.dbSizeInUse);
    writer.bigint(7, response.raftIndex);
    writer.bigint(6, response.raftTerm);
    writer.bigint(5, response.raftIndex);
    writer.bigint(4, response.leader);
    writer.int(3, response.dbSize);
    writer.string(2, response.version);
    writer.message(1, response.header, responseHeader.write);
  },
  read(reader) {
    const response: Mutable<StatusResponse> = {
      header: emptyHeader,
      version: "",
      dbSize: 0,
      dbSizeInUse: 0,
      leader: 0n,
      raftIndex: 0n,
      raftTerm: 0n,
    };
    while (reader.next()) {
      switch (reader.field) {
        case 1:
          response.header = reader.message(responseHeader.read);
          break;
        case 2:
          response.version = reader.string();
          break;
        case 3:
          response.dbSize = reader.int();
          break;
        case 4:
          response.leader = reader.unsigned();
          break;
        case 5:
          response.raftIndex = reader.unsigned();
          break;
        case 6:
          response.raftTerm = reader.unsigned();
          break;
        case 9:
          response.dbSizeInUse = reader.int();
          break;
        default:
          reader.skip();
      }
    }
    return response;
  },
};

const member: MessageCodec<Member> = {
  write(writer, message) {
    writer.bool(5, message.isLearner);
    for (const url of [...message.clientUrls].reverse()) writer.setBytes(4, Buffer.from(url));
    for (const url of [...message.peerUrls].reverse()) writer.setBytes(3, Buffer.from(url));
    writer.string(2, message.name);
    writer.bigint(1, message.id);
  },
  read(reader) {
    const peerUrls: string[] = [];
    const clientUrls: string[] = [];
    const message: Mutable<Member> = { id: 0n, name: "", peerUrls, clientUrls, isLearner: false };
    while (reader.next()) {
      if (reader.field === 1) message.id = reader.unsigned();
      else if (reader.field === 2) message.name = reader.string();
      else if (reader.field === 3) peerUrls.push(reader.string());
      else if (reader.field === 4) clientUrls.push(reader.string());
      else if (reader.field === 5) message.isLearner = reader.bool();
      else reader.skip();
    }
    return message;
  },
};

export const memberListResponse: MessageCodec<MemberListResponse> = {
  write(writer, response) {
    writer.list(2, response.members, member.write);
    writer.message(1, response.header, responseHeader.write);
  },
  read(reader) {
    const members: Member[] = [];
    const response: Mutable<MemberListResponse> = { header: emptyHeader, members };
    while (reader.next()) {
      if (reader.field === 1) response.header = reader.message(responseHeader.read);
      else if (reader.field === 2) members.push(reader.message(member.read));
      else reader.skip();
    }
    return response;
  },
};

export const healthResponse: MessageCodec<number> = {
  write(writer, status) {
    writer.int(1, status);
  },
  read(reader) {
    let status = 0;
    while (reader.next()) {
      if (reader.field === 1) status = reader.int();
      else reader.skip();
    }
    return status;
  },
};
