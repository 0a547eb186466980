import { readMessage, recordType } from "./dns-message.ts";

/** Answers kept, and their bytes together; at either bound the oldest goes. */
const ENTRIES_MAX = 1_000;
const BYTES_MAX = 1 << 20;
/** Seconds: nothing is kept longer, whatever its own time says. */
const TTL_MAX = 30;

interface Entry {
  readonly bytes: Uint8Array;
  readonly ttlOffsets: readonly number[];
  readonly storedMs: number;
  readonly expiresMs: number;
}

/** Upstream answers, kept for as long as they say, but no longer than half a minute. */
export interface AnswerCache {
  /** The stored answer with its times to live reduced by its age. The caller may change the bytes. */
  get(key: string): Uint8Array | undefined;
  put(key: string, bytes: Uint8Array): void;
}

/** `now` is in milliseconds and never goes back. */
export function createAnswerCache(now: () => number): AnswerCache {
  const entries = new Map<string, Entry>();
  let total = 0;
  const drop = (key: string, entry: Entry): void => {
    entries.delete(key);
    total -= entry.bytes.length;
  };
  return {
    get(key) {
      const entry = entries.get(key);
      if (entry === undefined) return undefined;
      const at = now();
      if (at >= entry.expiresMs) {
        drop(key, entry);
        return undefined;
      }
      const age = Math.floor((at - entry.storedMs) / 1_000);
      const bytes = Buffer.from(entry.bytes);
      for (const offset of entry.ttlOffsets)
        bytes.writeUInt32BE(Math.max(0, bytes.readUInt32BE(offset) - age), offset);
      return bytes;
    },
    put(key, bytes) {
      const message = readMessage(bytes);
      if (message.truncated || (message.code !== 0 && message.code !== 3)) return;
      const records = [...message.answers, ...message.authorities, ...message.additionals].filter(
        (record) => record.type !== recordType.OPT,
      );
      // Without any record there is nothing that says how long the answer holds.
      const ttl = Math.min(
        TTL_MAX,
        ...records.map((record) => record.ttl),
        ...negativeTtl(bytes, message),
      );
      if (records.length === 0 || ttl <= 0) return;
      const previous = entries.get(key);
      if (previous !== undefined) drop(key, previous);
      const at = now();
      entries.set(key, {
        bytes: Uint8Array.from(bytes),
        ttlOffsets: records.map((record) => record.ttlOffset),
        storedMs: at,
        expiresMs: at + ttl * 1_000,
      });
      total += bytes.length;
      for (const [oldest, entry] of entries) {
        if (entries.size <= ENTRIES_MAX && total <= BYTES_MAX) break;
        drop(oldest, entry);
      }
    },
  };
}

/** An answer without records holds for the SOA's minimum (RFC 2308). */
function negativeTtl(bytes: Uint8Array, message: ReturnType<typeof readMessage>): number[] {
  if (message.answers.length > 0) return [];
  const soa = message.authorities.find((record) => record.type === recordType.SOA);
  if (soa === undefined || soa.dataLength < 4) return [0];
  return [
    Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).readUInt32BE(
      soa.dataOffset + soa.dataLength - 4,
    ),
  ];
}
