import { resources } from "@wherry/client";
import {
  keyOf,
  objectKey,
  splitKey,
  type EndpointSlice,
  type Endpoints,
  type Service,
} from "@wherry/machinery";
import {
  createReconciler,
  onAnyChange,
  type Controller,
  type ControllerContext,
} from "../core/controller.ts";
import { againOnConflict } from "./conflict-retry.ts";
import { managedByLabel } from "./endpoint-group.ts";
import {
  endpointMirrorManager,
  mirroredPerSubsetMax,
  planEndpointMirror,
} from "./endpoint-mirror-plan.ts";
import { ignoreNotFound, sliceServiceKeys } from "./endpoint-slice-controller.ts";
import { isNamespaceTerminating } from "./namespace-terminating.ts";
import { hasSelector } from "./service-pods.ts";
import { createWriteLedger } from "./write-ledger.ts";

/** Mirrors the Endpoints of services without a selector into EndpointSlices. */
export function createEndpointMirrorController(context: ControllerContext): Controller {
  const { api, events, clock } = context;
  const services = context.informers.informer<Service>(resources.services);
  const endpoints = context.informers.informer<Endpoints>(resources.endpoints);
  const slices = context.informers.informer<EndpointSlice>(resources.endpointSlices, {
    indexes: { service: sliceServiceKeys },
  });
  const ledger = createWriteLedger(clock);

  const reconcile = async (key: string): Promise<{ requeueAfterMs: number } | void> => {
    const { namespace } = splitKey(key);
    const waitMs = ledger.pendingMs(key, (name) => slices.store.get(keyOf(namespace, name)));
    if (waitMs !== undefined) return { requeueAfterMs: waitMs };
    const present = slices.store
      .byIndex("service", key)
      .filter((slice) => slice.metadata.labels?.[managedByLabel] === endpointMirrorManager);
    const source = endpoints.store.get(key);
    const service = services.store.get(key);
    const isMirrored =
      source !== undefined && mayMirror(source) && service !== undefined && !hasSelector(service);
    const plan = isMirrored
      ? planEndpointMirror(source, present)
      : { creates: [], updates: [], deletes: present, invalidAddresses: 0, skippedAddresses: 0 };
    if (source !== undefined && plan.invalidAddresses > 0) {
      events.event(
        source,
        "Warning",
        "InvalidIPAddress",
        `Skipped ${plan.invalidAddresses} invalid IP addresses when mirroring to EndpointSlices`,
      );
    }
    if (source !== undefined && plan.skippedAddresses > 0) {
      const message = `A max of ${mirroredPerSubsetMax} addresses can be mirrored to EndpointSlices per Endpoints subset. ${plan.skippedAddresses} addresses were skipped`;
      events.event(source, "Warning", "TooManyAddressesToMirror", message);
    }
    try {
      for (const slice of plan.creates)
        ledger.wrote(key, await api.create(resources.endpointSlices, slice));
      for (const slice of plan.updates)
        ledger.wrote(key, await api.update(resources.endpointSlices, slice));
      for (const { metadata } of plan.deletes)
        await api
          .delete(resources.endpointSlices, metadata.name ?? "", metadata.namespace)
          .catch(ignoreNotFound);
    } catch (error) {
      if (!isNamespaceTerminating(error)) throw error;
    }
    return undefined;
  };

  const reconciler = createReconciler({
    name: "endpointslice-mirroring",
    context,
    reconcile: againOnConflict(reconcile),
  });
  services.subscribe(onAnyChange((service) => reconciler.enqueue(objectKey(service))));
  endpoints.subscribe(onAnyChange((one) => reconciler.enqueue(objectKey(one))));
  slices.subscribe(
    onAnyChange((slice) => {
      if (slice.metadata.labels?.[managedByLabel] === endpointMirrorManager)
        sliceServiceKeys(slice).forEach(reconciler.enqueue);
    }),
  );
  return reconciler;
}

/** The API server keeps both forms for its own service; the others say so by label, or are leader election records. */
function mayMirror({ metadata: { namespace, name, labels, annotations } }: Endpoints): boolean {
  if (namespace === "default" && name === "kubernetes") return false;
  return (
    labels?.["endpointslice.kubernetes.io/skip-mirror"] !== "true" &&
    annotations?.["control-plane.alpha.kubernetes.io/leader"] === undefined
  );
}
