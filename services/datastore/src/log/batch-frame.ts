import type { LogRecord } from "./log.ts";

/**
 * A batch's records in one block of memory, so that it moves to the writer's thread at the price of one copy. Private to
 * one process; nothing of it is kept.
 */

/** revision, createRevision, version: float64 · lease: int64 · key length, value length: uint32 · deleted: uint8 */
const HEAD_BYTES = 3 * 8 + 8 + 2 * 4 + 1;

export interface FramedRecord extends Omit<LogRecord, "key"> {
  readonly key: Buffer;
}

export function packBatch(records: readonly LogRecord[]): ArrayBuffer {
  const size = records.reduce(
    (sum, record) => sum + HEAD_BYTES + record.key.length + record.value.length,
    0,
  );
  const frame = Buffer.allocUnsafeSlow(size);
  let at = 0;
  for (const record of records) {
    at = frame.writeDoubleLE(record.revision, at);
    at = frame.writeDoubleLE(record.createRevision, at);
    at = frame.writeDoubleLE(record.version, at);
    at = frame.writeBigInt64LE(record.lease, at);
    at = frame.writeUInt32LE(record.key.length, at);
    at = frame.writeUInt32LE(record.value.length, at);
    at = frame.writeUInt8(record.deleted ? 1 : 0, at);
    at += frame.write(record.key, at, "latin1");
    at += record.value.copy(frame, at);
  }
  return frame.buffer;
}

/** The records' buffers are views of the frame. */
export function* unpackBatch(data: ArrayBuffer): Generator<FramedRecord> {
  const frame = Buffer.from(data);
  for (let at = 0; at < frame.length;) {
    const keyAt = at + HEAD_BYTES;
    const valueAt = keyAt + frame.readUInt32LE(at + 32);
    const end = valueAt + frame.readUInt32LE(at + 36);
    yield {
      revision: frame.readDoubleLE(at),
      createRevision: frame.readDoubleLE(at + 8),
      version: frame.readDoubleLE(at + 16),
      lease: frame.readBigInt64LE(at + 24),
      deleted: frame.readUInt8(at + 40) === 1,
      key: frame.subarray(keyAt, valueAt),
      value: frame.subarray(valueAt, end),
    };
    at = end;
  }
}
