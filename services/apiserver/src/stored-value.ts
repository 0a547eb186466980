/**
 * The bytes of a stored object. Our own encoding is JSON that begins with `{"kind":…,"apiVersion":…,"metadata":{` and has no
 * resourceVersion, so that an answer is made by putting another head in front of the rest (the *tail*) without parsing.
 */
import type { JsonObject, KubeObject } from "@wherry/machinery";

/** A value that this server cannot read; the message says which key and what to do. */
export class UnreadableValueError extends Error {
  readonly key: string;

  constructor(key: string, message: string, options?: ErrorOptions) {
    super(`${key}: ${message}`, options);
    this.name = "UnreadableValueError";
    this.key = key;
  }
}

export interface TypeIdentity {
  readonly kind: string;
  readonly apiVersion: string;
}

/** The first bytes of every value of this type in our own encoding. */
export function valuePrefix(type: TypeIdentity): string {
  return `{"kind":${JSON.stringify(type.kind)},"apiVersion":${JSON.stringify(type.apiVersion)},"metadata":{`;
}

export function encodeValue(type: TypeIdentity, object: KubeObject): Buffer {
  const {
    kind: _kind,
    apiVersion: _apiVersion,
    metadata,
    ...rest
  } = object as KubeObject & JsonObject;
  const { resourceVersion: _resourceVersion, selfLink: _selfLink, ...stored } = metadata;
  return Buffer.from(
    JSON.stringify({ kind: type.kind, apiVersion: type.apiVersion, metadata: stored, ...rest }),
  );
}

const protobufMagic = Buffer.from("k8s\0");
let decodeStoredProtobuf: ((value: Buffer, type: TypeIdentity) => object) | undefined;

/** Kubernetes protobuf: what another API server has stored built-in kinds as. */
export function isProtobuf(value: Buffer): boolean {
  return value.length >= 4 && value.compare(protobufMagic, 0, 4, 0, 4) === 0;
}

/** Loads what `canonicalValue` needs for values that are protobuf. Call it before, when there is one among them. */
export async function loadProtobuf(values: Iterable<{ readonly value: Buffer }>): Promise<void> {
  if (decodeStoredProtobuf !== undefined) return;
  for (const { value } of values) {
    if (!isProtobuf(value)) continue;
    ({ decodeStoredProtobuf } = await import("./protobuf-object.ts"));
    return;
  }
}

/** Returns the value itself when it is in our encoding, else rewrites it: another server's protobuf, or its unstructured JSON of custom resources. */
export function canonicalValue(
  key: string,
  value: Buffer,
  type: TypeIdentity,
  prefix: Buffer,
): Buffer {
  if (
    value.length > prefix.length &&
    value.compare(prefix, 0, prefix.length, 0, prefix.length) === 0
  )
    return value;
  let object: KubeObject;
  try {
    object = isProtobuf(value)
      ? (decodeStoredProtobuf!(value, type) as unknown as KubeObject)
      : (JSON.parse(value.toString()) as KubeObject);
  } catch (error) {
    throw new UnreadableValueError(
      key,
      "the value is neither JSON nor Kubernetes protobuf; restore or delete the key",
      { cause: error },
    );
  }
  if (object.metadata?.name === undefined)
    throw new UnreadableValueError(
      key,
      "the value has no metadata.name; restore or delete the key",
    );
  return encodeValue(type, object);
}

/** Parses a value and adds the resourceVersion. The result is private to the caller. */
export function decodeValue(value: Buffer, revision: number): KubeObject {
  const object = JSON.parse(value.toString()) as KubeObject & {
    metadata: { resourceVersion?: string };
  };
  object.metadata.resourceVersion = String(revision);
  return object;
}
