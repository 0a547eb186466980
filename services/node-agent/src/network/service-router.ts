import { resources } from "@wherry/client";
import {
  objectKey,
  type EndpointSlice,
  type KubeObject,
  type Node,
  type Pod,
  type Service as KubeService,
} from "@wherry/machinery";
import {
  applyNft,
  chainCommands,
  chainName,
  chainOfVerdict,
  changeCommands,
  ElementLedger,
  fullSyncCommands,
  hostPortElements,
  NetworkError,
  serviceElements,
  type ChainSpec,
  type CommandRunner,
  type ServiceTableConfig,
} from "@wherry/net";
import { createDeferred, createService, type Service } from "@wherry/service-kit";
import { createGatherer, type Gatherer } from "./gatherer.ts";
import { forwardingParameters, setKernelParameters } from "./kernel-settings.ts";
import type { ServiceRouterConfig } from "./network-config.ts";
import { hostPortRoutes, SERVICE_NAME_LABEL, serviceRoutes } from "./service-routes.ts";
import { informersOf, type NetworkDeps } from "./shared-informers.ts";
import { createFlowCleaner, staleFlows } from "./stale-flows.ts";

export interface ServiceRouter extends Service {
  /** Resolves when the rules of everything that existed at the start are loaded. */
  whenLoaded(): Promise<void>;
}

/** The longest time that computing elements holds the event loop. */
const SLICE_MS = 8;
const BY_SERVICE = "network/service";

/**
 * Keeps the nftables table of service routing and host ports in step with the API. Stopping leaves the table as it is: traffic goes on
 * without the control plane, and the next start brings it up to date in place.
 */
export function createServiceRouter(
  config: ServiceRouterConfig,
  deps: NetworkDeps & { readonly run: CommandRunner },
): ServiceRouter {
  const { run, clock } = deps;
  const log = deps.log.child({ component: "service-router" });
  const source = informersOf(deps);
  const routed = config.routeServices
    ? {
        services: source.informers.informer<KubeService>(resources.services),
        slices: source.informers.informer<EndpointSlice>(resources.endpointSlices, {
          indexes: { [BY_SERVICE]: servicesOfSlice },
        }),
      }
    : undefined;
  const nodes = source.informers.informer<Node>(resources.nodes);
  const pods = source.informers.informer<Pod>(resources.pods, {
    fieldSelector: `spec.nodeName=${config.nodeName}`,
  });
  const table: ServiceTableConfig = {
    table: { family: "ip", name: "wherry" },
    podCidr: config.clusterCidr,
    ...(config.nodePortAddresses.length === 0 ? {} : { nodePortCidrs: config.nodePortAddresses }),
  };
  const neverReject = new Set(config.dnsAddresses);
  const ledger = new ElementLedger();
  const flows = createFlowCleaner(run, log);
  const dirty = new Set<string>();
  const chains = new Set<string>();
  const loaded = createDeferred();
  const subscriptions: (() => void)[] = [];
  const stopping = new AbortController();
  let zone: string | undefined;
  let needsFullSync = true;
  let failure: string | undefined;
  let gatherer: Gatherer | undefined;

  const mark = (owner: string): void => {
    dirty.add(owner);
    gatherer?.request();
  };
  const markAll = (): void => {
    for (const key of routed?.services.store.keys() ?? []) dirty.add(`service/${key}`);
    for (const key of pods.store.keys()) dirty.add(`pod/${key}`);
    gatherer?.request();
  };

  const recompute = async (): Promise<void> => {
    let sliceStart = clock.monotonic();
    for (const owner of dirty) {
      dirty.delete(owner);
      const [kind, namespace, name] = owner.split("/");
      const key = `${namespace}/${name}`;
      if (kind === "service") {
        const service = routed?.services.store.get(key);
        const routes =
          routed === undefined || service === undefined
            ? []
            : serviceRoutes(service, routed.slices.store.byIndex(BY_SERVICE, key), {
                nodeName: config.nodeName,
                ...(zone === undefined ? {} : { zone }),
              });
        ledger.replace(
          owner,
          routes.flatMap((route) => serviceElements(route, neverReject)),
        );
      } else {
        const pod = pods.store.get(key);
        ledger.replace(
          owner,
          pod === undefined ? [] : hostPortRoutes(pod).flatMap(hostPortElements),
        );
      }
      if (clock.monotonic() - sliceStart > SLICE_MS) {
        await new Promise<void>((resolve) => setImmediate(resolve));
        sliceStart = clock.monotonic();
      }
    }
  };

  const fullSync = async (): Promise<void> => {
    ledger.takeChanges();
    chains.clear();
    try {
      await applyNft(
        run,
        fullSyncCommands(table, () => ledger.elements(), { keepAffinity: true }),
        { signal: stopping.signal },
      );
    } catch (error) {
      if (!(error instanceof NetworkError) || error.code !== "command-failed") throw error;
      log.info({ err: error }, "the service table is made anew");
      await applyNft(
        run,
        fullSyncCommands(table, () => ledger.elements(), { keepAffinity: false }),
        { signal: stopping.signal },
      );
    }
    for (const element of ledger.elements()) {
      const spec = chainOfVerdict(element.value);
      if (spec !== undefined) chains.add(chainName(spec));
    }
    needsFullSync = false;
    await flows.reconcile(() => ledger.elements());
  };

  const incrementalSync = async (): Promise<void> => {
    const changes = ledger.takeChanges();
    if (changes.added.length === 0 && changes.removed.length === 0) return;
    const missing = new Map<string, ChainSpec>();
    for (const element of changes.added) {
      const spec = chainOfVerdict(element.value);
      if (spec !== undefined && !chains.has(chainName(spec))) missing.set(chainName(spec), spec);
    }
    await applyNft(
      run,
      concat(
        [...missing.values()].map((spec) => chainCommands(table, spec)),
        changeCommands(table.table, changes),
      ),
      { signal: stopping.signal },
    );
    for (const name of missing.keys()) chains.add(name);
    await flows.delete(staleFlows(changes));
  };

  const sync = async (): Promise<void> => {
    await recompute();
    const started = clock.monotonic();
    const full = needsFullSync;
    // Whatever goes wrong from here on, the kernel's state is unknown until a full sync.
    needsFullSync = true;
    if (full) await fullSync();
    else await incrementalSync();
    needsFullSync = false;
    failure = undefined;
    log.debug(
      { elements: ledger.size, full, durationMs: Math.round(clock.monotonic() - started) },
      "service rules are loaded",
    );
    loaded.resolve();
  };

  const service = createService({
    name: "service-router",
    async start(signal) {
      await setKernelParameters(run, forwardingParameters);
      source.start();
      void prepare(AbortSignal.any([stopping.signal, signal])).catch((error: unknown) => {
        if (!stopping.signal.aborted)
          failure = error instanceof Error ? error.message : String(error);
      });
    },
    async stop() {
      stopping.abort(new Error("service routing stops"));
      for (const unsubscribe of subscriptions) unsubscribe();
      await gatherer?.stop();
      await source.stop();
    },
    health: () =>
      failure !== undefined
        ? { status: "failing", reason: failure }
        : loaded.settled
          ? { status: "ok" }
          : { status: "failing", reason: "service rules are not loaded yet" },
  });
  return Object.assign(service, { whenLoaded: () => loaded.promise });

  /** Nothing is loaded before everything is known: a table with half of the services would cut the other half off. */
  async function prepare(signal: AbortSignal): Promise<void> {
    await Promise.all([
      nodes.whenSynced(signal),
      pods.whenSynced(signal),
      routed?.services.whenSynced(signal),
      routed?.slices.whenSynced(signal),
    ]);
    zone = zoneOf(nodes.store.get(config.nodeName));
    gatherer = createGatherer({
      clock,
      delayMs: config.gatherMs,
      delayMaxMs: config.gatherMaxMs,
      work: sync,
      onFailure: (error, retryMs) => {
        failure = error instanceof Error ? error.message : String(error);
        log.warn({ err: error, retryMs }, "service rules could not be loaded");
      },
    });
    if (routed !== undefined) {
      const onService = (object: KubeObject): void => mark(`service/${objectKey(object)}`);
      subscriptions.push(
        routed.services.subscribe({ onAdd: onService, onUpdate: onService, onDelete: onService }),
      );
      const onSlice = (slice: EndpointSlice): void => {
        for (const key of servicesOfSlice(slice)) mark(`service/${key}`);
      };
      subscriptions.push(
        routed.slices.subscribe({
          onAdd: onSlice,
          onUpdate: (slice, previous) => {
            onSlice(previous);
            onSlice(slice);
          },
          onDelete: onSlice,
        }),
      );
      subscriptions.push(
        nodes.subscribe({
          onUpdate: (node) => {
            if (node.metadata.name !== config.nodeName || zoneOf(node) === zone) return;
            zone = zoneOf(node);
            markAll();
          },
        }),
      );
    }
    const onPod = (pod: Pod): void => mark(`pod/${objectKey(pod)}`);
    subscriptions.push(pods.subscribe({ onAdd: onPod, onUpdate: onPod, onDelete: onPod }));
    // Subscribers are told little by little; the first load must not wait for that, nor be half of it.
    markAll();
  }
}

function servicesOfSlice(slice: EndpointSlice): readonly string[] {
  const name = slice.metadata.labels?.[SERVICE_NAME_LABEL];
  return name === undefined ? [] : [`${slice.metadata.namespace}/${name}`];
}

function zoneOf(node: Node | undefined): string | undefined {
  return node?.metadata.labels?.["topology.kubernetes.io/zone"];
}

function* concat(first: Iterable<string>, second: Iterable<string>): Generator<string> {
  yield* first;
  yield* second;
}
