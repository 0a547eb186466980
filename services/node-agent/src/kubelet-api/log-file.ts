import { open, stat, type FileHandle } from "node:fs/promises";

const BLOCK_BYTES = 64 * 1024;
/** A longer line is handed on in pieces; the runtime splits lines at 16 KiB. */
const LINE_MAX_BYTES = 1024 * 1024;
const NEWLINE = 0x0a;

/** Reads a log file by whole lines, and notices when another file has taken its place. */
export interface LogFile {
  /** Lines up to the present end; empty when there are none. */
  readLines(): Promise<readonly Buffer[]>;
  /** Whether the path names another file by now, or the file was cut. */
  wasReplaced(): Promise<boolean>;
  close(): Promise<void>;
}

/** Opens the file at the start of its last `tailLines` lines, or at its beginning. Undefined when there is no such file. */
export async function openLogFile(
  path: string,
  tailLines: number | undefined,
): Promise<LogFile | undefined> {
  let handle: FileHandle;
  try {
    handle = await open(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  try {
    return readerOf(
      path,
      handle,
      tailLines === undefined ? 0 : await tailOffset(handle, tailLines),
    );
  } catch (error) {
    await handle.close();
    throw error;
  }
}

function readerOf(path: string, handle: FileHandle, start: number): LogFile {
  let offset = start;
  let rest = Buffer.alloc(0);
  return {
    async readLines() {
      const { bytesRead, buffer } = await handle.read(
        Buffer.allocUnsafe(BLOCK_BYTES),
        0,
        BLOCK_BYTES,
        offset,
      );
      offset += bytesRead;
      if (bytesRead === 0) return [];
      let block =
        rest.length === 0
          ? buffer.subarray(0, bytesRead)
          : Buffer.concat([rest, buffer.subarray(0, bytesRead)]);
      const lines: Buffer[] = [];
      for (let end = block.indexOf(NEWLINE); end >= 0; end = block.indexOf(NEWLINE)) {
        lines.push(block.subarray(0, end));
        block = block.subarray(end + 1);
      }
      if (block.length > LINE_MAX_BYTES) {
        lines.push(block);
        block = Buffer.alloc(0);
      }
      rest = Buffer.from(block);
      // A block without a line's end is not the end of the file.
      return lines.length > 0 ? lines : this.readLines();
    },
    async wasReplaced() {
      const [current, opened] = await Promise.all([
        stat(path).catch(() => undefined),
        handle.stat(),
      ]);
      return current !== undefined && (current.ino !== opened.ino || current.size < offset);
    },
    close: () => handle.close(),
  };
}

/** Where the last lines begin, found from the end of the file backwards. */
async function tailOffset(handle: FileHandle, lines: number): Promise<number> {
  const { size } = await handle.stat();
  if (lines === 0) return size;
  let found = 0;
  for (let end = size; end > 0;) {
    const start = Math.max(0, end - BLOCK_BYTES);
    const { bytesRead, buffer } = await handle.read(
      Buffer.allocUnsafe(end - start),
      0,
      end - start,
      start,
    );
    for (let at = bytesRead - 1; at >= 0; at -= 1) {
      // The newline that ends the file ends its last line and begins none.
      if (buffer[at] !== NEWLINE || start + at === size - 1) continue;
      found += 1;
      if (found === lines) return start + at + 1;
    }
    end = start;
  }
  return 0;
}
