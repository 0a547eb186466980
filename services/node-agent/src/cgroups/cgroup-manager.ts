import type { Pod } from "@wherry/machinery";
import type { Clock, Logger } from "@wherry/service-kit";
import { podUid } from "../pods/pod-types.ts";
import { podLimits, podRequests, qosClass } from "../pods/qos.ts";
import type { QosClass } from "../pods/qos.ts";
import { openCgroups } from "./cgroup-filesystem.ts";
import type { CgroupFilesystem, CgroupLimits } from "./cgroup-filesystem.ts";
import { kubepodsPath, podCgroupPath, qosCgroupPath } from "./cgroup-paths.ts";
import { cpuQuota, cpuShares } from "./cpu-figures.ts";

/** The groups that hold the node's pods: one a quality-of-service class, one a pod in it. Containers' own groups are the runtime's. */
export interface CgroupManager {
  /** Makes the class' groups. */
  start(): Promise<void>;
  /** Makes the pod's group and returns the parent for the runtime. */
  ensurePod(pod: Pod): Promise<string>;
  /** Removes the pod's group once it is empty. */
  removePod(uid: string): Promise<void>;
  /** Uids of the pods that have a group. */
  listPods(): Promise<readonly string[]>;
  /** Weighs the burstable class by what its pods ask for. */
  updateClasses(pods: readonly Pod[]): Promise<void>;
}

export interface CgroupManagerOptions {
  readonly root: string;
  readonly mount: string;
  /** Upper limits of all pods together. */
  readonly allocatable: { readonly cpuMilli: number; readonly memoryBytes: number };
}

const classes: readonly QosClass[] = ["Guaranteed", "Burstable", "BestEffort"];
const removeAttemptsMax = 20;
const removeRetryMs = 100;

export function createCgroupManager(
  options: CgroupManagerOptions,
  deps: { readonly clock: Clock; readonly log: Logger },
): CgroupManager {
  const { root, mount, allocatable } = options;
  let filesystem: CgroupFilesystem | undefined;
  let burstableShares: number | undefined;

  const open = async (): Promise<CgroupFilesystem> => (filesystem ??= await openCgroups(mount));

  return {
    async start() {
      const cgroups = await open();
      await cgroups.create(kubepodsPath(root));
      await cgroups.apply(kubepodsPath(root), {
        cpuShares: cpuShares(allocatable.cpuMilli),
        memoryBytes: allocatable.memoryBytes,
      });
      for (const quality of classes) await cgroups.create(qosCgroupPath(root, quality));
      await cgroups.apply(qosCgroupPath(root, "BestEffort"), { cpuShares: cpuShares(0) });
    },
    async ensurePod(pod) {
      const cgroups = await open();
      const path = podCgroupPath(root, pod);
      await cgroups.create(path);
      await cgroups.apply(path, podCgroupLimits(pod));
      return path;
    },
    async removePod(uid) {
      const cgroups = await open();
      for (const quality of classes) {
        const path = `${qosCgroupPath(root, quality)}/pod${uid}`;
        for (let attempt = 1; ; attempt += 1) {
          try {
            await cgroups.remove(path);
            break;
          } catch (error) {
            // The kernel lets a group go a moment after its last process.
            if ((error as NodeJS.ErrnoException).code !== "EBUSY" || attempt >= removeAttemptsMax)
              throw error;
            await deps.clock.sleep(removeRetryMs);
          }
        }
      }
    },
    async listPods() {
      const cgroups = await open();
      const names = await Promise.all(
        classes.map((quality) => cgroups.children(qosCgroupPath(root, quality))),
      );
      return names.flat().flatMap((name) => (name.startsWith("pod") ? [name.slice(3)] : []));
    },
    async updateClasses(pods) {
      const milli = pods
        .filter((pod) => qosClass(pod) === "Burstable")
        .reduce((sum, pod) => sum + (podRequests(pod)["cpu"] ?? 0), 0);
      const shares = cpuShares(milli);
      if (shares === burstableShares) return;
      await (await open()).apply(qosCgroupPath(root, "Burstable"), { cpuShares: shares });
      burstableShares = shares;
    },
  };
}

/** Without cgroups: the runtime puts containers where it likes. */
export function createNoCgroupManager(): CgroupManager {
  return {
    start: async () => {},
    ensurePod: async (pod) => `/kubepods/pod${podUid(pod)}`,
    removePod: async () => {},
    listPods: async () => [],
    updateClasses: async () => {},
  };
}

/** A pod's own limits: shares by its requests; quota and memory only when every container is limited. */
export function podCgroupLimits(pod: Pod): CgroupLimits {
  const requests = podRequests(pod);
  const limits = podLimits(pod);
  const quality = qosClass(pod);
  const shares = quality === "BestEffort" ? cpuShares(0) : cpuShares(requests["cpu"] ?? 0);
  return {
    cpuShares: shares,
    cpuQuotaUs: limits["cpu"] === undefined ? undefined : cpuQuota(limits["cpu"]),
    memoryBytes:
      limits["memory"] === undefined || limits["memory"] === 0 ? undefined : limits["memory"],
  };
}
