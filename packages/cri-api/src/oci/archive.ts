import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { posix } from "node:path";
import type { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { RuntimeError } from "../runtime.ts";

/** Documents up to this size are kept while scanning; manifests and configurations are a few kilobytes. */
const DOCUMENT_MAX_BYTES = 1024 * 1024;
const DOCUMENTS_MAX_BYTES = 32 * 1024 * 1024;
const READ_BYTES = 512 * 1024;
const BLOB_FOLDER = "blobs/sha256/";
const GZIP_MAGIC = [0x1f, 0x8b];
const ZSTD_MAGIC = [0x28, 0xb5, 0x2f, 0xfd];

export interface ArchiveEntry {
  readonly size: number;
  readonly digest: string;
  /** The content of what looks like a JSON document. */
  readonly document?: Buffer;
  /** Whether the content is gzip, told by its first bytes. */
  readonly gzip: boolean;
}

/** Regular files by name, with links to them resolved. */
export type ArchiveListing = ReadonlyMap<string, ArchiveEntry>;

/** Reads an archive once, keeping digests and small documents only. */
export async function scanArchive(file: string): Promise<ArchiveListing> {
  const entries = new Map<string, ArchiveEntry>();
  const links = new Map<string, string>();
  let documentsBytes = 0;
  await readArchive(file, async (name, content, size, linkTo) => {
    if (linkTo !== undefined) {
      links.set(name, linkTo);
      return;
    }
    const named = name.startsWith(BLOB_FOLDER);
    const hash = named ? undefined : createHash("sha256");
    const kept: Buffer[] = [];
    let first: Buffer | undefined;
    for await (const chunk of content) {
      first ??= chunk;
      hash?.update(chunk);
      if (size <= DOCUMENT_MAX_BYTES) kept.push(chunk);
    }
    const isDocument = size <= DOCUMENT_MAX_BYTES && (first?.[0] === 0x7b || first?.[0] === 0x5b);
    if (isDocument) documentsBytes += size;
    if (documentsBytes > DOCUMENTS_MAX_BYTES)
      throw invalid(file, `holds more than ${DOCUMENTS_MAX_BYTES} bytes of JSON documents`);
    const digest = `sha256:${hash === undefined ? name.slice(BLOB_FOLDER.length) : hash.digest("hex")}`;
    entries.set(name, {
      size,
      digest,
      gzip: startsWith(first, GZIP_MAGIC),
      ...(isDocument ? { document: Buffer.concat(kept) } : {}),
    });
  });
  for (const [name, target] of links) {
    const entry = entries.get(target);
    if (entry !== undefined) entries.set(name, entry);
  }
  return entries;
}

/** Calls back for each file in order; what the callback leaves unread is skipped. Compressed archives (gzip, zstd) are unpacked on the way. */
export async function readArchive(
  file: string,
  visit: (
    name: string,
    content: AsyncIterable<Buffer>,
    size: number,
    linkTo: string | undefined,
  ) => Promise<void>,
): Promise<void> {
  const { default: tar } = await import("tar-stream");
  const extract = tar.extract();
  const source = createReadStream(file, { highWaterMark: READ_BYTES });
  const decompressor = await decompressorFor(file);
  const piping =
    decompressor === undefined
      ? pipeline(source, extract)
      : pipeline(source, decompressor, extract);
  piping.catch(() => {});
  try {
    for await (const entry of extract) {
      const { name, type, size, linkname } = entry.header;
      if (type === "file" || type === "contiguous-file")
        await visit(posix.normalize(name), entry as AsyncIterable<Buffer>, size, undefined);
      else if (type === "symlink" && typeof linkname === "string")
        await visit(
          posix.normalize(name),
          entry as AsyncIterable<Buffer>,
          0,
          posix.join(posix.dirname(name), linkname),
        );
      else if (type === "link" && typeof linkname === "string")
        await visit(
          posix.normalize(name),
          entry as AsyncIterable<Buffer>,
          0,
          posix.normalize(linkname),
        );
      entry.resume();
    }
    await piping;
  } catch (error) {
    source.destroy();
    await piping.catch(() => {});
    if (error instanceof RuntimeError) throw error;
    throw invalid(
      file,
      `cannot be read as a tar archive: ${error instanceof Error ? error.message : String(error)}`,
      error,
    );
  }
}

function invalid(file: string, problem: string, cause?: unknown): RuntimeError {
  return new RuntimeError("invalidArgument", `${file} ${problem}`, { cause });
}

async function decompressorFor(file: string): Promise<Transform | undefined> {
  const handle = await open(file);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(4), 0, 4, 0);
    const magic = buffer.subarray(0, bytesRead);
    if (!startsWith(magic, GZIP_MAGIC) && !startsWith(magic, ZSTD_MAGIC)) return undefined;
    const { createGunzip, createZstdDecompress } = await import("node:zlib");
    return startsWith(magic, GZIP_MAGIC) ? createGunzip() : createZstdDecompress();
  } finally {
    await handle.close();
  }
}

function startsWith(bytes: Buffer | undefined, magic: readonly number[]): boolean {
  return bytes !== undefined && magic.every((byte, index) => bytes[index] === byte);
}
