import type { Pod } from "@wherry/machinery";
import { isSidecar, podSpec, restartPolicyOf } from "./pod-types.ts";
import type { ApiContainerStatus, ContainerSpec } from "./pod-types.ts";

export type PodPhase = "Pending" | "Running" | "Succeeded" | "Failed";

/**
 * The phase that follows from container statuses. `ending`: no container will be started again, whatever the restart policy.
 * Sidecars count as running, but their end counts for nothing.
 */
export function podPhase(
  pod: Pod,
  statuses: readonly ApiContainerStatus[],
  ending: boolean,
): PodPhase {
  const byName = new Map(statuses.map((one) => [one.name, one]));
  const init = countInit(pod, byName);
  const main = countMain(pod, byName);
  const policy = restartPolicyOf(pod);

  if (init.failedForGood > 0) return "Failed";
  if (init.pending > 0 && !main.anyStarted) return "Pending";
  if (main.waiting + init.sidecarsWaiting > 0) return "Pending";
  const unknown = main.unknown + init.sidecarsUnknown;
  if (unknown > 0) return "Pending";
  if (main.running + init.sidecarsRunning > 0) return "Running";
  if (main.stopped === 0) return "Pending";
  const allSucceeded = main.stopped === main.succeeded;
  if (ending) return allSucceeded ? "Succeeded" : "Failed";
  if (main.restarting > 0) return "Running";
  if (policy === "Always") return "Running";
  if (allSucceeded) return "Succeeded";
  return policy === "Never" ? "Failed" : "Running";
}

interface InitCounts {
  readonly pending: number;
  readonly failedForGood: number;
  readonly sidecarsRunning: number;
  readonly sidecarsWaiting: number;
  readonly sidecarsUnknown: number;
}

function countInit(pod: Pod, byName: ReadonlyMap<string, ApiContainerStatus>): InitCounts {
  const counts = {
    pending: 0,
    failedForGood: 0,
    sidecarsRunning: 0,
    sidecarsWaiting: 0,
    sidecarsUnknown: 0,
  };
  for (const container of podSpec(pod).initContainers ?? []) {
    const status = byName.get(container.name);
    if (isSidecar(container)) {
      if (status === undefined) counts.sidecarsUnknown += 1;
      else if (status.state?.running != null) {
        counts.sidecarsRunning += 1;
        if (status.started !== true) counts.pending += 1;
      } else if (status.state?.waiting != null && status.lastState?.terminated == null) {
        counts.pending += 1;
        counts.sidecarsWaiting += 1;
      }
      continue;
    }
    const ended =
      status?.state?.terminated ??
      (status?.state?.waiting == null ? undefined : status.lastState?.terminated);
    if (ended == null) counts.pending += 1;
    else if (ended.exitCode !== 0) {
      if (restartsForSure(pod, container)) counts.pending += 1;
      else counts.failedForGood += 1;
    }
  }
  return counts;
}

function restartsForSure(pod: Pod, container: ContainerSpec): boolean {
  return (container.restartPolicy ?? restartPolicyOf(pod)) !== "Never";
}

interface MainCounts {
  readonly running: number;
  readonly waiting: number;
  readonly stopped: number;
  readonly succeeded: number;
  readonly unknown: number;
  /** Stopped ones whose own policy starts them again. */
  readonly restarting: number;
  readonly anyStarted: boolean;
}

function countMain(pod: Pod, byName: ReadonlyMap<string, ApiContainerStatus>): MainCounts {
  const counts = {
    running: 0,
    waiting: 0,
    stopped: 0,
    succeeded: 0,
    unknown: 0,
    restarting: 0,
    anyStarted: false,
  };
  for (const container of podSpec(pod).containers ?? []) {
    const status = byName.get(container.name);
    const state = status?.state;
    if (hasStarted(status)) counts.anyStarted = true;
    if (status === undefined || state === undefined) counts.unknown += 1;
    else if (state.running != null) counts.running += 1;
    else if (state.terminated != null) {
      counts.stopped += 1;
      if (state.terminated.exitCode === 0) counts.succeeded += 1;
      if (
        container.restartPolicy === "Always" ||
        (container.restartPolicy === "OnFailure" && state.terminated.exitCode !== 0)
      )
        counts.restarting += 1;
    } else if (state.waiting != null) {
      if (status.lastState?.terminated == null) counts.waiting += 1;
      else counts.stopped += 1;
    } else counts.unknown += 1;
  }
  return counts;
}

/** Runs now or ran before. */
export function hasStarted(status: ApiContainerStatus | undefined): boolean {
  return (
    status?.started === true ||
    status?.state?.running != null ||
    status?.state?.terminated != null ||
    status?.lastState?.terminated != null
  );
}
