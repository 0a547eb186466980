import type { ContainerRuntime } from "@wherry/cri-api";
import type { Pod, Service } from "@wherry/machinery";
import type { Clock, Logger } from "@wherry/service-kit";
import type { CgroupManager } from "../cgroups/cgroup-manager.ts";
import type { NodeAgentConfig } from "../config.ts";
import type { ImagePuller } from "../images/image-puller.ts";
import type { ProbeManager } from "../probes/probe-manager.ts";
import type { Mounter } from "../volumes/mounter.ts";
import type { ReferenceCache } from "../volumes/references.ts";
import type { VolumeManager } from "../volumes/volume-manager.ts";
import type { ContainerLogs } from "./container-logs.ts";
import type { DnsSettings } from "./dns-config.ts";
import type { NamedContainer } from "./pod-types.ts";
import type { Amounts } from "./qos.ts";
import type { Semaphore } from "./semaphore.ts";
import type { StatusWriter } from "./status-writer.ts";

/** What the workers of all pods share. */
export interface PodDeps {
  readonly config: NodeAgentConfig;
  readonly runtime: ContainerRuntime;
  readonly clock: Clock;
  readonly log: Logger;
  readonly images: ImagePuller;
  readonly volumes: VolumeManager;
  readonly mounter: Mounter;
  readonly references: ReferenceCache;
  readonly probes: ProbeManager;
  readonly cgroups: CgroupManager;
  readonly logs: ContainerLogs;
  readonly status: StatusWriter;
  readonly events: PodEvents;
  readonly node: NodeFacts;
  readonly starts: Semaphore;
  readonly services: () => readonly Service[];
  readonly hostDns: () => Promise<DnsSettings>;
  /** Name of the runtime's handler for the pod's runtime class; undefined: the default one. */
  readonly runtimeHandler: (pod: Pod) => Promise<string | undefined>;
  readonly userAgent: string;
  /** Ids of runtime objects are announced here, so that their events find the pod. */
  readonly register: (runtimeId: string, uid: string) => void;
}

export interface NodeFacts {
  readonly hostIps: () => readonly string[];
  readonly allocatable: Amounts;
  readonly memoryCapacityBytes: number;
  readonly network: () => { readonly ready: boolean; readonly message: string };
}

export interface PodEvents {
  /** Without a container the event is about the pod as a whole. */
  record(
    pod: Pod,
    container: NamedContainer | undefined,
    type: "Normal" | "Warning",
    reason: string,
    message: string,
  ): void;
}
