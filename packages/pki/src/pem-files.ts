import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { KeyPair } from "./certificate.ts";

/** A certificate and its key on disk: `<base>.crt` and `<base>.key` (0600). */
export async function readPair(base: string): Promise<KeyPair | undefined> {
  try {
    const [certPem, keyPem] = await Promise.all([
      readFile(`${base}.crt`, "utf8"),
      readFile(`${base}.key`, "utf8"),
    ]);
    return { certPem, keyPem };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new Error(
      `certificate ${base}.crt or its key cannot be read: ${(error as Error).message}`,
      { cause: error },
    );
  }
}

export async function writePair(base: string, pair: KeyPair): Promise<void> {
  await writeSecret(`${base}.key`, pair.keyPem);
  await writeFileAtomic(`${base}.crt`, pair.certPem, 0o644);
}

/** Written beside and renamed, readable by the owner only. */
export function writeSecret(file: string, content: string): Promise<void> {
  return writeFileAtomic(file, content, 0o600);
}

export async function writeFileAtomic(file: string, content: string, mode: number): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const temporary = `${file}.new`;
  await writeFile(temporary, content, { mode, flush: true });
  await rename(temporary, file);
}
