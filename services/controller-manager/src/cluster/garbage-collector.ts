import {
  createWorkQueue,
  resources,
  type ApiClient,
  type ResourceRef,
  type WorkQueue,
} from "@wherry/client";
import {
  hasFinalizer,
  isBeingDeleted,
  isNotFound,
  type KubeObject,
  type OwnerReference,
} from "@wherry/machinery";
import type { Controller, ControllerContext } from "../core/controller.ts";
import { againOnConflict } from "./conflict-retry.ts";
import { decideCollect, type OwnerState } from "./collect-decision.ts";
import {
  blockingDependents,
  createOwnerGraph,
  foregroundFinalizer,
  formatIdentity,
  identityOf,
  orphanFinalizer,
  type GraphNode,
  type GraphWork,
  type Identity,
} from "./owner-graph.ts";
import { readCatalog, type CatalogResource, type ResourceCatalog } from "./resource-catalog.ts";

export interface GarbageCollectorConfig {
  /** Reads what there is to collect; the server's discovery by default. */
  readonly catalog?: (api: ApiClient, signal: AbortSignal) => Promise<ResourceCatalog>;
}

/** Their objects own nothing and are owned by nothing; there are many. */
const ignored = new Set(["/events", "events.k8s.io/events"]);

/** Other controllers of this process hold these in full; a second watch for their metadata would cost more than it saves. */
const heldInFull = new Set<ResourceRef>([
  resources.pods,
  resources.services,
  resources.endpoints,
  resources.endpointSlices,
  resources.nodes,
  resources.namespaces,
  resources.replicaSets,
  resources.deployments,
  resources.daemonSets,
  resources.statefulSets,
  resources.controllerRevisions,
  resources.jobs,
  resources.replicationControllers,
  resources.persistentVolumes,
  resources.persistentVolumeClaims,
  resources.volumeAttributesClasses,
]);

const concurrency = 8;
/** Discovery that failed, or a watch that does not come up, is tried or done without after this. */
const discoveryRetryMs = 5_000;
const syncWaitMs = 30_000;
/** An owner that exists and is not in the cache yet is looked at again, in case it comes and goes unseen. */
const unseenOwnerMs = 5_000;
/** A reference to a kind that is not served may become valid when it is. */
const unknownKindMs = 300_000;

/**
 * Deletes what has lost all its owners, finishes foreground deletions when nothing blocks them any more, and lets dependents go where an owner
 * is deleted without them. Driven by the watches of every resource that can be deleted; before each step the server is asked for the latest.
 */
export function createGarbageCollector(
  context: ControllerContext,
  config: GarbageCollectorConfig = {},
): Controller {
  const { api, clock, events, informers } = context;
  const log = context.log.child({ controller: "garbage-collector" });
  const graph = createOwnerGraph();
  const collectQueue = createWorkQueue({ clock, log });
  const orphanQueue = createWorkQueue({ clock, log });
  /** Nodes that were queued only because nobody had seen them; seen by now, there is nothing to do. */
  const toVerify = new Set<string>();
  let catalog: ResourceCatalog | undefined;

  const take = (work: GraphWork): void => {
    for (const uid of work.verify) toVerify.add(uid);
    for (const uid of work.collect) toVerify.delete(uid);
    for (const uid of [...work.verify, ...work.collect]) collectQueue.add(uid);
    for (const uid of work.orphan) orphanQueue.add(uid);
    for (const { dependent, reference } of work.invalid)
      reportInvalid(dependent.identity, reference);
  };

  const reportInvalid = (dependent: Identity, reference: OwnerReference): void => {
    const { apiVersion, kind, name, namespace, uid } = dependent;
    const object = {
      apiVersion,
      kind,
      metadata: { name, uid, ...(namespace === "" ? {} : { namespace }) },
    };
    const message = `ownerRef ${formatIdentity(identityOf(reference, namespace))} does not exist in namespace "${namespace}"`;
    events.event(object, "Warning", "OwnerRefInvalidNamespace", message);
  };

  const refOf = ({
    apiVersion,
    kind,
  }: {
    readonly apiVersion: string;
    readonly kind: string;
  }): CatalogResource | undefined => catalog?.byKind(apiVersion, kind);

  /** The object as the server has it now, or undefined when it is another one or gone. */
  const latestOf = async (
    ref: ResourceRef,
    { name, namespace, uid }: Identity,
  ): Promise<KubeObject | undefined> => {
    try {
      const object = await api.get(ref, name, ref.namespaced ? namespace : undefined);
      return object.metadata.uid === uid ? object : undefined;
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  };

  const collect = async (uid: string): Promise<{ requeueAfterMs: number } | void> => {
    const node = graph.get(uid);
    const onlyVerify = toVerify.delete(uid);
    if (node === undefined) return undefined;
    try {
      return await collectNode(node, onlyVerify);
    } catch (error) {
      if (onlyVerify) toVerify.add(uid);
      throw error;
    }
  };

  const collectNode = async (
    node: GraphNode,
    onlyVerify: boolean,
  ): Promise<{ requeueAfterMs: number } | void> => {
    if (node.beingDeleted && !node.deletingDependents) return undefined;
    const mayGo = node.owners.length > 0 && !onlyVerify;
    if (node.observed && !node.deletingDependents && !mayGo) return undefined;
    const ref = refOf(node.identity);
    if (ref === undefined || (ref.namespaced && node.identity.namespace === ""))
      return node.observed ? undefined : { requeueAfterMs: unknownKindMs };
    const { identity } = node;
    const latest = await latestOf(ref, identity);
    if (latest === undefined) {
      take(graph.foundAbsent(identity));
      return undefined;
    }
    if (node.deletingDependents) return finishForeground(node, ref, latest);
    const references = latest.metadata.ownerReferences ?? [];
    const owners: { reference: OwnerReference; state: OwnerState }[] = [];
    for (const reference of references) {
      const state = await ownerState(node, reference);
      if (state === "invalid") return undefined;
      if (state === "unknown") return { requeueAfterMs: unknownKindMs };
      owners.push({ reference, state });
    }
    await carryOut(node, ref, latest, owners);
    if (!node.observed && graph.get(identity.uid) === node) {
      toVerify.add(identity.uid);
      return { requeueAfterMs: unseenOwnerMs };
    }
    return undefined;
  };

  const ownerState = async (
    node: GraphNode,
    reference: OwnerReference,
  ): Promise<OwnerState | "unknown" | "invalid"> => {
    const { namespace } = node.identity;
    if (
      graph.isAbsent(identityOf(reference, "")) ||
      graph.isAbsent(identityOf(reference, namespace))
    )
      return "absent";
    const ref = refOf(reference);
    if (ref === undefined) return "unknown";
    if (ref.namespaced && namespace === "") {
      log.info(
        { name: node.identity.name, kind: node.identity.kind, owner: reference.name },
        "a cluster-scoped object refers to an owner in a namespace, the reference is ignored",
      );
      return "invalid";
    }
    const identity = identityOf(reference, ref.namespaced ? namespace : "");
    const owner = await latestOf(ref, identity);
    if (owner === undefined) {
      graph.markAbsent(identity);
      return "absent";
    }
    return isBeingDeleted(owner) && hasFinalizer(owner, foregroundFinalizer) ? "waiting" : "solid";
  };

  const carryOut = async (
    node: GraphNode,
    ref: ResourceRef,
    latest: KubeObject,
    owners: readonly { reference: OwnerReference; state: OwnerState }[],
  ): Promise<void> => {
    const decision = decideCollect(node, latest, owners);
    const {
      uid = "",
      resourceVersion = "",
      ownerReferences = [],
      name = "",
      namespace,
    } = latest.metadata;
    switch (decision.kind) {
      case "keep":
        return;
      case "unlink":
        await writeMetadata(ref, latest, {
          ownerReferences: ownerReferences.filter((one) => !decision.owners.has(one.uid)),
        });
        return;
      case "delete": {
        let version = resourceVersion;
        if (decision.unblockFirst) {
          const free = ownerReferences.map((one) =>
            one.blockOwnerDeletion === true ? { ...one, blockOwnerDeletion: false } : one,
          );
          version =
            (await writeMetadata(ref, latest, { ownerReferences: free }))?.metadata
              .resourceVersion ?? version;
        }
        log.debug(
          { kind: ref.kind, namespace, name, policy: decision.policy },
          "deleting an object that has lost its owners",
        );
        try {
          await api.delete(ref, name, ref.namespaced ? namespace : undefined, {
            propagationPolicy: decision.policy,
            preconditions: { uid, resourceVersion: version },
          });
        } catch (error) {
          if (!isNotFound(error)) throw error;
          take(graph.foundAbsent(node.identity));
        }
      }
    }
  };

  /** An owner in foreground deletion goes when nothing blocks it; until then what blocks it is deleted. */
  const finishForeground = async (
    node: GraphNode,
    ref: ResourceRef,
    latest: KubeObject,
  ): Promise<void> => {
    const blocking = blockingDependents(node);
    for (const dependent of blocking) {
      if (dependent.deletingDependents) continue;
      toVerify.delete(dependent.identity.uid);
      collectQueue.add(dependent.identity.uid);
    }
    if (blocking.length === 0) await removeFinalizer(ref, latest, foregroundFinalizer);
  };

  const orphan = async (uid: string): Promise<void> => {
    const node = graph.get(uid);
    const ref = node === undefined ? undefined : refOf(node.identity);
    if (node === undefined || ref === undefined) return;
    for (const dependent of node.dependents) await release(dependent, uid);
    const latest = await latestOf(ref, node.identity);
    if (latest !== undefined) await removeFinalizer(ref, latest, orphanFinalizer);
  };

  const release = async (dependent: GraphNode, owner: string): Promise<void> => {
    const ref = refOf(dependent.identity);
    const latest = ref === undefined ? undefined : await latestOf(ref, dependent.identity);
    if (ref === undefined || latest === undefined) return;
    const before = latest.metadata.ownerReferences ?? [];
    const ownerReferences = before.filter((one) => one.uid !== owner);
    if (ownerReferences.length < before.length)
      await writeMetadata(ref, latest, { ownerReferences });
  };

  const removeFinalizer = async (
    ref: ResourceRef,
    latest: KubeObject,
    finalizer: string,
  ): Promise<void> => {
    if (!hasFinalizer(latest, finalizer)) return;
    await writeMetadata(ref, latest, {
      finalizers: (latest.metadata.finalizers ?? []).filter((one) => one !== finalizer),
    });
  };

  /** A merge patch on exactly this state; it serves custom resources too. */
  const writeMetadata = async (
    ref: ResourceRef,
    { metadata }: KubeObject,
    change: {
      readonly ownerReferences?: readonly OwnerReference[];
      readonly finalizers?: readonly string[];
    },
  ): Promise<KubeObject | undefined> => {
    const { name = "", namespace, uid, resourceVersion } = metadata;
    const ownerReferences = change.ownerReferences?.map((one) => ({ ...one }));
    const patch = {
      metadata: {
        uid,
        resourceVersion,
        ...(change.finalizers === undefined ? {} : { finalizers: change.finalizers }),
        ...(ownerReferences === undefined ? {} : { ownerReferences }),
      },
    };
    try {
      return await api.patch(ref, name, ref.namespaced ? namespace : undefined, "merge", patch);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  };

  const watchEverything = async (found: ResourceCatalog, signal: AbortSignal): Promise<void> => {
    const waits = found.resources.filter(isCollectable).map(async (ref) => {
      const known = [...heldInFull].find(
        (one) =>
          one.group === ref.group && one.version === ref.version && one.resource === ref.resource,
      );
      const { verbs: _verbs, ...plain } = ref;
      const informer =
        known === undefined
          ? informers.informer(plain, { metadataOnly: true })
          : informers.informer(known);
      informer.subscribe({
        onAdd: (object) => take(graph.observe(object)),
        onUpdate: (object) => take(graph.observe(object)),
        onDelete: (object) => take(graph.remove(object)),
      });
      await informer.whenSynced(signal);
    });
    const patience = new AbortController();
    const synced = Promise.all(waits).then(() => patience.abort());
    synced.catch(() => {
      // The signal aborted; the queues end with it.
    });
    await Promise.race([
      synced.catch(() => {}),
      clock.sleep(syncWaitMs, AbortSignal.any([signal, patience.signal])).then(
        () =>
          log.warn(
            "some resources have not been listed yet, garbage collection begins without them",
          ),
        () => {},
      ),
    ]);
  };

  const discover = async (signal: AbortSignal): Promise<ResourceCatalog | undefined> => {
    while (!signal.aborted) {
      try {
        return await (config.catalog ?? readCatalog)(api, signal);
      } catch (error) {
        if (!signal.aborted)
          log.warn({ err: error }, "the API server's resources could not be read, trying again");
        await clock.sleep(discoveryRetryMs, signal).catch(() => {});
      }
    }
    return undefined;
  };

  return {
    name: "garbage-collector",
    async run(signal) {
      catalog = await discover(signal);
      if (catalog === undefined) return;
      await watchEverything(catalog, signal);
      await Promise.all([
        work(collectQueue, againOnConflict(collect), signal),
        work(orphanQueue, againOnConflict(orphan), signal),
      ]);
    },
  };
}

function work(
  queue: WorkQueue,
  worker: Parameters<WorkQueue["run"]>[0],
  signal: AbortSignal,
): Promise<void> {
  return queue.run(worker, concurrency, signal);
}

function isCollectable({ group, resource, verbs }: CatalogResource): boolean {
  return (
    !ignored.has(`${group}/${resource}`) &&
    ["delete", "list", "watch"].every((verb) => verbs.includes(verb))
  );
}
