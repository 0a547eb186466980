import { readdir, rename, rm, stat, symlink, mkdir, readlink } from "node:fs/promises";
import { createReadStream, createWriteStream } from "node:fs";
import { basename, dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { Pod } from "@wherry/machinery";
import { containerLogLink, containerLogPath, podLogFolder } from "./pod-paths.ts";

export interface ContainerLogs {
  /** Makes the pod's log folder and returns it. */
  makeFolder(pod: Pod): Promise<string>;
  /** Points the collectors' link at a new container's log. */
  link(pod: Pod, container: string, containerId: string, restartCount: number): Promise<void>;
  unlink(pod: Pod, container: string, containerId: string): Promise<void>;
  /** Removes all logs of a pod. */
  remove(pod: Pod): Promise<void>;
  /** Removes links that lead nowhere any more. */
  removeDeadLinks(): Promise<void>;
}

export function createContainerLogs(podLogsRoot: string, containerLogsRoot: string): ContainerLogs {
  return {
    async makeFolder(pod) {
      const folder = podLogFolder(podLogsRoot, pod);
      await mkdir(folder, { recursive: true, mode: 0o755 });
      return folder;
    },
    async link(pod, container, containerId, restartCount) {
      await mkdir(containerLogsRoot, { recursive: true, mode: 0o755 });
      const link = containerLogLink(containerLogsRoot, pod, container, containerId);
      await rm(link, { force: true });
      await symlink(
        join(podLogFolder(podLogsRoot, pod), containerLogPath(container, restartCount)),
        link,
      );
    },
    unlink: (pod, container, containerId) =>
      rm(containerLogLink(containerLogsRoot, pod, container, containerId), { force: true }),
    remove: (pod) => rm(podLogFolder(podLogsRoot, pod), { recursive: true, force: true }),
    async removeDeadLinks() {
      for (const name of await readdir(containerLogsRoot).catch(() => [])) {
        const link = join(containerLogsRoot, name);
        const target = await readlink(link).catch(() => undefined);
        if (target === undefined || !target.startsWith(podLogsRoot)) continue;
        const alive = await stat(link).then(
          () => true,
          () => false,
        );
        if (!alive) await rm(link, { force: true });
      }
    },
  };
}

export interface RotationLimits {
  readonly bytesMax: number;
  readonly filesMax: number;
}

/**
 * Rotates one log when it has grown over the limit: the oldest files beyond the limit go, the one rotated last time is compressed, and the
 * current one is renamed and reopened by the runtime. Returns whether it rotated.
 */
export async function rotateLog(
  path: string,
  limits: RotationLimits,
  reopen: () => Promise<void>,
  nowMs: number,
): Promise<boolean> {
  const size = await stat(path).then(
    (stats) => stats.size,
    () => 0,
  );
  if (size < limits.bytesMax) return false;
  const folder = dirname(path);
  const prefix = `${basename(path)}.`;
  const rotated = (await readdir(folder)).filter((name) => name.startsWith(prefix)).toSorted();
  // One place is for the current file and one for the file that is rotated now.
  for (const name of rotated.splice(0, Math.max(rotated.length - (limits.filesMax - 2), 0)))
    await rm(join(folder, name), { force: true });
  for (const name of rotated) if (!name.endsWith(".gz")) await compress(join(folder, name));
  const stamp = new Date(nowMs)
    .toISOString()
    .slice(0, 19)
    .replaceAll(/[-:]/gu, "")
    .replace("T", "-");
  const target = `${path}.${stamp}`;
  await rename(path, target);
  try {
    await reopen();
  } catch (error) {
    // Without a reopened file the runtime writes on into the renamed one; put it back, so that readers find it.
    await rename(target, path);
    throw error;
  }
  return true;
}

async function compress(path: string): Promise<void> {
  const { createGzip } = await import("node:zlib");
  const temporary = `${path}.tmp`;
  await pipeline(createReadStream(path), createGzip(), createWriteStream(temporary));
  await rename(temporary, `${path}.gz`);
  await rm(path, { force: true });
}
