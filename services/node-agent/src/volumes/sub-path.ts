import { constants } from "node:fs";
import { mkdir, open, realpath } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import type { Mounter } from "./mounter.ts";
import { VolumeError } from "./volume-error.ts";

export interface SubPathRequest {
  /** The volume's folder on the host. */
  readonly volumePath: string;
  /** Relative, without `..`. */
  readonly subPath: string;
  /** Where the bind is made. */
  readonly target: string;
  /** Permissions of folders that do not exist yet. */
  readonly mode: number;
}

/**
 * Binds one path inside a volume on `target`. The path is walked part by part with O_NOFOLLOW through open descriptors, so that a link that
 * a container planted in the volume cannot lead out of it. An old bind is replaced, because the file behind it may be gone since.
 */
export async function bindSubPath(
  { volumePath, subPath, target, mode }: SubPathRequest,
  mounter: Mounter,
): Promise<string> {
  const parts = splitSubPath(subPath);
  const handle = await openBelow(volumePath, parts, mode);
  try {
    const isFolder = (await handle.stat()).isDirectory();
    await mounter.unmount(target);
    await mkdir(isFolder ? target : dirname(target), { recursive: true, mode: 0o750 });
    if (!isFolder) await (await open(target, "a", 0o640)).close();
    await mounter.bindDescriptor(handle.fd, target);
    return target;
  } finally {
    await handle.close();
  }
}

export function splitSubPath(subPath: string): readonly string[] {
  const parts = subPath.split("/").filter((part) => part !== "" && part !== ".");
  if (subPath.startsWith("/"))
    throw new VolumeError("invalid", `subPath ${JSON.stringify(subPath)} must be a relative path`);
  if (parts.includes(".."))
    throw new VolumeError("invalid", `subPath ${JSON.stringify(subPath)} must not contain ".."`);
  return parts;
}

const pathOnly = 0o10000000; // O_PATH, which node:fs does not name.

async function openBelow(
  volumePath: string,
  parts: readonly string[],
  mode: number,
): Promise<FileHandle> {
  const root = await realpath(volumePath);
  let handle = await open(root, pathOnly | constants.O_DIRECTORY);
  try {
    const resolved = await resolveInside(root, parts);
    for (const [index, part] of resolved.entries()) {
      const next = await openPart(handle, part, mode, index === resolved.length - 1);
      await handle.close();
      handle = next;
    }
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** The parts with links resolved (atomically written volumes are made of links), as far as the path exists. Throws when they lead outside. */
async function resolveInside(root: string, parts: readonly string[]): Promise<readonly string[]> {
  for (let length = parts.length; length > 0; length -= 1) {
    let real: string;
    try {
      real = await realpath(join(root, ...parts.slice(0, length)));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") continue;
      throw error;
    }
    const inside = relative(root, real);
    if (inside === ".." || inside.startsWith("../"))
      throw new VolumeError(
        "invalid",
        `subPath ${JSON.stringify(parts.join("/"))} leads out of its volume`,
      );
    return [...inside.split("/").filter((part) => part !== ""), ...parts.slice(length)];
  }
  return parts;
}

async function openPart(
  parent: FileHandle,
  part: string,
  mode: number,
  last: boolean,
): Promise<FileHandle> {
  const path = join("/proc/self/fd", String(parent.fd), part);
  try {
    return await expectNoLink(await open(path, pathOnly | constants.O_NOFOLLOW), part, last);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    await mkdir(path, { mode });
    return await expectNoLink(await open(path, pathOnly | constants.O_NOFOLLOW), part, last);
  }
}

/** With O_PATH a link itself is opened instead of refused, so it is refused here: it was swapped in after the path had been resolved. */
async function expectNoLink(handle: FileHandle, part: string, last: boolean): Promise<FileHandle> {
  const stats = await handle.stat();
  const problem = stats.isSymbolicLink()
    ? "a symbolic link"
    : !last && !stats.isDirectory()
      ? "not a directory"
      : undefined;
  if (problem === undefined) return handle;
  await handle.close();
  throw new VolumeError("invalid", `subPath part ${JSON.stringify(part)} is ${problem}`);
}
