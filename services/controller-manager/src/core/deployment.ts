import { resources } from "@wherry/client";
import {
  controllerOf,
  controllerReference,
  findCondition,
  formatTime,
  hashPodTemplate,
  isAlreadyExists,
  isBeingDeleted,
  isControlledBy,
  keyOf,
  labelSelectorFrom,
  objectKey,
  parseTime,
  scaleIntOrPercent,
  type Deployment,
  type DeploymentCondition,
  type DeploymentStatus,
  type Json,
  type PodTemplateSpec,
  type ReplicaSet,
} from "@wherry/machinery";
import { createReconciler, onAnyChange, withType, type Controller, type ControllerContext } from "./controller.ts";
import { ignoreGone, sorted } from "./replica-set.ts";

const TYPE = { apiVersion: "apps/v1", kind: "Deployment" };
const REVISION = "deployment.kubernetes.io/revision";
const DESIRED = "deployment.kubernetes.io/desired-replicas";
const MAX = "deployment.kubernetes.io/max-replicas";
const HASH = "pod-template-hash";
/** Annotations that belong to the replica set or to kubectl, and are not copied down. */
const OWN_ANNOTATIONS = new Set(["kubectl.kubernetes.io/last-applied-configuration", REVISION, "deployment.kubernetes.io/revision-history", DESIRED, MAX, "deprecated.deployment.rollback.to"]);

export interface Rollout {
  readonly newSet: ReplicaSet | undefined;
  /** Newest first. */
  readonly oldSets: readonly ReplicaSet[];
}

/** Pure: which replica set has the deployment's template, and which are left from before. */
export function findRollout(deployment: Deployment, sets: readonly ReplicaSet[]): Rollout {
  const wanted = canonicalTemplate(deployment.spec.template);
  const byAge = [...sets].sort((a, b) => age(a) - age(b));
  const newSet = byAge.find((set) => set.spec.template !== undefined && canonicalTemplate(set.spec.template) === wanted);
  return { newSet, oldSets: sets.filter((set) => set !== newSet).sort((a, b) => revisionOf(b) - revisionOf(a)) };
}

/** The template without the hash label that the controller adds. */
function canonicalTemplate(template: PodTemplateSpec): string {
  const { [HASH]: _hash, ...labels } = template.metadata?.labels ?? {};
  return hashPodTemplate({ ...template, metadata: { ...template.metadata, labels } } as unknown as Json);
}

function age(set: ReplicaSet): number {
  return parseTime(set.metadata.creationTimestamp ?? "1970-01-01T00:00:00Z");
}

export function revisionOf(object: { readonly metadata: { readonly annotations?: Readonly<Record<string, string>> } }): number {
  return Number(object.metadata.annotations?.[REVISION] ?? 0);
}

export interface Surge {
  readonly maxSurge: number;
  readonly maxUnavailable: number;
}

/** Both resolved against the replicas; both zero would stand still, so one may be unavailable then. */
export function surgeOf(deployment: Deployment): Surge {
  const replicas = deployment.spec.replicas ?? 1;
  if (deployment.spec.strategy?.type === "Recreate") return { maxSurge: 0, maxUnavailable: replicas };
  const rolling = deployment.spec.strategy?.rollingUpdate;
  const maxSurge = scaleIntOrPercent(rolling?.maxSurge ?? "25%", replicas, "up");
  const maxUnavailable = Math.min(replicas, scaleIntOrPercent(rolling?.maxUnavailable ?? "25%", replicas, "down"));
  return maxSurge === 0 && maxUnavailable === 0 ? { maxSurge, maxUnavailable: 1 } : { maxSurge, maxUnavailable };
}

const replicasOf = (set: ReplicaSet): number => set.spec.replicas ?? 0;
const availableOf = (set: ReplicaSet): number => set.status?.availableReplicas ?? 0;
const actualOf = (set: ReplicaSet): number => set.status?.replicas ?? 0;
const sum = (sets: readonly ReplicaSet[], count: (set: ReplicaSet) => number): number => sets.reduce((total, set) => total + count(set), 0);

/** Pods that are on their way out count too, and so do sets whose status is older than their size. */
function oldPodsLeft(oldSets: readonly ReplicaSet[]): boolean {
  return sum(oldSets, actualOf) > 0 || sum(oldSets, (set) => set.status?.terminatingReplicas ?? 0) > 0 || oldSets.some((set) => !isObserved(set));
}

function isObserved(set: ReplicaSet): boolean {
  return (set.status?.observedGeneration ?? 0) >= (set.metadata.generation ?? 0);
}

/** Pure: the sizes that the replica sets should have next. Sets that keep their size are left out. */
export function planRollout(deployment: Deployment, newSet: ReplicaSet, oldSets: readonly ReplicaSet[]): Map<ReplicaSet, number> {
  const replicas = deployment.spec.replicas ?? 1;
  const sizes = new Map<ReplicaSet, number>();
  if (deployment.spec.strategy?.type === "Recreate") {
    for (const set of oldSets) if (replicasOf(set) > 0) sizes.set(set, 0);
    if (sizes.size === 0 && !oldPodsLeft(oldSets) && replicasOf(newSet) !== replicas) sizes.set(newSet, replicas);
    return sizes;
  }
  const { maxSurge, maxUnavailable } = surgeOf(deployment);
  const total = sum([...oldSets, newSet], replicasOf);
  if (replicasOf(newSet) > replicas) sizes.set(newSet, replicas);
  else if (replicasOf(newSet) < replicas) {
    const room = replicas + maxSurge - total;
    if (room > 0) sizes.set(newSet, replicasOf(newSet) + Math.min(room, replicas - replicasOf(newSet)));
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
  let spare = Math.min(removable, sum([...oldSets, newSet], (set) => Math.min(availableOf(set), replicasOf(set))) - (replicas - maxUnavailable));
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
export function planScaling(deployment: Deployment, { newSet, oldSets }: Rollout): Map<ReplicaSet, number> {
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
  const order = [...active].sort((a, b) => replicasOf(b) - replicasOf(a) || (change > 0 ? age(b) - age(a) : age(a) - age(b)));
  let spread = 0;
  for (const set of order) {
    const left = change - spread;
    // A set's share is of what it was last sized against, not of what there is now.
    const measure = Number(set.metadata.annotations?.[MAX] ?? 0) || (deployment.status?.replicas ?? 0) || sum(active, replicasOf);
    const share = Math.round((replicasOf(set) * allowed) / measure) - replicasOf(set);
    const bounded = change > 0 ? Math.min(share, left) : Math.max(share, left);
    sizes.set(set, replicasOf(set) + bounded);
    spread += bounded;
  }
  const [first] = order;
  if (first !== undefined && change !== spread) sizes.set(first, Math.max(0, (sizes.get(first) ?? 0) + change - spread));
  return sizes;
}

/** True when the deployment was resized since its sets were last written. */
export function isScalingEvent(deployment: Deployment, sets: readonly ReplicaSet[]): boolean {
  return sets.some((set) => replicasOf(set) > 0 && set.metadata.annotations?.[DESIRED] !== undefined && Number(set.metadata.annotations[DESIRED]) !== (deployment.spec.replicas ?? 1));
}

/** Pure: status and conditions, with upstream's reasons and messages, which `kubectl rollout status` reads. */
export function deploymentStatus(deployment: Deployment, { newSet, oldSets }: Rollout, nowMs: number, creationError?: string): DeploymentStatus {
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
  const set = (type: string, status: string, reason: string, message: string, refresh = false): void => {
    const old = conditions.get(type);
    if (old?.status === status && old.reason === reason && !refresh) return;
    conditions.set(type, { type, status, reason, message, lastUpdateTime: now, lastTransitionTime: old?.status === status ? (old.lastTransitionTime ?? now) : now });
  };
  const enough = available >= replicas - surgeOf(deployment).maxUnavailable;
  if (enough) set("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.");
  else set("Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.");
  if (creationError !== undefined) set("Progressing", "False", "ReplicaSetCreateError", creationError);
  else progress(deployment, newSet, counts, set, conditions, nowMs);
  const failure = sets.map((one) => findCondition(one.status?.conditions, "ReplicaFailure")).find((one) => one?.status === "True");
  if (failure === undefined) conditions.delete("ReplicaFailure");
  else set("ReplicaFailure", failure.status, failure.reason ?? "", failure.message ?? "");
  return { ...counts, ...(deployment.status?.collisionCount === undefined ? {} : { collisionCount: deployment.status.collisionCount }), conditions: [...conditions.values()] };
}

type Counts = Pick<DeploymentStatus, "replicas" | "updatedReplicas" | "readyReplicas" | "availableReplicas">;

export function isComplete(deployment: Deployment, counts: Counts): boolean {
  const replicas = deployment.spec.replicas ?? 1;
  return counts.updatedReplicas === replicas && counts.replicas === replicas && counts.availableReplicas === replicas;
}

function progress(
  deployment: Deployment,
  newSet: ReplicaSet | undefined,
  counts: Counts,
  set: (type: string, status: string, reason: string, message: string, refresh?: boolean) => void,
  conditions: ReadonlyMap<string, DeploymentCondition>,
  nowMs: number,
): void {
  const what = newSet === undefined ? `Deployment "${deployment.metadata.name}"` : `ReplicaSet "${newSet.metadata.name}"`;
  const old = deployment.status;
  const current = conditions.get("Progressing");
  if (deployment.spec.paused === true) {
    if (current?.reason !== "DeploymentPaused") set("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused");
    return;
  }
  // Once a rollout is through, pods that fail later are no reason to call it stuck.
  if (current?.reason === "NewReplicaSetAvailable" && counts.replicas === counts.updatedReplicas) return;
  if (isComplete(deployment, counts)) {
    set("Progressing", "True", "NewReplicaSetAvailable", `${what} has successfully progressed.`);
    return;
  }
  const progressing =
    (counts.updatedReplicas ?? 0) > (old?.updatedReplicas ?? 0) ||
    (counts.replicas ?? 0) - (counts.updatedReplicas ?? 0) < (old?.replicas ?? 0) - (old?.updatedReplicas ?? 0) ||
    (counts.readyReplicas ?? 0) > (old?.readyReplicas ?? 0) ||
    (counts.availableReplicas ?? 0) > (old?.availableReplicas ?? 0);
  if (progressing || current === undefined || current.reason === "NewReplicaSetAvailable" || current.reason === "DeploymentPaused") {
    set("Progressing", "True", "ReplicaSetUpdated", `${what} is progressing.`, progressing);
    return;
  }
  const deadlineMs = (deployment.spec.progressDeadlineSeconds ?? 600) * 1_000;
  if (current.lastUpdateTime !== undefined && parseTime(current.lastUpdateTime) + deadlineMs < nowMs) {
    set("Progressing", "False", "ProgressDeadlineExceeded", `${what} has timed out progressing.`);
  }
}

export function createDeploymentController(context: ControllerContext): Controller {
  const { api, informers, events, clock } = context;
  const deployments = informers.informer<Deployment>(resources.deployments);
  const sets = informers.informer<ReplicaSet>(resources.replicaSets, { indexes: { namespace: (set) => [set.metadata.namespace ?? ""] } });

  const reconciler = createReconciler({
    name: "deployment",
    context,
    async reconcile(key) {
      const deployment = deployments.store.get(key);
      if (deployment === undefined) return undefined;
      if (isBeingDeleted(deployment)) {
        const left = sets.store.byIndex("namespace", deployment.metadata.namespace ?? "").filter((set) => isControlledBy(set, deployment));
        await writeStatus(deployment, findRollout(deployment, left));
        return undefined;
      }
      const owned = await claim(deployment);
      const rollout = findRollout(deployment, owned);
      if (deployment.spec.paused === true || isScalingEvent(deployment, owned)) {
        await resize(deployment, planScaling(deployment, rollout), rollout);
        await writeStatus(deployment, rollout);
        if (deployment.spec.paused === true) await cleanUp(deployment, rollout);
        return undefined;
      }
      const newSet = await ensureNewSet(deployment, rollout);
      if (newSet === undefined) return undefined;
      const current = { newSet, oldSets: rollout.oldSets };
      await resize(deployment, planRollout(deployment, newSet, rollout.oldSets), current);
      await writeStatus(deployment, current);
      await cleanUp(deployment, current);
      return deadline(deployment);
    },
  });

  const claim = async (deployment: Deployment): Promise<ReplicaSet[]> => {
    const matcher = labelSelectorFrom(deployment.spec.selector);
    const owned: ReplicaSet[] = [];
    for (const set of sets.store.byIndex("namespace", deployment.metadata.namespace ?? "")) {
      const { name = "", namespace, uid } = set.metadata;
      const controller = controllerOf(set);
      const matches = matcher.matches(set.metadata.labels ?? {});
      if (controller?.uid === deployment.metadata.uid) {
        if (matches) owned.push(set);
        else await api.patch(resources.replicaSets, name, namespace, "strategic", { metadata: { ownerReferences: [{ $patch: "delete", uid: deployment.metadata.uid }], uid } }).catch(ignoreGone);
      } else if (controller === undefined && matches && !isBeingDeleted(set)) {
        const live = await api.get<Deployment>(resources.deployments, deployment.metadata.name ?? "", namespace);
        if (live.metadata.uid !== deployment.metadata.uid || isBeingDeleted(live)) throw new Error(`Deployment ${objectKey(deployment)} is gone or going; it adopts nothing`);
        await api.patch(resources.replicaSets, name, namespace, "strategic", { metadata: { ownerReferences: [{ ...controllerReference(deployment, TYPE) }], uid } });
      }
    }
    return owned;
  };

  const annotationsFor = (deployment: Deployment, revision: number): Record<string, string> => ({
    ...Object.fromEntries(Object.entries(deployment.metadata.annotations ?? {}).filter(([name]) => !OWN_ANNOTATIONS.has(name))),
    ...scaleAnnotations(deployment),
    [REVISION]: String(revision),
  });
  const scaleAnnotations = (deployment: Deployment): Record<string, string> => ({
    [DESIRED]: String(deployment.spec.replicas ?? 1),
    [MAX]: String((deployment.spec.replicas ?? 1) + surgeOf(deployment).maxSurge),
  });

  /** The set of the current template, made if there is none; undefined when the caller has to come again. */
  const ensureNewSet = async (deployment: Deployment, { newSet, oldSets }: Rollout): Promise<ReplicaSet | undefined> => {
    const revision = Math.max(0, ...oldSets.map(revisionOf)) + 1;
    if (newSet !== undefined) {
      const annotations = annotationsFor(deployment, Math.max(revision, revisionOf(newSet)));
      const { minReadySeconds = 0 } = deployment.spec;
      const isStale = minReadySeconds !== (newSet.spec.minReadySeconds ?? 0) || Object.entries(annotations).some(([name, value]) => newSet.metadata.annotations?.[name] !== value);
      let current = newSet;
      if (isStale) {
        const metadata = { ...newSet.metadata, annotations: { ...newSet.metadata.annotations, ...annotations } };
        current = await api.update(resources.replicaSets, { ...newSet, metadata, spec: { ...newSet.spec, minReadySeconds } });
      }
      await writeRevision(deployment, revisionOf(current));
      return current;
    }
    const { name = "", namespace = "" } = deployment.metadata;
    const hash = hashPodTemplate(deployment.spec.template as unknown as Json, deployment.status?.collisionCount);
    const labels = { ...deployment.spec.template.metadata?.labels, [HASH]: hash };
    const others = oldSets.reduce((total, set) => total + replicasOf(set), 0);
    const room = deployment.spec.strategy?.type === "Recreate" ? (others === 0 && !oldPodsLeft(oldSets) ? (deployment.spec.replicas ?? 1) : 0) : Math.max(0, (deployment.spec.replicas ?? 1) + surgeOf(deployment).maxSurge - others);
    const replicas = Math.min(deployment.spec.replicas ?? 1, room);
    const set: ReplicaSet = {
      apiVersion: "apps/v1",
      kind: "ReplicaSet",
      metadata: { name: `${name}-${hash}`, namespace, labels, annotations: annotationsFor(deployment, revision), ownerReferences: [controllerReference(deployment, TYPE)] },
      spec: {
        replicas,
        ...(deployment.spec.minReadySeconds === undefined ? {} : { minReadySeconds: deployment.spec.minReadySeconds }),
        selector: { ...deployment.spec.selector, matchLabels: { ...deployment.spec.selector.matchLabels, [HASH]: hash } },
        template: { ...deployment.spec.template, metadata: { ...deployment.spec.template.metadata, labels } },
      },
    };
    try {
      const created = await api.create(resources.replicaSets, set);
      if (replicas > 0) scaledEvent(deployment, created, 0, replicas);
      await writeRevision(deployment, revision);
      return created;
    } catch (error) {
      if (!isAlreadyExists(error)) {
        const message = `Failed to create new replica set "${name}-${hash}": ${(error as Error).message}`;
        events.event(withType(deployment, TYPE.apiVersion, TYPE.kind), "Warning", "ReplicaSetCreateError", message);
        await writeStatus(deployment, { newSet: undefined, oldSets }, message);
        throw error;
      }
      const existing = await api.get<ReplicaSet>(resources.replicaSets, `${name}-${hash}`, namespace);
      if (controllerOf(existing)?.uid === deployment.metadata.uid && findRollout(deployment, [existing]).newSet !== undefined) return existing;
      // Another template has the same hash: the next try salts it.
      await api.update(resources.deployments, { ...deployment, status: { ...deployment.status, collisionCount: (deployment.status?.collisionCount ?? 0) + 1 } }, { subresource: "status" });
      return undefined;
    }
  };

  const writeRevision = async (deployment: Deployment, revision: number): Promise<void> => {
    if (revisionOf(deployment) === revision) return;
    await api.patch(resources.deployments, deployment.metadata.name ?? "", deployment.metadata.namespace, "merge", { metadata: { annotations: { [REVISION]: String(revision) } } });
  };

  const resize = async (deployment: Deployment, sizes: ReadonlyMap<ReplicaSet, number>, { newSet, oldSets }: Rollout): Promise<void> => {
    const annotations = scaleAnnotations(deployment);
    for (const set of newSet === undefined ? oldSets : [newSet, ...oldSets]) {
      const size = sizes.get(set) ?? replicasOf(set);
      const stale = Object.entries(annotations).some(([name, value]) => set.metadata.annotations?.[name] !== value);
      if (size === replicasOf(set) && (!stale || size === 0)) continue;
      await api.update(resources.replicaSets, { ...set, metadata: { ...set.metadata, annotations: { ...set.metadata.annotations, ...annotations } }, spec: { ...set.spec, replicas: size } });
      if (size !== replicasOf(set)) scaledEvent(deployment, set, replicasOf(set), size);
    }
  };

  const scaledEvent = (deployment: Deployment, set: ReplicaSet, from: number, to: number): void => {
    events.event(withType(deployment, TYPE.apiVersion, TYPE.kind), "Normal", "ScalingReplicaSet", `Scaled ${to > from ? "up" : "down"} replica set ${set.metadata.name} from ${from} to ${to}`);
  };

  const writeStatus = async (deployment: Deployment, rollout: Rollout, creationError?: string): Promise<void> => {
    const status = deploymentStatus(deployment, rollout, clock.now(), creationError);
    if (JSON.stringify(sorted(status)) === JSON.stringify(sorted(deployment.status))) return;
    await api.patch(resources.deployments, deployment.metadata.name ?? "", deployment.metadata.namespace, "merge", { status: status as unknown as Json }, { subresource: "status" });
  };

  /** Old sets beyond the history limit, the oldest first, once nothing of them runs. */
  const cleanUp = async (deployment: Deployment, { oldSets }: Rollout): Promise<void> => {
    const limit = deployment.spec.revisionHistoryLimit ?? 10;
    // While a rollout is under way the way back stays open.
    if (deployment.spec.paused !== true && !isComplete(deployment, deployment.status ?? {})) return;
    const idle = oldSets.filter((set) => replicasOf(set) === 0 && actualOf(set) === 0 && !isBeingDeleted(set) && isObserved(set));
    for (const set of idle.slice(limit)) await api.delete(resources.replicaSets, set.metadata.name ?? "", set.metadata.namespace).catch(ignoreGone);
  };

  const deadline = (deployment: Deployment): { readonly requeueAfterMs: number } | undefined => {
    const current = findCondition(deployment.status?.conditions, "Progressing");
    if (current?.reason !== "ReplicaSetUpdated" || current.lastUpdateTime === undefined) return undefined;
    const dueMs = parseTime(current.lastUpdateTime) + (deployment.spec.progressDeadlineSeconds ?? 600) * 1_000 + 1_000;
    return dueMs > clock.now() ? { requeueAfterMs: dueMs - clock.now() } : undefined;
  };

  deployments.subscribe(onAnyChange((deployment) => reconciler.enqueue(objectKey(deployment))));
  sets.subscribe(
    onAnyChange((set) => {
      const owner = controllerOf(set);
      if (owner?.kind === "Deployment") reconciler.enqueue(keyOf(set.metadata.namespace, owner.name));
      if (owner !== undefined) return;
      for (const one of deployments.store.list(set.metadata.namespace)) {
        if (labelSelectorFrom(one.spec.selector).matches(set.metadata.labels ?? {})) reconciler.enqueue(objectKey(one));
      }
    }),
  );
  return reconciler;
}
