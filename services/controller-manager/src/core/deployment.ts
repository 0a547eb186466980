import { resources } from "@wherry/client";
import {
  controllerOf,
  controllerReference,
  findCondition,
  hashPodTemplate,
  isAlreadyExists,
  isBeingDeleted,
  isControlledBy,
  keyOf,
  labelSelectorFrom,
  objectKey,
  parseTime,
  type Deployment,
  type Json,
  type ReplicaSet,
} from "@wherry/machinery";
import {
  createReconciler,
  onAnyChange,
  withType,
  type Controller,
  type ControllerContext,
} from "./controller.ts";
import {
  actualOf,
  DESIRED,
  findRollout,
  HASH,
  isObserved,
  isScalingEvent,
  MAX,
  oldPodsLeft,
  planRollout,
  planScaling,
  replicasOf,
  REVISION,
  revisionOf,
  surgeOf,
  type Rollout,
} from "./deployment-rollout.ts";
import { deploymentStatus, isComplete } from "./deployment-status.ts";
import { ignoreGone, sorted } from "./replica-set.ts";

const TYPE = { apiVersion: "apps/v1", kind: "Deployment" };
/** Annotations that belong to the replica set or to kubectl, and are not copied down. */
const OWN_ANNOTATIONS = new Set([
  "kubectl.kubernetes.io/last-applied-configuration",
  REVISION,
  "deployment.kubernetes.io/revision-history",
  DESIRED,
  MAX,
  "deprecated.deployment.rollback.to",
]);

export function createDeploymentController(context: ControllerContext): Controller {
  const { api, informers, events, clock } = context;
  const deployments = informers.informer<Deployment>(resources.deployments);
  const sets = informers.informer<ReplicaSet>(resources.replicaSets, {
    indexes: { namespace: (set) => [set.metadata.namespace ?? ""] },
  });

  const reconciler = createReconciler({
    name: "deployment",
    context,
    async reconcile(key) {
      const deployment = deployments.store.get(key);
      if (deployment === undefined) return undefined;
      if (isBeingDeleted(deployment)) {
        const left = sets.store
          .byIndex("namespace", deployment.metadata.namespace ?? "")
          .filter((set) => isControlledBy(set, deployment));
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
        else
          await api
            .patch(resources.replicaSets, name, namespace, "strategic", {
              metadata: {
                ownerReferences: [{ $patch: "delete", uid: deployment.metadata.uid }],
                uid,
              },
            })
            .catch(ignoreGone);
      } else if (controller === undefined && matches && !isBeingDeleted(set)) {
        const live = await api.get<Deployment>(
          resources.deployments,
          deployment.metadata.name ?? "",
          namespace,
        );
        if (live.metadata.uid !== deployment.metadata.uid || isBeingDeleted(live))
          throw new Error(
            `Deployment ${objectKey(deployment)} is gone or going; it adopts nothing`,
          );
        await api.patch(resources.replicaSets, name, namespace, "strategic", {
          metadata: { ownerReferences: [{ ...controllerReference(deployment, TYPE) }], uid },
        });
      }
    }
    return owned;
  };

  const annotationsFor = (deployment: Deployment, revision: number): Record<string, string> => ({
    ...Object.fromEntries(
      Object.entries(deployment.metadata.annotations ?? {}).filter(
        ([name]) => !OWN_ANNOTATIONS.has(name),
      ),
    ),
    ...scaleAnnotations(deployment),
    [REVISION]: String(revision),
  });
  const scaleAnnotations = (deployment: Deployment): Record<string, string> => ({
    [DESIRED]: String(deployment.spec.replicas ?? 1),
    [MAX]: String((deployment.spec.replicas ?? 1) + surgeOf(deployment).maxSurge),
  });

  /** The set of the current template, made if there is none; undefined when the caller has to come again. */
  const ensureNewSet = async (
    deployment: Deployment,
    { newSet, oldSets }: Rollout,
  ): Promise<ReplicaSet | undefined> => {
    const revision = Math.max(0, ...oldSets.map(revisionOf)) + 1;
    if (newSet !== undefined) {
      const annotations = annotationsFor(deployment, Math.max(revision, revisionOf(newSet)));
      const { minReadySeconds = 0 } = deployment.spec;
      const isStale =
        minReadySeconds !== (newSet.spec.minReadySeconds ?? 0) ||
        Object.entries(annotations).some(
          ([name, value]) => newSet.metadata.annotations?.[name] !== value,
        );
      let current = newSet;
      if (isStale) {
        const metadata = {
          ...newSet.metadata,
          annotations: { ...newSet.metadata.annotations, ...annotations },
        };
        current = await api.update(resources.replicaSets, {
          ...newSet,
          metadata,
          spec: { ...newSet.spec, minReadySeconds },
        });
      }
      await writeRevision(deployment, revisionOf(current));
      return current;
    }
    const { name = "", namespace = "" } = deployment.metadata;
    const hash = hashPodTemplate(
      deployment.spec.template as unknown as Json,
      deployment.status?.collisionCount,
    );
    const labels = { ...deployment.spec.template.metadata?.labels, [HASH]: hash };
    const others = oldSets.reduce((total, set) => total + replicasOf(set), 0);
    const room =
      deployment.spec.strategy?.type === "Recreate"
        ? others === 0 && !oldPodsLeft(oldSets)
          ? (deployment.spec.replicas ?? 1)
          : 0
        : Math.max(0, (deployment.spec.replicas ?? 1) + surgeOf(deployment).maxSurge - others);
    const replicas = Math.min(deployment.spec.replicas ?? 1, room);
    const set: ReplicaSet = {
      apiVersion: "apps/v1",
      kind: "ReplicaSet",
      metadata: {
        name: `${name}-${hash}`,
        namespace,
        labels,
        annotations: annotationsFor(deployment, revision),
        ownerReferences: [controllerReference(deployment, TYPE)],
      },
      spec: {
        replicas,
        ...(deployment.spec.minReadySeconds === undefined
          ? {}
          : { minReadySeconds: deployment.spec.minReadySeconds }),
        selector: {
          ...deployment.spec.selector,
          matchLabels: { ...deployment.spec.selector.matchLabels, [HASH]: hash },
        },
        template: {
          ...deployment.spec.template,
          metadata: { ...deployment.spec.template.metadata, labels },
        },
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
        events.event(
          withType(deployment, TYPE.apiVersion, TYPE.kind),
          "Warning",
          "ReplicaSetCreateError",
          message,
        );
        await writeStatus(deployment, { newSet: undefined, oldSets }, message);
        throw error;
      }
      const existing = await api.get<ReplicaSet>(
        resources.replicaSets,
        `${name}-${hash}`,
        namespace,
      );
      if (
        controllerOf(existing)?.uid === deployment.metadata.uid &&
        findRollout(deployment, [existing]).newSet !== undefined
      )
        return existing;
      // Another template has the same hash: the next try salts it.
      await api.update(
        resources.deployments,
        {
          ...deployment,
          status: {
            ...deployment.status,
            collisionCount: (deployment.status?.collisionCount ?? 0) + 1,
          },
        },
        { subresource: "status" },
      );
      return undefined;
    }
  };

  const writeRevision = async (deployment: Deployment, revision: number): Promise<void> => {
    if (revisionOf(deployment) === revision) return;
    await api.patch(
      resources.deployments,
      deployment.metadata.name ?? "",
      deployment.metadata.namespace,
      "merge",
      { metadata: { annotations: { [REVISION]: String(revision) } } },
    );
  };

  const resize = async (
    deployment: Deployment,
    sizes: ReadonlyMap<ReplicaSet, number>,
    { newSet, oldSets }: Rollout,
  ): Promise<void> => {
    const annotations = scaleAnnotations(deployment);
    for (const set of newSet === undefined ? oldSets : [newSet, ...oldSets]) {
      const size = sizes.get(set) ?? replicasOf(set);
      const stale = Object.entries(annotations).some(
        ([name, value]) => set.metadata.annotations?.[name] !== value,
      );
      if (size === replicasOf(set) && (!stale || size === 0)) continue;
      await api.update(resources.replicaSets, {
        ...set,
        metadata: { ...set.metadata, annotations: { ...set.metadata.annotations, ...annotations } },
        spec: { ...set.spec, replicas: size },
      });
      if (size !== replicasOf(set)) scaledEvent(deployment, set, replicasOf(set), size);
    }
  };

  const scaledEvent = (deployment: Deployment, set: ReplicaSet, from: number, to: number): void => {
    events.event(
      withType(deployment, TYPE.apiVersion, TYPE.kind),
      "Normal",
      "ScalingReplicaSet",
      `Scaled ${to > from ? "up" : "down"} replica set ${set.metadata.name} from ${from} to ${to}`,
    );
  };

  const writeStatus = async (
    deployment: Deployment,
    rollout: Rollout,
    creationError?: string,
  ): Promise<void> => {
    const status = deploymentStatus(deployment, rollout, clock.now(), creationError);
    if (JSON.stringify(sorted(status)) === JSON.stringify(sorted(deployment.status))) return;
    await api.patch(
      resources.deployments,
      deployment.metadata.name ?? "",
      deployment.metadata.namespace,
      "merge",
      { status: status as unknown as Json },
      { subresource: "status" },
    );
  };

  /** Old sets beyond the history limit, the oldest first, once nothing of them runs. */
  const cleanUp = async (deployment: Deployment, { oldSets }: Rollout): Promise<void> => {
    const limit = deployment.spec.revisionHistoryLimit ?? 10;
    // While a rollout is under way the way back stays open.
    if (deployment.spec.paused !== true && !isComplete(deployment, deployment.status ?? {})) return;
    const idle = oldSets.filter(
      (set) =>
        replicasOf(set) === 0 && actualOf(set) === 0 && !isBeingDeleted(set) && isObserved(set),
    );
    for (const set of idle.slice(limit))
      await api
        .delete(resources.replicaSets, set.metadata.name ?? "", set.metadata.namespace)
        .catch(ignoreGone);
  };

  const deadline = (deployment: Deployment): { readonly requeueAfterMs: number } | undefined => {
    const current = findCondition(deployment.status?.conditions, "Progressing");
    if (current?.reason !== "ReplicaSetUpdated" || current.lastUpdateTime === undefined)
      return undefined;
    const dueMs =
      parseTime(current.lastUpdateTime) +
      (deployment.spec.progressDeadlineSeconds ?? 600) * 1_000 +
      1_000;
    return dueMs > clock.now() ? { requeueAfterMs: dueMs - clock.now() } : undefined;
  };

  deployments.subscribe(onAnyChange((deployment) => reconciler.enqueue(objectKey(deployment))));
  sets.subscribe(
    onAnyChange((set) => {
      const owner = controllerOf(set);
      if (owner?.kind === "Deployment")
        reconciler.enqueue(keyOf(set.metadata.namespace, owner.name));
      if (owner !== undefined) return;
      for (const one of deployments.store.list(set.metadata.namespace)) {
        if (labelSelectorFrom(one.spec.selector).matches(set.metadata.labels ?? {}))
          reconciler.enqueue(objectKey(one));
      }
    }),
  );
  return reconciler;
}
