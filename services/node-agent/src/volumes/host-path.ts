import { chmod, mkdir, open, stat } from "node:fs/promises";
import type { Stats } from "node:fs";
import { dirname } from "node:path";
import { VolumeError } from "./volume-error.ts";

/** Checks a hostPath volume against its type, and creates it for the types that ask for it. */
export async function prepareHostPath(path: string, type: string): Promise<void> {
  const existing = await statOrNothing(path);
  switch (type) {
    case "":
      return;
    case "DirectoryOrCreate":
      if (existing === undefined) {
        await mkdir(path, { recursive: true, mode: 0o755 });
        await chmod(path, 0o755);
      } else expectKind(existing.isDirectory(), path, "a directory");
      return;
    case "FileOrCreate":
      if (existing === undefined) {
        const parent = await statOrNothing(dirname(path));
        if (parent === undefined)
          throw new VolumeError(
            "missing",
            `hostPath type check failed: the folder of ${path} does not exist`,
          );
        await (await open(path, "a", 0o644)).close();
      } else expectKind(existing.isFile(), path, "a file");
      return;
    case "Directory":
      expectKind(existing?.isDirectory(), path, "a directory");
      return;
    case "File":
      expectKind(existing?.isFile(), path, "a file");
      return;
    case "Socket":
      expectKind(existing?.isSocket(), path, "a socket file");
      return;
    case "CharDevice":
      expectKind(existing?.isCharacterDevice(), path, "a character device");
      return;
    case "BlockDevice":
      expectKind(existing?.isBlockDevice(), path, "a block device");
      return;
    default:
      throw new VolumeError("invalid", `${type} is an invalid volume type`);
  }
}

function expectKind(holds: boolean | undefined, path: string, kind: string): void {
  if (holds !== true)
    throw new VolumeError("missing", `hostPath type check failed: ${path} is not ${kind}`);
}

async function statOrNothing(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
}
