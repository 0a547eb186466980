import {
  hashPodTemplate,
  parseTime,
  scaleIntOrPercent,
  type Deployment,
  type Json,
  type PodTemplateSpec,
  type ReplicaSet,
} from "@wherry/machinery";

/** Annotations and label by which a rollout finds its sets again. */
export const REVISION = "deployment.kubernetes.io/revision";
export const DESIRED = "deployment.kubernetes.io/desired-replicas";
export const MAX = "deployment.kubernetes.io/max-replicas";
export const HASH = "pod-template-hash";

export interface Rollout {
  readonly newSet: ReplicaSet | undefined;
  /** Newest first. */
  readonly oldSets: readonly ReplicaSet[];
}

/** Pure: which replica set has the deployment's template, and which are left from before. */
export function findRollout(deployment: Deployment, sets: readonly ReplicaSet[]): Rollout {
  const wanted = canonicalTemplate(deployment.spec.template);
  const byAge = [...sets].sort((a, b) => age(a) - age(b));
  const newSet = byAge.find(
    (set) => set.spec.template !== undefined && canonicalTemplate(set.spec.template) === wanted,
  );
  return {
    newSet,
    oldSets: sets.filter((set) => set !== newSet).sort((a, b) => revisionOf(b) - revisionOf(a)),
  };
}

/** The template without the hash label that the controller adds. */
function canonicalTemplate(template: PodTemplateSpec): string {
  const { [HASH]: _hash, ...labels } = template.metadata?.labels ?? {};
  return hashPodTemplate({
    ...template,
    metadata: { ...template.metadata, labels },
  } as unknown as Json);
}

function age(set: ReplicaSet): number {
  return parseTime(set.metadata.creationTimestamp ?? "1970-01-01T00:00:00Z");
}

export function revisionOf(object: {
  readonly metadata: { readonly annotations?: Readonly<Record<string, string>> };
}): number {
  return Number(object.metadata.annotations?.[REVISION] ?? 0);
}

export interface Surge {
  readonly maxSurge: number;
  readonly maxUnavailable: number;
}

/** Both resolved against the replicas; both zero would stand still, so one may be unavailable then. */
export function surgeOf(deployment: Deployment): Surge {
  const replicas = deployment.spec.replicas ?? 1;
  if (deployment.spec.strategy?.type === "Recreate")
    return { maxSurge: 0, maxUnavailable: replicas };
  const rolling = deployment.spec.strategy?.rollingUpdate;
  const maxSurge = scaleIntOrPercent(rolling?.maxSurge ?? "25%", replicas, "up");
  const maxUnavailable = Math.min(
    replicas,
    scaleIntOrPercent(rolling?.maxUnavailable ?? "25%", replicas, "down"),
  );
  return maxSurge === 0 && maxUnavailable === 0
    ? { maxSurge, maxUnavailable: 1 }
    : { maxSurge, maxUnavailable };
}

export const replicasOf = (set: ReplicaSet): number => set.spec.replicas ?? 0;
export const availableOf = (set: ReplicaSet): number => set.status?.availableReplicas ?? 0;
export const actualOf = (set: ReplicaSet): number => set.status?.replicas ?? 0;
export const sum = (sets: readonly ReplicaSet[], count: (set: ReplicaSet) => number): number =>
  sets.reduce((total, set) => total + count(set), 0);

/** Pods that are on their way out count too, and so do sets whose status is older than their size. */
export function oldPodsLeft(oldSets: readonly ReplicaSet[]): boolean {
  return (
    sum(oldSets, actualOf) > 0 ||
    sum(oldSets, (set) => set.status?.terminatingReplicas ?? 0) > 0 ||
    oldSets.some((set) => !isObserved(set))
  );
}

export function isObserved(set: ReplicaSet): boolean {
  return (set.status?.observedGeneration ?? 0) >= (set.metadata.generation ?? 0);
}

/** Pure: the sizes that the replica sets should have next. Sets that keep their size are left out. */
export function planRollout(
  deployment: Deployment,
  newSet: ReplicaSet,
  oldSets: readonly ReplicaSet[],
): Map<ReplicaSet, number> {
  const replicas = deployment.spec.replicas ?? 1;
  const sizes = new Map<ReplicaSet, number>();
  if (deployment.spec.strategy?.type === "Recreate") {
    for (const set of oldSets) if (replicasOf(set) > 0) sizes.set(set, 0);
    if (sizes.size === 0 && !oldPodsLeft(oldSets) && replicasOf(newSet) !== replicas)
      sizes.set(newSet, replicas);
    return sizes;
  }
  const { maxSurge, maxUnavailable } = surgeOf(deployment);
  const total = sum([...oldSets, newSet], replicasOf);
  if (replicasOf(newSet) > replicas) sizes.set(newSet, replicas);
  else if (replicasOf(newSet) < replicas) {
    const room = replicas + maxSurge - total;
    if (room > 0)
      sizes.set(newSet, replicasOf(newSet) + Math.min(room, replicas - replicasOf(newSet)));
  }
  if (sizes.size > 0) return sizes;
  const oldTotal = sum(oldSets, replicasOf);
  if (oldTotal === 0) return sizes;
  const newUnavailable = replicasOf(newSet) - availableOf(newSet);
  let removable = total - (replicas - maxUnavailable) - newUnavailable;
  if (removable <= 0) return sizes;
  const oldestFirst = [...oldSets].reverse().filter((set) => replicasOf(set) > 0);
  // What does not work anyway goes first and costs nothing.
  for (const set of oldestFirst) {
    const unhealthy = Math.min(replicasOf(set) - availableOf(set), removable);
    if (unhealthy <= 0) continue;
    sizes.set(set, replicasOf(set) - unhealthy);
    removable -= unhealthy;
  }
  // Statuses may be older than the sizes: never more than the sizes themselves allow.
  let spare = Math.min(
    removable,
    sum([...oldSets, newSet], (set) => Math.min(availableOf(set), replicasOf(set))) -
      (replicas - maxUnavailable),
  );
  for (const set of oldestFirst) {
    const size = sizes.get(set) ?? replicasOf(set);
    const less = Math.min(size, Math.max(spare, 0));
    if (less <= 0) continue;
    sizes.set(set, size - less);
    spare -= less;
  }
  return sizes;
}

/** Pure: a paused or resized deployment spreads the change over its sets in proportion (upstream's proportional scaling). */
export function planScaling(
  deployment: Deployment,
  { newSet, oldSets }: Rollout,
): Map<ReplicaSet, number> {
  const sets = newSet === undefined ? oldSets : [newSet, ...oldSets];
  const active = sets.filter((set) => replicasOf(set) > 0);
  const sizes = new Map<ReplicaSet, number>();
  const replicas = deployment.spec.replicas ?? 1;
  if (active.length <= 1) {
    const only = active[0] ?? newSet ?? oldSets[0];
    if (only !== undefined && replicasOf(only) !== replicas) sizes.set(only, replicas);
    return sizes;
  }
  if (deployment.spec.strategy?.type === "Recreate") return sizes;
  const allowed = replicas > 0 ? replicas + surgeOf(deployment).maxSurge : 0;
  const change = allowed - sum(active, replicasOf);
  if (change === 0) return sizes;
  // The larger first; of equals the newer grows and the older shrinks first.
  const order = [...active].sort(
    (a, b) => replicasOf(b) - replicasOf(a) || (change > 0 ? age(b) - age(a) : age(a) - age(b)),
  );
  let spread = 0;
  for (const set of order) {
    const left = change - spread;
    // A set's share is of what it was last sized against, not of what there is now.
    const measure =
      Number(set.metadata.annotations?.[MAX] ?? 0) ||
      (deployment.status?.replicas ?? 0) ||
      sum(active, replicasOf);
    const share = Math.round((replicasOf(set) * allowed) / measure) - replicasOf(set);
    const bounded = change > 0 ? Math.min(share, left) : Math.max(share, left);
    sizes.set(set, replicasOf(set) + bounded);
    spread += bounded;
  }
  const [first] = order;
  if (first !== undefined && change !== spread)
    sizes.set(first, Math.max(0, (sizes.get(first) ?? 0) + change - spread));
  return sizes;
}

/** True when the deployment was resized since its sets were last written. */
export function isScalingEvent(deployment: Deployment, sets: readonly ReplicaSet[]): boolean {
  return sets.some(
    (set) =>
      replicasOf(set) > 0 &&
      set.metadata.annotations?.[DESIRED] !== undefined &&
      Number(set.metadata.annotations[DESIRED]) !== (deployment.spec.replicas ?? 1),
  );
}
