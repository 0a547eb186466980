import type { Pod } from "@wherry/machinery";
import { newestContainer } from "./observed.ts";
import type { ObservedPod } from "./observed.ts";
import { restartPolicyOf } from "./pod-types.ts";
import type { ContainerSpec } from "./pod-types.ts";

type RestartRule = NonNullable<ContainerSpec["restartPolicyRules"]>[number];

/** Whether a container that ended with `exitCode` is started again: its own policy and rules win over the pod's. */
export function restartsAfter(pod: Pod, container: ContainerSpec, exitCode: number): boolean {
  for (const rule of container.restartPolicyRules ?? []) {
    if (rule.action === "Restart" && matchesExitCode(rule, exitCode)) return true;
  }
  const policy = container.restartPolicy ?? restartPolicyOf(pod);
  if (policy === "Never") return false;
  return policy === "Always" || exitCode !== 0;
}

/** Whether a main container is to be started: never ran, lost, or ended and restarts. A deleted pod starts nothing. */
export function shouldStartContainer(
  pod: Pod,
  container: ContainerSpec,
  observed: ObservedPod,
): boolean {
  if (pod.metadata.deletionTimestamp !== undefined) return false;
  const newest = newestContainer(observed, container.name);
  if (newest === undefined) return true;
  switch (newest.state) {
    case "RUNNING":
      return false;
    case "CREATED":
    case "UNKNOWN":
      return true;
    case "EXITED":
      return restartsAfter(pod, container, newest.exitCode);
  }
}

function matchesExitCode(rule: RestartRule, exitCode: number): boolean {
  const listed = rule.exitCodes?.values?.includes(exitCode) ?? false;
  return rule.exitCodes?.operator === "NotIn"
    ? !listed
    : rule.exitCodes?.operator === "In" && listed;
}
