import { ApiError, type KubeObject, type WatchEvent } from "@wherry/machinery";
import { isStatus, parseJson } from "./read-body.ts";
import { TransportError, transportErrorFrom } from "./transport-error.ts";

/** A watch line holds one object; etcd's own limits keep real ones far below. */
export const watchLineBytesMax = 16 * 1024 * 1024;

const newline = 0x0a;

/**
 * Turns the body of a watch into events. Lines may be cut anywhere by chunk borders. An ERROR event is thrown; so is a body that ends in
 * the middle of a line.
 */
export async function* watchEvents<T extends KubeObject>(
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<WatchEvent<T>, void, undefined> {
  try {
    for await (const line of splitLines(body)) {
      const event = parseJson(line) as unknown as WatchEvent<T>;
      if (event.type === "ERROR") throw errorFrom(event.object);
      yield event;
    }
  } catch (error) {
    if (error instanceof ApiError) throw error;
    throw transportErrorFrom(error, "interrupted", signal);
  }
}

async function* splitLines(
  body: AsyncIterable<Uint8Array>,
): AsyncGenerator<string, void, undefined> {
  let partial: Buffer[] = [];
  let partialBytes = 0;
  for await (const bytes of body) {
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let start = 0;
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, start)) {
      const piece = chunk.subarray(start, end);
      const line =
        partial.length === 0 ? piece.toString() : Buffer.concat([...partial, piece]).toString();
      partial = [];
      partialBytes = 0;
      start = end + 1;
      if (line.trim() !== "") yield line;
    }
    if (start < chunk.length) {
      partial.push(Buffer.from(chunk.subarray(start)));
      partialBytes += chunk.length - start;
      if (partialBytes > watchLineBytesMax) {
        throw new TransportError(
          "badAnswer",
          `a watch line is longer than ${watchLineBytesMax} bytes`,
        );
      }
    }
  }
  if (partialBytes > 0)
    throw new TransportError("interrupted", "the watch ended in the middle of an event");
}

function errorFrom(object: unknown): Error {
  if (isStatus(object)) return new ApiError(object);
  return new TransportError("badAnswer", "the watch sent an ERROR event without a Status");
}
