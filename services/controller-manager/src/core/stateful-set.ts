import { resources } from "@wherry/client";
import {
  controllerReference,
  isAlreadyExists,
  isBeingDeleted,
  isNotFound,
  objectKey,
  scaleIntOrPercent,
  type ControllerRevision,
  type PersistentVolumeClaim,
  type Pod,
  type StatefulSet,
  type StatefulSetStatus,
} from "@wherry/machinery";
import {
  createReconciler,
  onAnyChange,
  soonest,
  withType,
  type Controller,
  type ControllerContext,
} from "./controller.ts";
import { createExpectations, GIVE_UP_MS } from "./expectations.ts";
import { followOwnedPods, podIndexes, podsAround } from "./owned-pods.ts";
import {
  claimPods,
  createPodControl,
  isAvailable,
  isEnded,
  isReady,
  untilAvailableMs,
} from "./pod-control.ts";
import { ignoreGone, sorted } from "./replica-set.ts";
import { createRevisions, REVISION_LABEL, type CurrentRevision } from "./revisions.ts";

const TYPE = { apiVersion: "apps/v1", kind: "StatefulSet", ref: resources.statefulSets };
const POD_NAME_LABEL = "statefulset.kubernetes.io/pod-name";
const POD_INDEX_LABEL = "apps.kubernetes.io/pod-index";

export interface StatefulPlan {
  readonly create: readonly number[];
  readonly remove: readonly Pod[];
}

/** "web-3" of "web" is 3; anything else is not of the set. */
export function ordinalOf(set: StatefulSet, pod: Pod): number | undefined {
  const prefix = `${set.metadata.name}-`;
  const name = pod.metadata.name ?? "";
  const rest = name.slice(prefix.length);
  return name.startsWith(prefix) && /^(0|[1-9]\d*)$/.test(rest) ? Number(rest) : undefined;
}

/**
 * Pure: the next steps. Ordered sets take one at a time and wait for each predecessor; parallel ones do not. Ended pods are replaced; beyond the replicas the
 * highest go first; a rolling update replaces from the highest down to the partition, one at a time, once all above are up.
 */
export function planStateful(
  set: StatefulSet,
  pods: readonly Pod[],
  updateHash: string,
  nowMs: number,
): StatefulPlan {
  const start = set.spec.ordinals?.start ?? 0;
  const replicas = set.spec.replicas ?? 1;
  const isParallel = set.spec.podManagementPolicy === "Parallel";
  const byOrdinal = new Map<number, Pod>();
  const condemned: Pod[] = [];
  for (const pod of pods) {
    const ordinal = ordinalOf(set, pod);
    if (ordinal === undefined) continue;
    if (ordinal >= start && ordinal < start + replicas) byOrdinal.set(ordinal, pod);
    else condemned.push(pod);
  }
  const create: number[] = [];
  const remove: Pod[] = [];
  const isUp = (pod: Pod): boolean =>
    !isBeingDeleted(pod) && isAvailable(pod, set.spec.minReadySeconds ?? 0, nowMs);
  for (let ordinal = start; ordinal < start + replicas; ordinal += 1) {
    const pod = byOrdinal.get(ordinal);
    if (pod === undefined) create.push(ordinal);
    else if (isEnded(pod) && !isBeingDeleted(pod)) remove.push(pod);
    const settled = pod !== undefined && !isEnded(pod) && isUp(pod);
    if (!isParallel && !settled) return { create, remove };
  }
  condemned.sort((a, b) => (ordinalOf(set, b) ?? 0) - (ordinalOf(set, a) ?? 0));
  for (const pod of condemned) {
    if (!isBeingDeleted(pod)) remove.push(pod);
    if (!isParallel) return { create, remove };
  }
  if (create.length + remove.length > 0 || set.spec.updateStrategy?.type === "OnDelete")
    return { create, remove };
  const rolling = set.spec.updateStrategy?.rollingUpdate;
  const partition = start + (rolling?.partition ?? 0);
  const allowed = Math.max(1, scaleIntOrPercent(rolling?.maxUnavailable ?? 1, replicas, "up"));
  let unavailable = 0;
  for (let ordinal = start + replicas - 1; ordinal >= partition; ordinal -= 1) {
    const pod = byOrdinal.get(ordinal);
    const isOld = pod !== undefined && pod.metadata.labels?.[REVISION_LABEL] !== updateHash;
    if (pod !== undefined && isOld && !isBeingDeleted(pod)) {
      remove.push(pod);
      unavailable += 1;
    } else if (pod === undefined || !isUp(pod)) unavailable += 1;
    if (unavailable >= allowed) break;
  }
  return { create, remove };
}

/**
 * Pure: whether the pod of that ordinal is made from the revision that the set is moving away from: below the partition of a rolling update nothing changes, not
 * even when a pod is lost.
 */
export function keepsRevision(set: StatefulSet, ordinal: number): boolean {
  const strategy = set.spec.updateStrategy;
  if (strategy?.type === "OnDelete") return false;
  const start = set.spec.ordinals?.start ?? 0;
  return ordinal < start + (strategy?.rollingUpdate?.partition ?? 0);
}

/** Pure. `current` is the revision that the set is moving away from; it becomes the update revision when all pods have that. */
export function statefulStatus(
  set: StatefulSet,
  pods: readonly Pod[],
  update: { readonly name: string; readonly hash: string },
  nowMs: number,
): StatefulSetStatus {
  const live = pods.filter((pod) => ordinalOf(set, pod) !== undefined && !isEnded(pod));
  const staying = live.filter((pod) => !isBeingDeleted(pod));
  const updated = staying.filter(
    (pod) => pod.metadata.labels?.[REVISION_LABEL] === update.hash,
  ).length;
  const replicas = set.spec.replicas ?? 1;
  const ready = staying.filter(isReady).length;
  const isDone =
    set.spec.updateStrategy?.type !== "OnDelete" &&
    updated === replicas &&
    ready === replicas &&
    live.length === replicas;
  const currentRevision =
    isDone || (set.status?.currentRevision ?? "") === ""
      ? update.name
      : (set.status?.currentRevision ?? update.name);
  return {
    observedGeneration: set.metadata.generation ?? 0,
    replicas: live.length,
    readyReplicas: ready,
    availableReplicas: staying.filter((pod) =>
      isAvailable(pod, set.spec.minReadySeconds ?? 0, nowMs),
    ).length,
    currentReplicas: currentRevision === update.name ? updated : staying.length - updated,
    updatedReplicas: updated,
    currentRevision,
    updateRevision: update.name,
    collisionCount: set.status?.collisionCount ?? 0,
    ...(set.status?.conditions === undefined ? {} : { conditions: set.status.conditions }),
  };
}

/** The claims of one pod, by template: "<template>-<pod>". */
export function claimsOf(set: StatefulSet, podName: string): PersistentVolumeClaim[] {
  return (set.spec.volumeClaimTemplates ?? []).map((template) => ({
    ...template,
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: {
      ...template.metadata,
      name: `${template.metadata.name}-${podName}`,
      namespace: set.metadata.namespace ?? "",
      labels: { ...template.metadata.labels, ...set.spec.selector.matchLabels },
    },
  }));
}

export function createStatefulSetController(context: ControllerContext): Controller {
  const { api, informers, clock, events } = context;
  const expectations = createExpectations(clock);
  const podControl = createPodControl(context, expectations, {
    created: (owner, pod) => `create Pod ${pod} in StatefulSet ${owner} successful`,
    createFailed: (owner, pod, error) =>
      `create Pod ${pod} in StatefulSet ${owner} failed error: ${error}`,
    deleted: (owner, pod) => `delete Pod ${pod} in StatefulSet ${owner} successful`,
    deleteFailed: (owner, pod, error) =>
      `delete Pod ${pod} in StatefulSet ${owner} failed error: ${error}`,
  });
  const sets = informers.informer<StatefulSet>(resources.statefulSets);
  const pods = informers.informer<Pod>(resources.pods, { indexes: podIndexes });
  const revisions = createRevisions(
    api,
    informers.informer<ControllerRevision>(resources.controllerRevisions),
    TYPE,
  );
  const say = (
    set: StatefulSet,
    type: "Normal" | "Warning",
    reason: string,
    message: string,
  ): void => events.event(withType(set, TYPE.apiVersion, TYPE.kind), type, reason, message);

  const reconciler = createReconciler({
    name: "statefulset",
    context,
    async reconcile(key) {
      const set = sets.store.get(key);
      if (set === undefined) {
        expectations.forget(key);
        return undefined;
      }
      if (isBeingDeleted(set)) return undefined;
      const isCurrent = expectations.satisfied(key);
      const claimed = claimPods(set, set.spec.selector, podsAround(pods, set));
      const adoptable = claimed.adoptable.filter((pod) => ordinalOf(set, pod) !== undefined);
      for (const pod of adoptable) await podControl.adopt(set, TYPE, pod);
      for (const pod of claimed.released) await podControl.release(set, pod).catch(ignoreGone);
      const all = [...claimed.owned, ...adoptable];
      const update = await revisions.ensure(set);
      if (update === undefined) {
        const status: StatefulSetStatus = {
          replicas: 0,
          ...set.status,
          collisionCount: (set.status?.collisionCount ?? 0) + 1,
        };
        await api.update(resources.statefulSets, { ...set, status }, { subresource: "status" });
        return undefined;
      }
      if (isCurrent) await manage(set, planStateful(set, all, update.hash, clock.now()), update);
      const status = statefulStatus(set, all, update, clock.now());
      if (JSON.stringify(sorted(status)) !== JSON.stringify(sorted(set.status)))
        await api.update(resources.statefulSets, { ...set, status }, { subresource: "status" });
      const hashes = all.map((pod) => pod.metadata.labels?.[REVISION_LABEL] ?? "");
      await revisions.prune(
        set,
        new Set([update.hash, ...hashes]),
        new Set([status.currentRevision ?? "", set.status?.currentRevision ?? ""]),
      );
      return soonest(
        isCurrent ? undefined : GIVE_UP_MS,
        untilAvailableMs(all, set.spec.minReadySeconds ?? 0, clock.now()),
      );
    },
  });

  const manage = async (
    set: StatefulSet,
    plan: StatefulPlan,
    update: CurrentRevision,
  ): Promise<void> => {
    for (const ordinal of plan.create) await createPod(set, ordinal, update);
    for (const pod of plan.remove) {
      if (isEnded(pod))
        say(
          set,
          "Warning",
          "RecreatingFailedPod",
          `StatefulSet ${objectKey(set)} is recreating failed Pod ${pod.metadata.name}`,
        );
      else if (
        isBeyond(set, pod) &&
        set.spec.persistentVolumeClaimRetentionPolicy?.whenScaled === "Delete"
      )
        await handClaimsTo(set, pod);
      await podControl.delete(set, TYPE, pod);
    }
  };

  const createPod = async (
    set: StatefulSet,
    ordinal: number,
    update: CurrentRevision,
  ): Promise<void> => {
    const name = `${set.metadata.name}-${ordinal}`;
    for (const claim of claimsOf(set, name)) await createClaim(set, name, claim);
    const kept = keepsRevision(set, ordinal)
      ? revisions.find(set, set.status?.currentRevision ?? "")
      : undefined;
    const { hash, template } = kept ?? { hash: update.hash, template: set.spec.template };
    const volumes = (set.spec.volumeClaimTemplates ?? []).map((one) => ({
      name: one.metadata.name ?? "",
      persistentVolumeClaim: { claimName: `${one.metadata.name}-${name}` },
    }));
    const names = new Set(volumes.map((volume) => volume.name));
    await podControl.create(set, TYPE, template, {
      name,
      labels: {
        [POD_NAME_LABEL]: name,
        [POD_INDEX_LABEL]: String(ordinal),
        [REVISION_LABEL]: hash,
      },
      spec: {
        hostname: name,
        ...(set.spec.serviceName === undefined || set.spec.serviceName === ""
          ? {}
          : { subdomain: set.spec.serviceName }),
        ...(volumes.length === 0
          ? {}
          : {
              volumes: [
                ...(template.spec.volumes ?? []).filter((volume) => !names.has(volume.name)),
                ...volumes,
              ],
            }),
      },
    });
  };

  const createClaim = async (
    set: StatefulSet,
    podName: string,
    claim: PersistentVolumeClaim,
  ): Promise<void> => {
    const { name = "", namespace } = claim.metadata;
    const whenDeleted = set.spec.persistentVolumeClaimRetentionPolicy?.whenDeleted;
    const owned =
      whenDeleted === "Delete" ? { ownerReferences: [controllerReference(set, TYPE)] } : {};
    try {
      await api.create(resources.persistentVolumeClaims, {
        ...claim,
        metadata: { ...claim.metadata, ...owned },
      });
      say(
        set,
        "Normal",
        "SuccessfulCreate",
        `create Claim ${name} Pod ${podName} in StatefulSet ${set.metadata.name} success`,
      );
    } catch (error) {
      if (!isAlreadyExists(error)) {
        say(
          set,
          "Warning",
          "FailedCreate",
          `create Claim ${name} for Pod ${podName} in StatefulSet ${set.metadata.name} failed error: ${(error as Error).message}`,
        );
        throw error;
      }
      // A claim outlives its pod, unless it was handed to the pod when the set shrank.
      const present = await api.get<PersistentVolumeClaim>(
        resources.persistentVolumeClaims,
        name,
        namespace,
      );
      if (isBeingDeleted(present))
        throw new Error(
          `PersistentVolumeClaim ${objectKey(present)} is being deleted; pod ${podName} waits for a new one`,
          { cause: error },
        );
      const handed =
        present.metadata.ownerReferences?.filter(
          (one) => one.kind === "Pod" && one.name === podName,
        ) ?? [];
      for (const { uid } of handed) {
        await api.patch(resources.persistentVolumeClaims, name, namespace, "strategic", {
          metadata: { uid: present.metadata.uid, ownerReferences: [{ $patch: "delete", uid }] },
        });
      }
    }
  };

  /** Claims that an ended pod owns are collected with it. */
  const handClaimsTo = async (set: StatefulSet, pod: Pod): Promise<void> => {
    const reference = {
      apiVersion: "v1",
      kind: "Pod",
      name: pod.metadata.name ?? "",
      uid: pod.metadata.uid ?? "",
    };
    for (const { metadata } of claimsOf(set, reference.name)) {
      try {
        await api.patch(
          resources.persistentVolumeClaims,
          metadata.name ?? "",
          metadata.namespace,
          "strategic",
          { metadata: { ownerReferences: [reference] } },
        );
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    }
  };

  sets.subscribe(onAnyChange((set) => reconciler.enqueue(objectKey(set))));
  followOwnedPods({
    pods,
    kind: TYPE.kind,
    owners: sets,
    expectations,
    enqueue: reconciler.enqueue,
    selectorOf: (set) => set.spec.selector,
  });
  return reconciler;
}

function isBeyond(set: StatefulSet, pod: Pod): boolean {
  const start = set.spec.ordinals?.start ?? 0;
  const ordinal = ordinalOf(set, pod) ?? -1;
  return ordinal < start || ordinal >= start + (set.spec.replicas ?? 1);
}
