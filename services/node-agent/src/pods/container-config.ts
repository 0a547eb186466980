import type { ContainerConfig, ContainerResources, Image, Mount } from "@wherry/cri-api";
import type { Pod } from "@wherry/machinery";
import { cpuPeriodUs, cpuQuota, cpuShares } from "../cgroups/cpu-figures.ts";
import { cpuMilli, memoryBytes } from "./amounts.ts";
import type { Environment } from "./environment.ts";
import { expandVariables } from "./expansion.ts";
import { containerLogPath } from "./pod-paths.ts";
import type { ContainerSpec } from "./pod-types.ts";
import { oomScoreAdjust } from "./qos.ts";
import { containerAnnotations, containerLabels } from "./runtime-labels.ts";
import { containerSecurityContext } from "./security-context.ts";

export interface ContainerConfigInputs {
  readonly pod: Pod;
  readonly container: ContainerSpec;
  readonly restartCount: number;
  /** Reference that the runtime resolved. */
  readonly imageRef: string;
  readonly image: Image | undefined;
  readonly environment: Environment;
  readonly mounts: readonly Mount[];
  readonly terminationLog: string | undefined;
  readonly memoryCapacityBytes: number;
  /** Container whose process namespace an ephemeral one joins. */
  readonly targetId?: string | undefined;
}

export function containerConfig(inputs: ContainerConfigInputs): ContainerConfig {
  const { pod, container, restartCount } = inputs;
  const variables = new Map(inputs.environment.map((one) => [one.key, one.value]));
  const expand = (text: string): string => expandVariables(text, (name) => variables.get(name));
  return {
    metadata: { name: container.name, attempt: restartCount },
    image: inputs.imageRef,
    command: (container.command ?? []).map(expand),
    args: (container.args ?? []).map(expand),
    workingDir: container.workingDir ?? "",
    envs: inputs.environment,
    mounts: inputs.mounts,
    devices: [],
    labels: containerLabels(pod, container),
    annotations: containerAnnotations(pod, container, restartCount, inputs.terminationLog),
    logPath: containerLogPath(container.name, restartCount),
    stdin: container.stdin === true,
    stdinOnce: container.stdinOnce === true,
    tty: container.tty === true,
    linux: {
      resources: containerResources(pod, container, inputs.memoryCapacityBytes),
      securityContext: containerSecurityContext(pod, container, inputs.image, inputs.targetId),
    },
  };
}

export function containerResources(
  pod: Pod,
  container: ContainerSpec,
  memoryCapacityBytes: number,
): ContainerResources {
  const { requests, limits } = container.resources ?? {};
  const request = requests?.["cpu"] ?? limits?.["cpu"];
  const quota = cpuQuota(cpuMilli(limits?.["cpu"]));
  const memory = memoryBytes(limits?.["memory"]);
  return {
    cpuShares: cpuShares(cpuMilli(request)),
    ...(quota === undefined ? {} : { cpuQuota: quota, cpuPeriod: cpuPeriodUs }),
    ...(memory === 0 ? {} : { memoryLimitInBytes: memory }),
    oomScoreAdj: oomScoreAdjust(pod, container, memoryCapacityBytes),
  };
}
