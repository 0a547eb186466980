/**
 * Kubernetes' protobuf: "k8s\0", then a runtime.Unknown that says kind and version and holds the object's message. Objects have their JSON form everywhere else.
 */
import { ApiError, MachineryError, newBadRequest } from "@wherry/machinery";
import type { Tree } from "../tree.ts";
import { messageFromJson, messageToJson } from "./message-json.ts";
import { messageCodec, messageFields, messageOfKind } from "./message-table.ts";
import type { FieldValues } from "./special-messages.ts";

export interface ProtobufIdentity {
  readonly apiVersion: string;
  readonly kind: string;
}

export interface ProtobufDecoded extends ProtobufIdentity {
  /** The JSON form, apiVersion and kind first. */
  readonly object: Tree;
}

const magic = Buffer.from("k8s\0");
const envelope = "runtime.Unknown";

/** True for kinds that have a protobuf form: the built-in ones. */
export function hasProtobufForm(apiVersion: string, kind: string): boolean {
  return messageOfKind(apiVersion, kind) !== undefined;
}

/** Decodes an object in its envelope. What the envelope does not say is taken from `expected`. Throws ApiError BadRequest. */
export function decodeKubernetesProtobuf(
  bytes: Uint8Array,
  expected?: ProtobufIdentity,
): ProtobufDecoded {
  try {
    return decodeEnvelope(bytes, expected);
  } catch (error) {
    if (error instanceof ApiError) throw error;
    if (error instanceof MachineryError || error instanceof SyntaxError)
      throw newBadRequest(error.message);
    throw error;
  }
}

/** Encodes an object that has apiVersion and kind. Throws ApiError BadRequest for kinds without a protobuf form. */
export function encodeKubernetesProtobuf(object: Readonly<Tree>): Buffer {
  const apiVersion = String(object["apiVersion"] ?? "");
  const kind = String(object["kind"] ?? "");
  const message = requireMessage(apiVersion, kind);
  const raw = messageCodec().encode(message, messageFromJson(message, object));
  return inEnvelope({ apiVersion, kind }, raw);
}

/**
 * Encodes a list item by item, so that the caller can let the event loop go in between. `item` takes an object in JSON form; `finish` gives the whole
 * answer.
 */
export function createProtobufList(identity: ProtobufIdentity): {
  item(object: Readonly<Tree>): void;
  finish(metadata: object): Buffer;
} {
  const message = requireMessage(identity.apiVersion, identity.kind);
  const fields = messageFields(message);
  const items = fields.find(({ json }) => json === "items");
  if (items === undefined) throw new Error(`${identity.kind} is no list`);
  const codec = messageCodec();
  const chunks: Buffer[] = [];
  return {
    item(object) {
      chunks.push(codec.encode(message, { [items.number]: [messageFromJson(items.type, object)] }));
    },
    finish(metadata) {
      const head = codec.encode(message, messageFromJson(message, { metadata }));
      return inEnvelope(identity, Buffer.concat([head, ...chunks]));
    },
  };
}

/** One event of a watch: four bytes of length, then a WatchEvent without an envelope that holds the object in its own. */
export function encodeProtobufWatchEvent(type: string, object: Readonly<Tree>): Buffer {
  const event = messageCodec().encode("meta.v1.WatchEvent", {
    "1": type,
    "2": { "1": encodeKubernetesProtobuf(object) },
  });
  const length = Buffer.alloc(4);
  length.writeUInt32BE(event.length);
  return Buffer.concat([length, event]);
}

function decodeEnvelope(
  bytes: Uint8Array,
  expected: ProtobufIdentity | undefined,
): ProtobufDecoded {
  if (!hasMagic(bytes)) {
    throw newBadRequest(
      "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]",
    );
  }
  const unknown = messageCodec().decode(envelope, bytes.subarray(magic.length));
  const type = (unknown["1"] ?? {}) as FieldValues;
  const apiVersion = String(type["1"] || (expected?.apiVersion ?? ""));
  const kind = String(type["2"] || (expected?.kind ?? ""));
  const raw = Buffer.from((unknown["2"] ?? new Uint8Array()) as Uint8Array);
  const encoding = String(unknown["3"] ?? "");
  const contentType = String(unknown["4"] ?? "");
  if (encoding !== "")
    throw newBadRequest(
      `the content encoding ${JSON.stringify(encoding)} of a protobuf body is not supported`,
    );
  if (contentType === "application/json") {
    const object = JSON.parse(raw.toString()) as Tree;
    return { apiVersion, kind, object: { ...object, apiVersion, kind } };
  }
  if (contentType !== "" && contentType !== "application/vnd.kubernetes.protobuf")
    throw newBadRequest(
      `the content type ${JSON.stringify(contentType)} inside of a protobuf body is not supported`,
    );
  const message = requireMessage(apiVersion, kind);
  const values = messageCodec().decode(message, raw);
  const object = { apiVersion, kind, ...(messageToJson(message, values) as Tree) };
  return { apiVersion, kind, object };
}

function inEnvelope({ apiVersion, kind }: ProtobufIdentity, raw: Buffer): Buffer {
  const unknown = messageCodec().encode(envelope, {
    "1": { "1": apiVersion, "2": kind },
    "2": raw,
    "3": "",
    "4": "",
  });
  return Buffer.concat([magic, unknown]);
}

function requireMessage(apiVersion: string, kind: string): string {
  const message = messageOfKind(apiVersion, kind);
  if (message !== undefined) return message;
  throw newBadRequest(
    `no kind ${JSON.stringify(kind)} is registered for version ${JSON.stringify(apiVersion)} in scheme "pkg/api/legacyscheme/scheme.go:30"`,
  );
}

function hasMagic(bytes: Uint8Array): boolean {
  return bytes.length >= magic.length && magic.equals(bytes.subarray(0, magic.length));
}
