import { access, mkdir, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { cpuPeriodUs, cpuWeight } from "./cpu-figures.ts";

/** Limits of one group, in the kernel-neutral terms of the kubelet. */
export interface CgroupLimits {
  readonly cpuShares?: number;
  /** Microseconds in each period of 100 ms; undefined leaves it unlimited. */
  readonly cpuQuotaUs?: number | undefined;
  readonly memoryBytes?: number | undefined;
  readonly pidsMax?: number | undefined;
}

/** One cgroup hierarchy (v2) or the set of them (v1), below a mount point. Paths are relative to the hierarchy's root and begin with "/". */
export interface CgroupFilesystem {
  readonly version: 1 | 2;
  create(path: string): Promise<void>;
  apply(path: string, limits: CgroupLimits): Promise<void>;
  /** Removes the group and those below it. Groups that still hold processes make it throw. */
  remove(path: string): Promise<void>;
  /** Names of the groups directly below `path`. */
  children(path: string): Promise<readonly string[]>;
  /** Process ids in the group and below. */
  processes(path: string): Promise<readonly number[]>;
}

/** Hierarchies of v1 in which pods get groups; others follow when the runtime needs them. */
const v1Controllers = ["cpu", "cpuacct", "memory", "pids"];
const v2Controllers = ["cpuset", "cpu", "io", "memory", "hugetlb", "pids"];

export async function openCgroups(mount: string): Promise<CgroupFilesystem> {
  const isV2 = await access(join(mount, "cgroup.controllers")).then(
    () => true,
    () => false,
  );
  return isV2 ? createV2(mount) : createV1(mount);
}

export function createV2(mount: string): CgroupFilesystem {
  const enabled = new Set<string>();
  const enableControllers = async (path: string): Promise<void> => {
    const full = join(mount, path);
    if (enabled.has(full)) return;
    const available = (await readText(join(full, "cgroup.controllers"))).trim().split(/\s+/u);
    const wanted = v2Controllers.filter((one) => available.includes(one)).map((one) => `+${one}`);
    if (wanted.length > 0) await writeFile(join(full, "cgroup.subtree_control"), wanted.join(" "));
    enabled.add(full);
  };
  return {
    version: 2,
    async create(path) {
      const parents: string[] = [];
      for (let at = dirname(path); ; at = dirname(at)) {
        parents.unshift(at);
        if (at === "/") break;
      }
      for (const parent of parents) {
        await mkdir(join(mount, parent), { recursive: true });
        await enableControllers(parent);
      }
      await mkdir(join(mount, path), { recursive: true });
    },
    async apply(path, limits) {
      const full = join(mount, path);
      if (limits.cpuShares !== undefined)
        await writeFile(join(full, "cpu.weight"), String(cpuWeight(limits.cpuShares)));
      if (limits.cpuQuotaUs !== undefined)
        await writeFile(join(full, "cpu.max"), `${limits.cpuQuotaUs} ${cpuPeriodUs}`);
      if (limits.memoryBytes !== undefined)
        await writeFile(join(full, "memory.max"), String(limits.memoryBytes));
      if (limits.pidsMax !== undefined)
        await writeFile(join(full, "pids.max"), String(limits.pidsMax));
    },
    async remove(path) {
      await removeTree(join(mount, path));
      for (const one of enabled)
        if (one.startsWith(`${join(mount, path)}/`) || one === join(mount, path))
          enabled.delete(one);
    },
    children: (path) => childrenOf(join(mount, path)),
    processes: (path) => processesBelow(join(mount, path)),
  };
}

export function createV1(mount: string): CgroupFilesystem {
  const present = v1Controllers.map((one) => join(mount, one));
  return {
    version: 1,
    async create(path) {
      for (const hierarchy of present)
        if (await exists(hierarchy)) await mkdir(join(hierarchy, path), { recursive: true });
    },
    async apply(path, limits) {
      const write = async (controller: string, file: string, value: number): Promise<void> => {
        const folder = join(mount, controller, path);
        if (await exists(folder)) await writeFile(join(folder, file), String(value));
      };
      if (limits.cpuShares !== undefined) await write("cpu", "cpu.shares", limits.cpuShares);
      if (limits.cpuQuotaUs !== undefined) {
        await write("cpu", "cpu.cfs_period_us", cpuPeriodUs);
        await write("cpu", "cpu.cfs_quota_us", limits.cpuQuotaUs);
      }
      if (limits.memoryBytes !== undefined)
        await write("memory", "memory.limit_in_bytes", limits.memoryBytes);
      if (limits.pidsMax !== undefined) await write("pids", "pids.max", limits.pidsMax);
    },
    async remove(path) {
      // The runtime makes the group in every hierarchy, so all are looked at. Links (cpu -> cpu,cpuacct) name the same one twice.
      for (const name of await childrenOf(mount)) await removeTree(join(mount, name, path));
    },
    async children(path) {
      const names = new Set<string>();
      for (const hierarchy of present)
        for (const name of await childrenOf(join(hierarchy, path))) names.add(name);
      return [...names];
    },
    async processes(path) {
      const pids = new Set<number>();
      for (const hierarchy of present)
        for (const pid of await processesBelow(join(hierarchy, path))) pids.add(pid);
      return [...pids];
    },
  };
}

async function removeTree(folder: string): Promise<void> {
  for (const name of await childrenOf(folder)) await removeTree(join(folder, name));
  try {
    await rmdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

async function childrenOf(folder: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENODEV") return [];
    throw error;
  }
}

async function processesBelow(folder: string): Promise<readonly number[]> {
  const own = (await readText(join(folder, "cgroup.procs")))
    .split("\n")
    .filter((line) => line !== "")
    .map(Number);
  const below = await Promise.all(
    (await childrenOf(folder)).map((name) => processesBelow(join(folder, name))),
  );
  return [...own, ...below.flat()];
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENODEV") return "";
    throw error;
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
