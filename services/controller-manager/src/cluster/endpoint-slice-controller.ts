import { resources } from "@wherry/client";
import {
  isConflict,
  isNotFound,
  keyOf,
  objectKey,
  splitKey,
  withAnnotations,
  type EndpointSlice,
  type KubeObject,
  type Node,
  type Pod,
  type Service,
} from "@wherry/machinery";
import {
  createReconciler,
  onAnyChange,
  type Controller,
  type ControllerContext,
} from "../core/controller.ts";
import { againOnConflict } from "./conflict-retry.ts";
import { managedByLabel, serviceNameLabel, type SliceChanges } from "./endpoint-group.ts";
import { endpointSliceManager, planEndpointSlices } from "./endpoint-slice-plan.ts";
import { isNamespaceTerminating } from "./namespace-terminating.ts";
import { hasSelector, selects, servicesTouchedBy } from "./service-pods.ts";
import { createTriggerTimes, triggerTimeAnnotation } from "./trigger-time.ts";
import { createWriteLedger } from "./write-ledger.ts";

/** Keeps discovery.k8s.io/v1 EndpointSlices for every service that selects pods. */
export function createEndpointSliceController(context: ControllerContext): Controller {
  const { api, clock, events } = context;
  const services = context.informers.informer<Service>(resources.services);
  const pods = context.informers.informer<Pod>(resources.pods);
  const nodes = context.informers.informer<Node>(resources.nodes);
  const slices = context.informers.informer<EndpointSlice>(resources.endpointSlices, {
    indexes: { service: sliceServiceKeys },
  });
  const triggerTimes = createTriggerTimes();
  const ledger = createWriteLedger(clock);
  /** Services that wait for a node to become known. */
  const waitingForNode = new Map<string, Set<string>>();

  const reconcile = async (key: string): Promise<{ requeueAfterMs: number } | void> => {
    const service = services.store.get(key);
    if (service === undefined) {
      triggerTimes.forget(key);
      ledger.forget(key);
      return undefined;
    }
    if (service.spec.type === "ExternalName" || !hasSelector(service)) return undefined;
    const { namespace, name } = splitKey(key);
    const waitMs = ledger.pendingMs(key, (slice) => slices.store.get(keyOf(namespace, slice)));
    if (waitMs !== undefined) return { requeueAfterMs: waitMs };

    const selected = pods.store
      .list(namespace)
      .filter((pod) => selects(service, pod.metadata.labels));
    const trigger = triggerTimes.compute(key, service, selected);
    const plan = planEndpointSlices({
      service,
      pods: selected,
      nodeOf: (node) => nodes.store.get(node),
      slices: slices.store
        .byIndex("service", key)
        .filter((slice) => slice.metadata.labels?.[managedByLabel] === endpointSliceManager),
    });
    for (const node of plan.missingNodes) waitFor(node, key);
    try {
      await writeSlices(plan, trigger, key);
    } catch (error) {
      if (isNamespaceTerminating(error)) return undefined;
      if (isConflict(error)) throw error;
      const message = error instanceof Error ? error.message : String(error);
      events.event(
        service,
        "Warning",
        "FailedToUpdateEndpointSlices",
        `Error updating Endpoint Slices for Service ${namespace}/${name}: ${message}`,
      );
      throw error;
    }
    return undefined;
  };

  const writeSlices = async (
    changes: SliceChanges,
    trigger: string | undefined,
    key: string,
  ): Promise<void> => {
    const stamped = <T extends KubeObject>(slice: T): T => ({
      ...slice,
      metadata: withAnnotations(slice.metadata, { [triggerTimeAnnotation]: trigger ?? null }),
    });
    for (const slice of changes.creates)
      ledger.wrote(key, await api.create(resources.endpointSlices, stamped(slice)));
    for (const slice of changes.updates)
      ledger.wrote(key, await api.update(resources.endpointSlices, stamped(slice)));
    for (const { metadata } of changes.deletes) {
      const preconditions =
        metadata.uid === undefined ? {} : { preconditions: { uid: metadata.uid } };
      await api
        .delete(resources.endpointSlices, metadata.name ?? "", metadata.namespace, preconditions)
        .catch(ignoreNotFound);
    }
  };

  const waitFor = (node: string, key: string): void => {
    const waiting = waitingForNode.get(node) ?? new Set<string>();
    waitingForNode.set(node, waiting);
    waiting.add(key);
  };

  const reconciler = createReconciler({
    name: "endpointslice",
    context,
    reconcile: againOnConflict(reconcile),
  });

  services.subscribe(onAnyChange((service) => reconciler.enqueue(objectKey(service))));
  const onPod = (pod: Pod, previous?: Pod): void => {
    for (const key of servicesTouchedBy(services.store.list(pod.metadata.namespace), pod, previous))
      reconciler.enqueue(key);
  };
  pods.subscribe({ onAdd: (pod) => onPod(pod), onUpdate: onPod, onDelete: (pod) => onPod(pod) });
  nodes.subscribe({
    onAdd: ({ metadata: { name = "" } }) => {
      for (const key of waitingForNode.get(name) ?? []) reconciler.enqueue(key);
      waitingForNode.delete(name);
    },
  });
  slices.subscribe({
    onAdd: (slice) => sliceServiceKeys(slice).forEach(reconciler.enqueue),
    onUpdate: (slice, previous) =>
      [...sliceServiceKeys(slice), ...sliceServiceKeys(previous)].forEach(reconciler.enqueue),
    onDelete: (slice) => sliceServiceKeys(slice).forEach(reconciler.enqueue),
  });
  return reconciler;
}

/** The key of the service that a slice is for; empty when it names none. */
export function sliceServiceKeys(slice: EndpointSlice): readonly string[] {
  const service = slice.metadata.labels?.[serviceNameLabel] ?? "";
  return service === "" ? [] : [keyOf(slice.metadata.namespace, service)];
}

export function ignoreNotFound(error: unknown): void {
  if (!isNotFound(error)) throw error;
}
