import {
  chmod,
  chown,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import { VolumeError } from "./volume-error.ts";

export interface PayloadFile {
  readonly data: Uint8Array;
  /** Permission bits. */
  readonly mode: number;
  readonly uid?: number | undefined;
}

/** Files by path relative to the volume. */
export type Payload = ReadonlyMap<string, PayloadFile>;

export interface WriteOptions {
  /** Group that gets access to every file. */
  readonly fsGroup?: number | undefined;
}

const dataLink = "..data";
const newDataLink = "..data_tmp";

/**
 * Writes a set of files into `target` so that a reader sees either all old or all new ones:
 * files go into a fresh timed folder, the link `..data` is swung over to it by a rename, and the names that users see are links through
 * `..data`. Writes nothing when the contents are already there. Returns whether something was written.
 */
export async function writeAtomically(
  target: string,
  payload: Payload,
  options: WriteOptions = {},
): Promise<boolean> {
  for (const path of payload.keys()) validatePath(path);
  const oldFolder = await currentFolder(target);
  if (oldFolder !== undefined && (await holds(join(target, oldFolder), payload))) {
    await linkNames(target, payload);
    return false;
  }
  const folder = await writeFolder(target, payload, options);
  await rm(join(target, newDataLink), { force: true });
  await symlink(folder, join(target, newDataLink));
  await rename(join(target, newDataLink), join(target, dataLink));
  await linkNames(target, payload);
  await removeStaleNames(target, payload);
  if (oldFolder !== undefined) await rm(join(target, oldFolder), { recursive: true, force: true });
  return true;
}

function validatePath(path: string): void {
  const parts = path.split("/");
  const bad =
    path === "" ||
    path.startsWith("/") ||
    parts.includes("..") ||
    path.startsWith("..") ||
    path.length > 4_096 ||
    parts.some((part) => part.length > 255 || part === "");
  if (bad)
    throw new VolumeError(
      "invalid",
      `invalid path in volume: ${JSON.stringify(path)}; it must be relative, without ".." and not begin with ".."`,
    );
}

async function currentFolder(target: string): Promise<string | undefined> {
  try {
    return await readlink(join(target, dataLink));
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

async function holds(folder: string, payload: Payload): Promise<boolean> {
  const present = await filesBelow(folder);
  if (present.length !== payload.size) return false;
  for (const path of present) {
    const wanted = payload.get(path);
    if (wanted === undefined) return false;
    const full = join(folder, path);
    const { mode } = await lstat(full);
    // A group's access is added on top, so only bits that are wanted and absent count.
    if ((mode & wanted.mode) !== wanted.mode) return false;
    if (!(await readFile(full)).equals(wanted.data)) return false;
  }
  return true;
}

async function filesBelow(folder: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => !entry.isDirectory())
      .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
  } catch (error) {
    if (codeOf(error) === "ENOENT") return [];
    throw error;
  }
}

async function writeFolder(
  target: string,
  payload: Payload,
  { fsGroup }: WriteOptions,
): Promise<string> {
  const stamp = new Date().toISOString().slice(0, 19).replaceAll(/[-:]/gu, "_").replace("T", "_");
  const folder = await mkdtemp(join(target, `..${stamp}.`));
  await chmod(folder, 0o755);
  const folders = new Set<string>([folder]);
  for (const [path, file] of payload) {
    const full = join(folder, path);
    const parent = dirname(full);
    if (!folders.has(parent)) {
      await mkdir(parent, { recursive: true, mode: 0o755 });
      for (let at = parent; at.length > folder.length; at = dirname(at)) folders.add(at);
    }
    await writeFile(full, file.data, { mode: file.mode & 0o777 });
    // The process' mask may have taken bits away.
    await chmod(full, file.mode & 0o7777);
    if (file.uid !== undefined) await chown(full, file.uid, -1);
    if (fsGroup !== undefined) {
      await chown(full, -1, fsGroup);
      await chmod(full, (file.mode & 0o7777) | 0o440);
    }
  }
  if (fsGroup !== undefined) {
    for (const one of folders) {
      await chown(one, -1, fsGroup);
      await chmod(one, 0o2755);
    }
  }
  return folder.slice(target.length + 1);
}

/** The first parts of the paths: what users see. */
function visibleNames(payload: Payload): ReadonlySet<string> {
  return new Set([...payload.keys()].map((path) => path.split("/", 1)[0] ?? path));
}

async function linkNames(target: string, payload: Payload): Promise<void> {
  for (const name of visibleNames(payload)) {
    const wanted = `${dataLink}/${name}`;
    const link = join(target, name);
    if ((await readLinkOrNothing(link)) === wanted) continue;
    await rm(link, { recursive: true, force: true });
    await symlink(wanted, link);
  }
}

async function removeStaleNames(target: string, payload: Payload): Promise<void> {
  const names = visibleNames(payload);
  for (const entry of await readdir(target)) {
    if (entry.startsWith("..") || names.has(entry)) continue;
    if ((await readLinkOrNothing(join(target, entry)))?.startsWith(`${dataLink}/`) === true)
      await rm(join(target, entry), { force: true });
  }
}

async function readLinkOrNothing(path: string): Promise<string | undefined> {
  try {
    return await readlink(path);
  } catch (error) {
    if (codeOf(error) === "ENOENT" || codeOf(error) === "EINVAL") return undefined;
    throw error;
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}
