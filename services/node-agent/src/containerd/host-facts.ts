import { access, readFile } from "node:fs/promises";

/** What the kernel and the privileges of this process allow; it decides a few lines of containerd's configuration. */
export interface HostFacts {
  /** CAP_SYS_RESOURCE: without it runc dies when it lowers a pause container's OOM score. */
  readonly mayRaiseLimits: boolean;
  readonly hasAppArmor: boolean;
  /** cgroup v1 with controllers in a v2 hierarchy beside it, which crun refuses. */
  readonly hasHybridCgroups: boolean;
  /** Whether `/` is a shared mount; else HostToContainer and Bidirectional volume mounts fail. */
  readonly hasSharedRoot: boolean;
}

const CAP_SYS_RESOURCE = 24n;

export async function readHostFacts(): Promise<HostFacts> {
  const [status, apparmor, unified, mounts] = await Promise.all([
    textOf("/proc/self/status"),
    textOf("/sys/module/apparmor/parameters/enabled"),
    textOf("/sys/fs/cgroup/unified/cgroup.controllers"),
    textOf("/proc/self/mountinfo"),
  ]);
  return {
    mayRaiseLimits: hasCapability(status ?? "", CAP_SYS_RESOURCE),
    hasAppArmor:
      apparmor?.startsWith("Y") === true && (await exists("/sys/kernel/security/apparmor")),
    hasHybridCgroups: (unified ?? "").trim() !== "",
    hasSharedRoot: isSharedMount(mounts ?? "", "/"),
  };
}

/** From the text of `/proc/PID/status`. */
export function hasCapability(status: string, capability: bigint): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0";
  return ((BigInt(`0x${effective}`) >> capability) & 1n) === 1n;
}

/** From the text of `/proc/PID/mountinfo`: the last mount on a path is the one that is seen. */
export function isSharedMount(mountinfo: string, path: string): boolean {
  const lines = mountinfo.split("\n").filter((line) => line.split(" ")[4] === path);
  const [optional = ""] = (lines.at(-1) ?? "").split(" - ");
  return optional.includes(" shared:");
}

async function textOf(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch {
    return undefined;
  }
}

async function exists(file: string): Promise<boolean> {
  try {
    await access(file);
    return true;
  } catch {
    return false;
  }
}
