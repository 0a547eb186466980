import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { VolumeError } from "./volume-error.ts";

export interface TmpfsOptions {
  /** Bytes; undefined: the kernel's default (half of the memory). */
  readonly sizeBytes?: number | undefined;
  /** Keep the contents out of swap where the kernel can (6.4 and later). */
  readonly noSwap?: boolean;
}

/** Mounts as the volume code needs them. Every call is idempotent. */
export interface Mounter {
  mountTmpfs(path: string, options: TmpfsOptions): Promise<void>;
  /** Binds what the open descriptor `fd` refers to, so that no symlink can be swapped in between. */
  bindDescriptor(fd: number, target: string): Promise<void>;
  unmount(path: string): Promise<void>;
  isMounted(path: string): Promise<boolean>;
  /** Mount points at or below `prefix`, deepest first. */
  mountsBelow(prefix: string): Promise<readonly string[]>;
}

/** Mounts through the `mount` and `umount` programs; needs root. */
export function createSystemMounter(): Mounter {
  const list = async (prefix: string): Promise<readonly string[]> =>
    mountPointsBelow(await readFile("/proc/self/mountinfo", "utf8"), prefix);
  const isMounted = async (path: string): Promise<boolean> => (await list(path)).includes(path);
  return {
    isMounted,
    mountsBelow: list,
    async mountTmpfs(path, { sizeBytes, noSwap }) {
      if (await isMounted(path)) return;
      const size = sizeBytes === undefined ? [] : [`size=${sizeBytes}`];
      const attempts = noSwap === true ? [[...size, "noswap"], size] : [size];
      for (const [index, options] of attempts.entries()) {
        const args = [
          "-t",
          "tmpfs",
          ...(options.length === 0 ? [] : ["-o", options.join(",")]),
          "tmpfs",
          path,
        ];
        const failure = await run("mount", args);
        if (failure === undefined) return;
        if (index === attempts.length - 1)
          throw new VolumeError("io", `mounting a tmpfs on ${path} failed: ${failure}`);
      }
    },
    async bindDescriptor(fd, target) {
      if (await isMounted(target)) return;
      const failure = await run(
        "mount",
        ["--no-canonicalize", "--bind", "/proc/self/fd/3", target],
        fd,
      );
      if (failure !== undefined)
        throw new VolumeError("io", `binding on ${target} failed: ${failure}`);
    },
    async unmount(path) {
      if (!(await isMounted(path))) return;
      const failure = await run("umount", [path]);
      if (failure === undefined) return;
      const lazy = await run("umount", ["-l", path]);
      if (lazy !== undefined && (await isMounted(path)))
        throw new VolumeError("io", `unmounting ${path} failed: ${failure}`);
    },
  };
}

/** Plain folders instead of mounts: hollow nodes and tests. Binds are refused, because a copy would not be the same thing. */
export function createNoMounter(): Mounter {
  return {
    mountTmpfs: async () => {},
    bindDescriptor: async (_fd, target) => {
      throw new VolumeError(
        "unsupported",
        `subPath on ${target} needs mounts, and mounts are switched off by configuration (mounts: "none")`,
      );
    },
    unmount: async () => {},
    isMounted: async () => false,
    mountsBelow: async () => [],
  };
}

/** Mount points of a mountinfo text at or below `prefix`, deepest first. */
export function mountPointsBelow(mountinfo: string, prefix: string): readonly string[] {
  const found: string[] = [];
  for (const line of mountinfo.split("\n")) {
    const point = line
      .split(" ")[4]
      ?.replace(/\\([0-7]{3})/gu, (_, octal: string) =>
        String.fromCharCode(Number.parseInt(octal, 8)),
      );
    if (point !== undefined && (point === prefix || point.startsWith(`${prefix}/`)))
      found.push(point);
  }
  return found.toSorted((a, b) => b.length - a.length);
}

/** The text of the failure, or undefined. `fd` becomes the child's descriptor 3. */
function run(program: string, args: readonly string[], fd?: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      stdio: ["ignore", "ignore", "pipe", ...(fd === undefined ? [] : [fd])],
    });
    let text = "";
    child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
      if (text.length < 4_096) text += chunk;
    });
    child.once("error", (error) => resolve(`${program}: ${error.message}`));
    child.once("close", (code) =>
      resolve(
        code === 0
          ? undefined
          : `${program} ${args.join(" ")}: ${text.trim() || `exit code ${code}`}`,
      ),
    );
  });
}
