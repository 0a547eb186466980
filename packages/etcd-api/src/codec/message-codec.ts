import { WireReader } from "./wire-reader.ts";
import { WireWriter } from "./wire-writer.ts";

/** How one message of the etcd API is written and read. */
export interface MessageCodec<T> {
  readonly write: (writer: WireWriter, message: T) => void;
  readonly read: (reader: WireReader) => T;
}

export type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

export const EMPTY: Buffer = Buffer.alloc(0);

/** `sizeHint` saves copies when a message is known to be large. */
export function encodeMessage<T>(codec: MessageCodec<T>, message: T, sizeHint = 256): Buffer {
  const writer = new WireWriter(sizeHint);
  codec.write(writer, message);
  return writer.finish();
}

/** With `own`, byte fields do not refer to `bytes` afterwards. Throws WireError. */
export function decodeMessage<T>(codec: MessageCodec<T>, bytes: Buffer, own: boolean): T {
  return codec.read(new WireReader(bytes, own));
}

/** The number of an enum's name in protocol order. */
export function enumNumber<Name extends string>(names: readonly Name[], name: Name): number {
  return names.indexOf(name);
}
