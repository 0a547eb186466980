import {
  findCondition,
  formatTime,
  parseTime,
  type Deployment,
  type DeploymentCondition,
  type DeploymentStatus,
  type ReplicaSet,
} from "@wherry/machinery";
import {
  actualOf,
  availableOf,
  replicasOf,
  sum,
  surgeOf,
  type Rollout,
} from "./deployment-rollout.ts";

/** Pure: status and conditions, with upstream's reasons and messages, which `kubectl rollout status` reads. */
export function deploymentStatus(
  deployment: Deployment,
  { newSet, oldSets }: Rollout,
  nowMs: number,
  creationError?: string,
): DeploymentStatus {
  const sets = newSet === undefined ? oldSets : [newSet, ...oldSets];
  const replicas = deployment.spec.replicas ?? 1;
  const now = formatTime(nowMs);
  const available = sum(sets, availableOf);
  const counts = {
    observedGeneration: deployment.metadata.generation ?? 0,
    replicas: sum(sets, actualOf),
    updatedReplicas: newSet === undefined ? 0 : actualOf(newSet),
    readyReplicas: sum(sets, (set) => set.status?.readyReplicas ?? 0),
    availableReplicas: available,
    unavailableReplicas: Math.max(0, sum(sets, replicasOf) - available),
    terminatingReplicas: sum(sets, (set) => set.status?.terminatingReplicas ?? 0),
  };
  const conditions = new Map((deployment.status?.conditions ?? []).map((one) => [one.type, one]));
  const set = (
    type: string,
    status: string,
    reason: string,
    message: string,
    refresh = false,
  ): void => {
    const old = conditions.get(type);
    if (old?.status === status && old.reason === reason && !refresh) return;
    conditions.set(type, {
      type,
      status,
      reason,
      message,
      lastUpdateTime: now,
      lastTransitionTime: old?.status === status ? (old.lastTransitionTime ?? now) : now,
    });
  };
  const enough = available >= replicas - surgeOf(deployment).maxUnavailable;
  if (enough)
    set("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.");
  else
    set(
      "Available",
      "False",
      "MinimumReplicasUnavailable",
      "Deployment does not have minimum availability.",
    );
  if (creationError !== undefined)
    set("Progressing", "False", "ReplicaSetCreateError", creationError);
  else progress(deployment, newSet, counts, set, conditions, nowMs);
  const failure = sets
    .map((one) => findCondition(one.status?.conditions, "ReplicaFailure"))
    .find((one) => one?.status === "True");
  if (failure === undefined) conditions.delete("ReplicaFailure");
  else set("ReplicaFailure", failure.status, failure.reason ?? "", failure.message ?? "");
  return {
    ...counts,
    ...(deployment.status?.collisionCount === undefined
      ? {}
      : { collisionCount: deployment.status.collisionCount }),
    conditions: [...conditions.values()],
  };
}

type Counts = Pick<
  DeploymentStatus,
  "replicas" | "updatedReplicas" | "readyReplicas" | "availableReplicas"
>;

export function isComplete(deployment: Deployment, counts: Counts): boolean {
  const replicas = deployment.spec.replicas ?? 1;
  return (
    counts.updatedReplicas === replicas &&
    counts.replicas === replicas &&
    counts.availableReplicas === replicas
  );
}

function progress(
  deployment: Deployment,
  newSet: ReplicaSet | undefined,
  counts: Counts,
  set: (type: string, status: string, reason: string, message: string, refresh?: boolean) => void,
  conditions: ReadonlyMap<string, DeploymentCondition>,
  nowMs: number,
): void {
  const what =
    newSet === undefined
      ? `Deployment "${deployment.metadata.name}"`
      : `ReplicaSet "${newSet.metadata.name}"`;
  const old = deployment.status;
  const current = conditions.get("Progressing");
  if (deployment.spec.paused === true) {
    if (current?.reason !== "DeploymentPaused")
      set("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused");
    return;
  }
  // Once a rollout is through, pods that fail later are no reason to call it stuck.
  if (current?.reason === "NewReplicaSetAvailable" && counts.replicas === counts.updatedReplicas)
    return;
  if (isComplete(deployment, counts)) {
    set("Progressing", "True", "NewReplicaSetAvailable", `${what} has successfully progressed.`);
    return;
  }
  const progressing =
    (counts.updatedReplicas ?? 0) > (old?.updatedReplicas ?? 0) ||
    (counts.replicas ?? 0) - (counts.updatedReplicas ?? 0) <
      (old?.replicas ?? 0) - (old?.updatedReplicas ?? 0) ||
    (counts.readyReplicas ?? 0) > (old?.readyReplicas ?? 0) ||
    (counts.availableReplicas ?? 0) > (old?.availableReplicas ?? 0);
  if (
    progressing ||
    current === undefined ||
    current.reason === "NewReplicaSetAvailable" ||
    current.reason === "DeploymentPaused"
  ) {
    set("Progressing", "True", "ReplicaSetUpdated", `${what} is progressing.`, progressing);
    return;
  }
  const deadlineMs = (deployment.spec.progressDeadlineSeconds ?? 600) * 1_000;
  if (
    current.lastUpdateTime !== undefined &&
    parseTime(current.lastUpdateTime) + deadlineMs < nowMs
  ) {
    set("Progressing", "False", "ProgressDeadlineExceeded", `${what} has timed out progressing.`);
  }
}
