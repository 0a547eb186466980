import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { createPauseImage, PAUSE_IMAGE_REFERENCE } from "@wherry/cri-api";
import type { ContainerRuntime } from "@wherry/cri-api";
import type { Logger } from "@wherry/service-kit";

/** What was imported from one file, to tell a file that has not changed since. */
interface Stamp {
  readonly size: number;
  readonly modifiedMs: number;
  readonly references: readonly string[];
}

const archivePattern = /\.(?:tar|tar\.gz|tgz)$/u;
const stampsName = ".imported.json";

/**
 * Imports the image archives of a folder. A file whose size and time are those of its last import, and whose images are still there, is
 * passed over. One broken file does not keep the others out.
 */
export async function preloadImages(
  folder: string,
  runtime: Pick<ContainerRuntime, "importImages" | "imageStatus">,
  log: Logger,
): Promise<readonly string[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  const stampsFile = join(folder, stampsName);
  const before = await readStamps(stampsFile);
  const after: Record<string, Stamp> = {};
  const imported: string[] = [];
  for (const name of names.filter((one) => archivePattern.test(one)).toSorted()) {
    const path = join(folder, name);
    try {
      const { size, mtimeMs } = await stat(path);
      const known = before[name];
      if (
        known !== undefined &&
        known.size === size &&
        known.modifiedMs === mtimeMs &&
        (await allPresent(known.references, runtime))
      ) {
        after[name] = known;
        continue;
      }
      const references = await runtime.importImages(path);
      after[name] = { size, modifiedMs: mtimeMs, references };
      imported.push(...references);
      log.info({ file: path, images: references.length }, "imported images");
    } catch (error) {
      log.error(
        { err: error, file: path },
        "importing images failed; the file is tried again at the next start",
      );
    }
  }
  if (names.length > 0) await writeStamps(stampsFile, after);
  return imported;
}

/** Puts the built-in sandbox image into the runtime, unless it is there. `folder` holds the archive for a moment. */
export async function importPauseImage(
  folder: string,
  runtime: Pick<ContainerRuntime, "importImages" | "imageStatus">,
): Promise<void> {
  if ((await runtime.imageStatus(PAUSE_IMAGE_REFERENCE)) !== undefined) return;
  const file = join(folder, "pause.tar");
  await mkdir(folder, { recursive: true });
  await writeFile(file, await createPauseImage());
  try {
    await runtime.importImages(file);
  } finally {
    await rm(file, { force: true });
  }
}

async function allPresent(
  references: readonly string[],
  runtime: Pick<ContainerRuntime, "imageStatus">,
): Promise<boolean> {
  for (const reference of references)
    if ((await runtime.imageStatus(reference)) === undefined) return false;
  return true;
}

async function readStamps(file: string): Promise<Readonly<Record<string, Stamp>>> {
  try {
    return JSON.parse(await readFile(file, "utf8")) as Record<string, Stamp>;
  } catch {
    return {}; // Absent or half written: everything is imported anew.
  }
}

async function writeStamps(file: string, stamps: Readonly<Record<string, Stamp>>): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  await writeFile(`${file}.tmp`, JSON.stringify(stamps, undefined, 2));
  await rename(`${file}.tmp`, file);
}
