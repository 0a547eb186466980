import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

export interface LimitedCgroup {
  readonly name: string;
  /** Processes in it and below. */
  processes(): Promise<number[]>;
  remove(): Promise<void>;
}

const MOUNT = "/sys/fs/cgroup";

/** A cgroup with a memory limit and a share of the processors, on cgroup v1 or v2. */
export async function createLimitedCgroup(
  name: string,
  limits: { readonly memoryBytes: number; readonly cpus: number },
): Promise<LimitedCgroup> {
  const isV2 = existsSync(join(MOUNT, "cgroup.controllers"));
  const write = async (folder: string, files: Readonly<Record<string, string>>): Promise<void> => {
    await mkdir(folder, { recursive: true });
    for (const [file, value] of Object.entries(files)) await writeFile(join(folder, file), value);
  };
  const periodUs = 100_000;
  const folders: string[] = [];
  if (isV2) {
    folders.push(join(MOUNT, name));
    await write(join(MOUNT, name), {
      "memory.max": String(limits.memoryBytes),
      "cpu.max": `${limits.cpus * periodUs} ${periodUs}`,
    });
  } else {
    folders.push(join(MOUNT, "memory", name), join(MOUNT, "cpu", name));
    await write(join(MOUNT, "memory", name), {
      "memory.limit_in_bytes": String(limits.memoryBytes),
    });
    await write(join(MOUNT, "cpu", name), {
      "cpu.cfs_period_us": String(periodUs),
      "cpu.cfs_quota_us": String(limits.cpus * periodUs),
    });
  }
  return {
    name,
    processes: () => processesBelow(folders[0] ?? ""),
    async remove() {
      for (const hierarchy of isV2
        ? [MOUNT]
        : (await readdir(MOUNT)).map((one) => join(MOUNT, one)))
        await removeBelow(join(hierarchy, name));
    },
  };
}

async function processesBelow(folder: string): Promise<number[]> {
  const own = (await readFile(join(folder, "cgroup.procs"), "utf8"))
    .split("\n")
    .filter(Boolean)
    .map(Number);
  const below = await Promise.all(
    (await readdir(folder, { withFileTypes: true }))
      .filter((entry) => entry.isDirectory())
      .map((entry) => processesBelow(join(folder, entry.name))),
  );
  return [...own, ...below.flat()];
}

async function removeBelow(folder: string): Promise<void> {
  try {
    for (const entry of await readdir(folder, { withFileTypes: true }))
      if (entry.isDirectory()) await removeBelow(join(folder, entry.name));
    await rmdir(folder);
  } catch {
    // Not in this hierarchy.
  }
}
