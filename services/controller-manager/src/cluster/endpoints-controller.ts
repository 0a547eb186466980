import { resources } from "@wherry/client";
import {
  isConflict,
  objectKey,
  splitKey,
  type Endpoints,
  type Pod,
  type Service,
} from "@wherry/machinery";
import { createReconciler, type Controller, type ControllerContext } from "../core/controller.ts";
import { againOnConflict } from "./conflict-retry.ts";
import { ignoreNotFound } from "./endpoint-slice-controller.ts";
import { endpointsManagedByLabel, endpointsManager, planEndpoints } from "./endpoints-plan.ts";
import { isNamespaceTerminating } from "./namespace-terminating.ts";
import { hasSelector, selects, servicesTouchedBy } from "./service-pods.ts";
import { createTriggerTimes } from "./trigger-time.ts";

/** Keeps the older Endpoints object for every service that selects pods, for clients that do not know slices. */
export function createEndpointsController(context: ControllerContext): Controller {
  const { api, events } = context;
  const services = context.informers.informer<Service>(resources.services);
  const pods = context.informers.informer<Pod>(resources.pods);
  const endpoints = context.informers.informer<Endpoints>(resources.endpoints);
  const triggerTimes = createTriggerTimes();
  /** Services seen to go: their Endpoints go too, whoever wrote them. */
  const withoutService = new Set<string>();

  const reconcile = async (key: string): Promise<void> => {
    const { namespace, name } = splitKey(key);
    const service = services.store.get(key);
    const current = endpoints.store.get(key);
    if (service === undefined) {
      triggerTimes.forget(key);
      const lostService = withoutService.delete(key);
      if (current === undefined || !(lostService || isOurs(current))) return;
      const preconditions =
        current.metadata.uid === undefined ? {} : { preconditions: { uid: current.metadata.uid } };
      await api.delete(resources.endpoints, name, namespace, preconditions).catch(ignoreNotFound);
      return;
    }
    if (service.spec.type === "ExternalName" || !hasSelector(service)) return;
    const selected = pods.store
      .list(namespace)
      .filter((pod) => selects(service, pod.metadata.labels));
    const triggerTime = triggerTimes.compute(key, service, selected);
    const next = planEndpoints({ service, pods: selected, current, triggerTime });
    if (next === undefined) return;
    try {
      if (current === undefined) await api.create(resources.endpoints, next);
      else await api.update(resources.endpoints, next);
    } catch (error) {
      if (isNamespaceTerminating(error)) return;
      if (isConflict(error)) throw error;
      const message = error instanceof Error ? error.message : String(error);
      if (current === undefined)
        events.event(
          next,
          "Warning",
          "FailedToCreateEndpoint",
          `Failed to create endpoint for service ${key}: ${message}`,
        );
      else
        events.event(
          next,
          "Warning",
          "FailedToUpdateEndpoint",
          `Failed to update endpoint ${key}: ${message}`,
        );
      throw error;
    }
  };

  const reconciler = createReconciler({
    name: "endpoints",
    context,
    reconcile: againOnConflict(reconcile),
  });

  services.subscribe({
    onAdd(service) {
      withoutService.delete(objectKey(service));
      reconciler.enqueue(objectKey(service));
    },
    onUpdate: (service) => reconciler.enqueue(objectKey(service)),
    onDelete(service) {
      withoutService.add(objectKey(service));
      reconciler.enqueue(objectKey(service));
    },
  });
  const onPod = (pod: Pod, previous?: Pod): void => {
    for (const key of servicesTouchedBy(services.store.list(pod.metadata.namespace), pod, previous))
      reconciler.enqueue(key);
  };
  pods.subscribe({ onAdd: (pod) => onPod(pod), onUpdate: onPod, onDelete: (pod) => onPod(pod) });
  // Those present at the start may have lost their service while nobody watched.
  endpoints.subscribe({
    onAdd: (one) => reconciler.enqueue(objectKey(one)),
    onDelete: (one) => reconciler.enqueue(objectKey(one)),
  });
  return reconciler;
}

/** What somebody made without a service (leader election did) is not ours to delete at the start. */
function isOurs(endpoints: Endpoints): boolean {
  return endpoints.metadata.labels?.[endpointsManagedByLabel] === endpointsManager;
}
