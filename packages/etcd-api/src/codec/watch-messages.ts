import type { KeyValue, ResponseHeader, WatchEvent, WatchRequest } from "../kv.ts";
import { emptyHeader, keyValue, responseHeader } from "./kv-messages.ts";
import {
  EMPTY,
  encodeMessage,
  enumNumber,
  type MessageCodec,
  type Mutable,
} from "./message-codec.ts";
import { WireError } from "./wire-reader.ts";

/** Messages of the Watch service as they travel: many watches share a stream, told apart by id. */

export interface WatchCreate extends WatchRequest {
  /** 0 or absent = the server chooses. */
  readonly watchId?: number;
  readonly fragment?: boolean;
}

export type WatchRequestMessage =
  | { readonly kind: "create"; readonly create: WatchCreate }
  | { readonly kind: "cancel"; readonly watchId: number }
  | { readonly kind: "progress" };

export interface WatchResponseMessage {
  readonly header: ResponseHeader;
  readonly watchId: number;
  readonly created: boolean;
  readonly canceled: boolean;
  readonly compactRevision: number;
  readonly cancelReason: string;
  readonly fragment: boolean;
  readonly events: readonly WatchEvent[];
}

type Filter = "noPut" | "noDelete";
const filterNames: readonly Filter[] = ["noPut", "noDelete"];

export const watchCreate: MessageCodec<WatchCreate> = {
  write(writer, create) {
    writer.bool(8, create.fragment);
    writer.int(7, create.watchId);
    writer.bool(6, create.prevKv);
    writer.packed(
      5,
      (create.filters ?? []).map((filter) => enumNumber(filterNames, filter)),
    );
    writer.bool(4, create.progressNotify);
    writer.int(3, create.startRevision);
    writer.bytes(2, create.rangeEnd);
    writer.bytes(1, create.key);
  },
  read(reader) {
    const create: Mutable<WatchCreate> = { key: EMPTY };
    const filters: number[] = [];
    while (reader.next()) {
      switch (reader.field) {
        case 1:
          create.key = reader.bytes();
          break;
        case 2:
          create.rangeEnd = reader.bytes();
          break;
        case 3:
          create.startRevision = reader.int();
          break;
        case 4:
          create.progressNotify = reader.bool();
          break;
        case 5:
          reader.packed(filters);
          break;
        case 6:
          create.prevKv = reader.bool();
          break;
        case 7:
          create.watchId = reader.int();
          break;
        case 8:
          create.fragment = reader.bool();
          break;
        default:
          reader.skip();
      }
    }
    if (filters.length > 0)
      create.filters = filters
        .map((number) => filterNames[number])
        .filter((name) => name !== undefined);
    return create;
  },
};

export const watchRequest: MessageCodec<WatchRequestMessage> = {
  write(writer, message) {
    switch (message.kind) {
      case "create":
        return writer.message(1, message.create, watchCreate.write);
      case "cancel":
        return writer.message(2, message.watchId, (inner, watchId) => inner.int(1, watchId));
      case "progress":
        return writer.message(3, message, () => {});
    }
  },
  read(reader) {
    let message: WatchRequestMessage | undefined;
    while (reader.next()) {
      if (reader.field === 1)
        message = { kind: "create", create: reader.message(watchCreate.read) };
      else if (reader.field === 2)
        message = { kind: "cancel", watchId: reader.message(readWatchId) };
      else if (reader.field === 3) message = reader.message(readProgress);
      else reader.skip();
    }
    if (message === undefined) throw new WireError("a watch request without content");
    return message;
  },
};

function readWatchId(reader: Parameters<typeof watchRequest.read>[0]): number {
  let watchId = 0;
  while (reader.next()) {
    if (reader.field === 1) watchId = reader.int();
    else reader.skip();
  }
  return watchId;
}

function readProgress(reader: Parameters<typeof watchRequest.read>[0]): WatchRequestMessage {
  while (reader.next()) reader.skip();
  return { kind: "progress" };
}

export const watchEvent: MessageCodec<WatchEvent> = {
  write(writer, event) {
    writer.message(3, event.prevKv, keyValue.write);
    writer.message(2, event.kv, keyValue.write);
    writer.int(1, event.type === "delete" ? 1 : 0);
  },
  read(reader) {
    let type: WatchEvent["type"] = "put";
    let kv: KeyValue = {
      key: EMPTY,
      createRevision: 0,
      modRevision: 0,
      version: 0,
      value: EMPTY,
      lease: 0n,
    };
    let prevKv: KeyValue | undefined;
    while (reader.next()) {
      if (reader.field === 1) type = reader.int() === 1 ? "delete" : "put";
      else if (reader.field === 2) kv = reader.message(keyValue.read);
      else if (reader.field === 3) prevKv = reader.message(keyValue.read);
      else reader.skip();
    }
    return prevKv === undefined ? { type, kv } : { type, kv, prevKv };
  },
};

export const watchResponse: MessageCodec<WatchResponseMessage> = {
  write: watchResponseWriter((event) => encodeMessage(watchEvent, event)),
  read(reader) {
    const events: WatchEvent[] = [];
    const message: Mutable<WatchResponseMessage> = { ...plainWatchResponse, events };
    while (reader.next()) {
      switch (reader.field) {
        case 1:
          message.header = reader.message(responseHeader.read);
          break;
        case 2:
          message.watchId = reader.int();
          break;
        case 3:
          message.created = reader.bool();
          break;
        case 4:
          message.canceled = reader.bool();
          break;
        case 5:
          message.compactRevision = reader.int();
          break;
        case 6:
          message.cancelReason = reader.string();
          break;
        case 7:
          message.fragment = reader.bool();
          break;
        case 11:
          events.push(reader.message(watchEvent.read));
          break;
        default:
          reader.skip();
      }
    }
    return message;
  },
};

/** Writes responses with events that are encoded by the caller, who may keep the bytes for other watches. */
export function watchResponseWriter(
  encodeEvent: (event: WatchEvent) => Buffer,
): MessageCodec<WatchResponseMessage>["write"] {
  return (writer, message) => {
    for (let index = message.events.length - 1; index >= 0; index -= 1) {
      writer.setBytes(11, encodeEvent(message.events[index] as WatchEvent));
    }
    writer.bool(7, message.fragment);
    writer.string(6, message.cancelReason);
    writer.int(5, message.compactRevision);
    writer.bool(4, message.canceled);
    writer.bool(3, message.created);
    writer.int(2, message.watchId);
    writer.message(1, message.header, responseHeader.write);
  };
}

export const plainWatchResponse: WatchResponseMessage = {
  header: emptyHeader,
  watchId: 0,
  created: false,
  canceled: false,
  compactRevision: 0,
  cancelReason: "",
  fragment: false,
  events: [],
};
