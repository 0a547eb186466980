import { resources, type ResourceRef } from "@wherry/client";
import {
  hasFinalizer,
  isBeingDeleted,
  isNotFound,
  keyOf,
  objectKey,
  splitKey,
  withFinalizer,
  withoutFinalizer,
  type KubeObject,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type Pod,
} from "@wherry/machinery";
import { createReconciler, type Controller, type ControllerContext } from "../core/controller.ts";
import { againOnConflict } from "./conflict-retry.ts";

const claimFinalizer = "kubernetes.io/pvc-protection";
const volumeFinalizer = "kubernetes.io/pv-protection";
const classFinalizer = "kubernetes.io/vac-protection";

/** What to do with the finalizer that keeps an object while it is in use. */
export function planProtection(
  object: KubeObject,
  finalizer: string,
  inUse: boolean,
): "add" | "remove" | undefined {
  const isProtected = hasFinalizer(object, finalizer);
  if (!isBeingDeleted(object)) return isProtected ? undefined : "add";
  return isProtected && !inUse ? "remove" : undefined;
}

/** Keys of the claims that a pod on a node mounts; a pod without a node does not use any yet. */
export function claimsInUse({ metadata, spec }: Pod): readonly string[] {
  if ((spec.nodeName ?? "") === "") return [];
  return claimNames({ metadata, spec }).map((name) => keyOf(metadata.namespace, name));
}

/** Lets claims go that are under deletion, once no pod uses them. */
export function createClaimProtection(context: ControllerContext): Controller {
  const claims = context.informers.informer<PersistentVolumeClaim>(
    resources.persistentVolumeClaims,
  );
  const pods = context.informers.informer<Pod>(resources.pods, { indexes: { claim: claimsInUse } });

  const isUsed = async (key: string): Promise<boolean> => {
    if (pods.store.byIndex("claim", key).length > 0) return true;
    // The cache may be behind; what is let go here cannot be got back.
    const { items } = await context.api.list<Pod>(resources.pods, {
      namespace: splitKey(key).namespace,
    });
    return items.some((pod) => claimsInUse(pod).includes(key));
  };

  const reconciler = createReconciler({
    name: "persistentvolumeclaim-protection",
    context,
    reconcile: againOnConflict(async (key) => {
      const claim = claims.store.get(key);
      if (claim === undefined) return undefined;
      const mayGo = planProtection(claim, claimFinalizer, false) === "remove";
      const plan = planProtection(claim, claimFinalizer, mayGo && (await isUsed(key)));
      return writeFinalizer(context, resources.persistentVolumeClaims, claim, claimFinalizer, plan);
    }),
  });
  claims.subscribe({
    onAdd: (claim) => reconciler.enqueue(objectKey(claim)),
    onUpdate: (claim) => reconciler.enqueue(objectKey(claim)),
  });
  pods.subscribe({
    onDelete({ metadata, spec }) {
      for (const name of claimNames({ metadata, spec }))
        reconciler.enqueue(keyOf(metadata.namespace, name));
    },
  });
  return reconciler;
}

/** Lets volumes go that are under deletion, once no claim is bound to them. */
export function createVolumeProtection(context: ControllerContext): Controller {
  const volumes = context.informers.informer<PersistentVolume>(resources.persistentVolumes);
  const reconciler = createReconciler({
    name: "persistentvolume-protection",
    context,
    reconcile: againOnConflict(async (key) => {
      const volume = volumes.store.get(key);
      if (volume === undefined) return undefined;
      const plan = planProtection(volume, volumeFinalizer, volume.status?.phase === "Bound");
      return writeFinalizer(context, resources.persistentVolumes, volume, volumeFinalizer, plan);
    }),
  });
  volumes.subscribe({
    onAdd: (volume) => reconciler.enqueue(objectKey(volume)),
    onUpdate: (volume) => reconciler.enqueue(objectKey(volume)),
  });
  return reconciler;
}

/** Lets classes of volume attributes go that are under deletion, once no volume and no claim names them. */
export function createAttributesClassProtection(context: ControllerContext): Controller {
  const classes = context.informers.informer<KubeObject>(resources.volumeAttributesClasses);
  const volumes = context.informers.informer<PersistentVolume>(resources.persistentVolumes, {
    indexes: { class: volumeClasses },
  });
  const claims = context.informers.informer<PersistentVolumeClaim>(
    resources.persistentVolumeClaims,
    { indexes: { class: claimClasses } },
  );
  const reconciler = createReconciler({
    name: "volumeattributesclass-protection",
    context,
    reconcile: againOnConflict(async (key) => {
      const one = classes.store.get(key);
      if (one === undefined) return undefined;
      const inUse =
        volumes.store.byIndex("class", key).length + claims.store.byIndex("class", key).length > 0;
      return writeFinalizer(
        context,
        resources.volumeAttributesClasses,
        one,
        classFinalizer,
        planProtection(one, classFinalizer, inUse),
      );
    }),
  });
  const enqueueAll = (names: readonly string[]): void => names.forEach(reconciler.enqueue);
  classes.subscribe({
    onAdd: (one) => reconciler.enqueue(objectKey(one)),
    onUpdate: (one) => reconciler.enqueue(objectKey(one)),
  });
  volumes.subscribe({
    onUpdate: (_, previous) => enqueueAll(volumeClasses(previous)),
    onDelete: (volume) => enqueueAll(volumeClasses(volume)),
  });
  claims.subscribe({
    onUpdate: (_, previous) => enqueueAll(claimClasses(previous)),
    onDelete: (claim) => enqueueAll(claimClasses(claim)),
  });
  return reconciler;
}

function volumeClasses({ spec }: PersistentVolume): readonly string[] {
  return named(spec.volumeAttributesClassName);
}

function claimClasses({ spec, status }: PersistentVolumeClaim): readonly string[] {
  const all = [
    spec.volumeAttributesClassName,
    status?.currentVolumeAttributesClassName,
    status?.modifyVolumeStatus?.targetVolumeAttributesClassName,
  ];
  return [...new Set(all.flatMap(named))];
}

function named(name: string | undefined): readonly string[] {
  return name === undefined || name === "" ? [] : [name];
}

async function writeFinalizer(
  { api }: ControllerContext,
  ref: ResourceRef,
  { metadata }: KubeObject,
  finalizer: string,
  plan: "add" | "remove" | undefined,
): Promise<void> {
  if (plan === undefined) return;
  const { finalizers = [] } =
    plan === "add" ? withFinalizer(metadata, finalizer) : withoutFinalizer(metadata, finalizer);
  const { name = "", namespace, uid, resourceVersion } = metadata;
  try {
    await api.patch(ref, name, namespace, "merge", {
      metadata: { uid, resourceVersion, finalizers },
    });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}

/** A generic ephemeral volume has a claim that is named for the pod and itself. */
function claimNames({ metadata, spec }: Pick<Pod, "metadata" | "spec">): readonly string[] {
  return (spec.volumes ?? []).flatMap(({ name, persistentVolumeClaim, ephemeral }) => {
    if (persistentVolumeClaim !== undefined) return [persistentVolumeClaim.claimName];
    return ephemeral === undefined ? [] : [`${metadata.name ?? ""}-${name}`];
  });
}
