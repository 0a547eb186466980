import { chmod, chown, lstat, readdir } from "node:fs/promises";
import { join } from "node:path";

/**
 * Gives the group `fsGroup` access to everything below `root`: group ownership, read and write bits for group, and set-gid folders so that
 * new files inherit. With policy OnRootMismatch the walk is left out when the root is right already. Links are not followed.
 */
export async function applyFsGroup(
  root: string,
  fsGroup: number,
  policy: "Always" | "OnRootMismatch",
  readOnly: boolean,
): Promise<void> {
  const bits = readOnly ? 0o440 : 0o660;
  if (policy === "OnRootMismatch") {
    const { gid, mode } = await lstat(root);
    if (gid === fsGroup && (mode & (bits | 0o2110)) === (bits | 0o2110)) return;
  }
  await applyBelow(root, fsGroup, bits);
}

async function applyBelow(path: string, fsGroup: number, bits: number): Promise<void> {
  const stats = await lstat(path);
  if (stats.isSymbolicLink()) return;
  await chown(path, -1, fsGroup);
  const folder = stats.isDirectory();
  await chmod(path, (stats.mode & 0o7777) | bits | (folder ? 0o2110 : 0));
  if (!folder) return;
  for (const name of await readdir(path)) await applyBelow(join(path, name), fsGroup, bits);
}
