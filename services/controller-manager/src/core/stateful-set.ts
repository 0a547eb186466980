import { resources } from "@wherry/client";
import { controllerReference, isAlreadyExists, isBeingDeleted, objectKey, type ControllerRevision, type PersistentVolumeClaim, type Pod, type PodTemplateSpec, type StatefulSet, type StatefulSetStatus } from "@wherry/machinery";
import { createReconciler, onAnyChange, type Controller, type ControllerContext } from "./controller.ts";
import { createExpectations } from "./expectations.ts";
import { followOwnedPods } from "./owned-pods.ts";
import { claimPods, createPodControl, isAvailable, isEnded, isReady } from "./pod-control.ts";
import { ignoreGone, sorted } from "./replica-set.ts";
import { createRevisions, REVISION_LABEL } from "./revisions.ts";

const TYPE = { apiVersion: "apps/v1", kind: "StatefulSet" };
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
export function planStateful(set: StatefulSet, pods: readonly Pod[], updateHash: string, nowMs: number): StatefulPlan {
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
  const isUp = (pod: Pod): boolean => !isBeingDeleted(pod) && isAvailable(pod, set.spec.minReadySeconds ?? 0, nowMs);
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
  if (create.length + remove.length > 0 || set.spec.updateStrategy?.type === "OnDelete") return { create, remove };
  const partition = start + (set.spec.updateStrategy?.rollingUpdate?.partition ?? 0);
  for (let ordinal = start + replicas - 1; ordinal >= partition; ordinal -= 1) {
    const pod = byOrdinal.get(ordinal);
    if (pod === undefined) break;
    if (pod.metadata.labels?.[REVISION_LABEL] !== updateHash) return { create, remove: isBeingDeleted(pod) ? [] : [pod] };
    if (!isUp(pod)) break;
  }
  return { create, remove };
}

/** Pure. `current` is the revision that the set is moving away from; it becomes the update revision when all pods have that. */
export function statefulStatus(set: StatefulSet, pods: readonly Pod[], update: { readonly name: string; readonly hash: string }, nowMs: number): StatefulSetStatus {
  const live = pods.filter((pod) => ordinalOf(set, pod) !== undefined && !isEnded(pod));
  const staying = live.filter((pod) => !isBeingDeleted(pod));
  const updated = staying.filter((pod) => pod.metadata.labels?.[REVISION_LABEL] === update.hash).length;
  const replicas = set.spec.replicas ?? 1;
  const ready = staying.filter(isReady).length;
  const isDone = updated === replicas && ready === replicas && live.length === replicas;
  const currentRevision = isDone || (set.status?.currentRevision ?? "") === "" ? update.name : (set.status?.currentRevision ?? update.name);
  return {
    observedGeneration: set.metadata.generation ?? 0,
    replicas: live.length,
    readyReplicas: ready,
    availableReplicas: staying.filter((pod) => isAvailable(pod, set.spec.minReadySeconds ?? 0, nowMs)).length,
    currentReplicas: currentRevision === update.name ? updated : staying.length - updated,
    updatedReplicas: updated,
    currentRevision,
    updateRevision: update.name,
    collisionCount: set.status?.collisionCount ?? 0,
  };
}

/** The claims of one pod, by template: "<template>-<pod>". */
export function claimsOf(set: StatefulSet, podName: string): PersistentVolumeClaim[] {
  return (set.spec.volumeClaimTemplates ?? []).map((template) => ({
    ...template,
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: { ...template.metadata, name: `${template.metadata.name}-${podName}`, namespace: set.metadata.namespace ?? "", labels: { ...template.metadata.labels, ...set.spec.selector.matchLabels } },
  }));
}

export function createStatefulSetController(context: ControllerContext): Controller {
  const { api, informers, clock } = context;
  const expectations = createExpectations(clock);
  const podControl = createPodControl(context, expectations);
  const sets = informers.informer<StatefulSet>(resources.statefulSets);
  const pods = informers.informer<Pod>(resources.pods, { indexes: { namespace: (pod) => [pod.metadata.namespace ?? ""] } });
  const revisions = createRevisions(api, informers.informer<ControllerRevision>(resources.controllerRevisions), TYPE);

  const reconciler = createReconciler({
    name: "statefulset",
    context,
    async reconcile(key) {
      const set = sets.store.get(key);
      if (set === undefined) {
        expectations.forget(key);
        return undefined;
      }
      const claimed = claimPods(set, set.spec.selector, pods.store.byIndex("namespace", set.metadata.namespace ?? ""));
      const adoptable = claimed.adoptable.filter((pod) => ordinalOf(set, pod) !== undefined);
      for (const pod of adoptable) await podControl.adopt(set, TYPE, pod);
      for (const pod of claimed.released) await podControl.release(set, pod).catch(ignoreGone);
      const all = [...claimed.owned, ...adoptable];
      const update = await revisions.ensure(set);
      if (expectations.satisfied(key) && !isBeingDeleted(set)) {
        const plan = planStateful(set, all, update.hash, clock.now());
        for (const ordinal of plan.create) await createPod(set, ordinal, update.hash);
        for (const pod of plan.remove) await podControl.delete(set, TYPE, pod);
      }
      const status = statefulStatus(set, all, update, clock.now());
      if (JSON.stringify(sorted(status)) !== JSON.stringify(sorted(set.status))) await api.update(resources.statefulSets, { ...set, status }, { subresource: "status" });
      await revisions.prune(set, new Set([update.hash, ...all.map((pod) => pod.metadata.labels?.[REVISION_LABEL] ?? "")]));
      const wait = set.spec.minReadySeconds ?? 0;
      return wait > 0 && (status.readyReplicas ?? 0) > (status.availableReplicas ?? 0) ? { requeueAfterMs: wait * 1_000 } : undefined;
    },
  });

  const createPod = async (set: StatefulSet, ordinal: number, hash: string): Promise<void> => {
    const name = `${set.metadata.name}-${ordinal}`;
    for (const claim of claimsOf(set, name)) await createClaim(set, claim);
    const volumes = (set.spec.volumeClaimTemplates ?? []).map((template) => ({ name: template.metadata.name ?? "", persistentVolumeClaim: { claimName: `${template.metadata.name}-${name}` } }));
    const names = new Set(volumes.map((volume) => volume.name));
    const template: PodTemplateSpec = set.spec.template;
    await podControl.create(set, TYPE, template, {
      name,
      labels: { [POD_NAME_LABEL]: name, [POD_INDEX_LABEL]: String(ordinal), [REVISION_LABEL]: hash },
      spec: {
        hostname: name,
        ...(set.spec.serviceName === undefined || set.spec.serviceName === "" ? {} : { subdomain: set.spec.serviceName }),
        ...(volumes.length === 0 ? {} : { volumes: [...(template.spec.volumes ?? []).filter((volume) => !names.has(volume.name)), ...volumes] }),
      },
    });
  };

  const createClaim = async (set: StatefulSet, claim: PersistentVolumeClaim): Promise<void> => {
    const retention = set.spec.persistentVolumeClaimRetentionPolicy;
    const owned = retention?.whenDeleted === "Delete" ? { ownerReferences: [controllerReference(set, TYPE)] } : {};
    try {
      await api.create(resources.persistentVolumeClaims, { ...claim, metadata: { ...claim.metadata, ...owned } });
    } catch (error) {
      // A claim outlives its pod.
      if (!isAlreadyExists(error)) throw error;
    }
  };

  sets.subscribe(onAnyChange((set) => reconciler.enqueue(objectKey(set))));
  followOwnedPods({ pods, kind: TYPE.kind, expectations, enqueue: reconciler.enqueue, owners: (namespace) => sets.store.list(namespace), selectorOf: (set) => set.spec.selector });
  return reconciler;
}
