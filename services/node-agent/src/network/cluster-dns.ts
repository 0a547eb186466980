import { resources } from "@wherry/client";
import {
  objectKey,
  type EndpointSlice,
  type KubeObject,
  type Node,
  type Service as KubeService,
} from "@wherry/machinery";
import { NetworkError, readAddresses, runChecked, type CommandRunner } from "@wherry/net";
import { createDeferred, createService, type Service } from "@wherry/service-kit";
import { connectDnsProcess, type DnsConnection } from "./dns/dns-process.ts";
import { foldName } from "./dns/dns-name.ts";
import { openResolvConf, type ResolvConf } from "./dns/resolv-conf.ts";
import { zoneHost, zoneService } from "./dns/zone-services.ts";
import type { ZoneService } from "./dns/zone-entry.ts";
import { ipv4Block } from "./flannel-annotations.ts";
import { createGatherer, type Gatherer } from "./gatherer.ts";
import type { ClusterDnsConfig } from "./network-config.ts";
import { SERVICE_NAME_LABEL } from "./service-routes.ts";
import { informersOf, type NetworkDeps } from "./shared-informers.ts";

export interface ClusterDns extends Service {
  /** Resolves when the DNS process answers with all that existed at the start. */
  whenAnswering(): Promise<void>;
}

/** Services in one message. */
const SERVICES_PER_MESSAGE = 200;
const BY_SERVICE = "network/service";

/**
 * Feeds the DNS process of this node: starts or adopts it, sends a snapshot at each connection and every change after it. Stopping leaves
 * the process answering with what it knows.
 */
export function createClusterDns(
  config: ClusterDnsConfig,
  deps: NetworkDeps & { readonly run: CommandRunner },
): ClusterDns {
  const { run, clock } = deps;
  const log = deps.log.child({ component: "cluster-dns" });
  const source = informersOf(deps);
  const services = source.informers.informer<KubeService>(resources.services);
  const slices = source.informers.informer<EndpointSlice>(resources.endpointSlices, {
    indexes: { [BY_SERVICE]: servicesOfSlice },
  });
  const namespaces = source.informers.informer(resources.namespaces);
  const nodes = source.informers.informer<Node>(resources.nodes);
  const answering = createDeferred();
  const stopping = new AbortController();
  const subscriptions: (() => void)[] = [];
  const dirty = {
    services: new Set<string>(),
    namespaces: new Set<string>(),
    hosts: new Set<string>(),
  };
  let sent = { upstreams: "", sources: "" };
  let connection: DnsConnection | undefined;
  let resolvConf: ResolvConf | undefined;
  let gatherer: Gatherer | undefined;
  let failure: string | undefined = "the DNS process is not fed yet";

  const describe = (key: string): ZoneService | undefined => {
    const service = services.store.get(key);
    return service === undefined
      ? undefined
      : zoneService(service, slices.store.byIndex(BY_SERVICE, key));
  };

  const sendServices = async (to: DnsConnection, keys: Iterable<string>): Promise<void> => {
    let put: ZoneService[] = [];
    let removed: string[] = [];
    const flush = async (): Promise<void> => {
      if (put.length + removed.length > 0)
        await to.send({ type: "put", services: put, removedServices: removed });
      put = [];
      removed = [];
      await new Promise<void>((resolve) => setImmediate(resolve));
    };
    for (const key of keys) {
      const entry = describe(key);
      if (entry === undefined) removed.push(key);
      else put.push(entry);
      if (put.length + removed.length >= SERVICES_PER_MESSAGE) await flush();
    }
    await flush();
  };

  const sendSurroundings = async (to: DnsConnection): Promise<void> => {
    const upstreams = (await resolvConf?.upstreams()) ?? [];
    const block = ipv4Block(nodes.store.get(config.nodeName));
    const blocks = block === undefined ? [] : [block];
    if (JSON.stringify(upstreams) !== sent.upstreams)
      await to.send({ type: "upstreams", upstreams });
    if (JSON.stringify(blocks) !== sent.sources) await to.send({ type: "sources", blocks });
    sent = { upstreams: JSON.stringify(upstreams), sources: JSON.stringify(blocks) };
  };

  const connect = async (): Promise<DnsConnection> => {
    const made = await connectDnsProcess({
      runDir: config.runDir,
      command: config.dnsCommand,
      clock,
      log,
      run,
      signal: stopping.signal,
    });
    for (const set of Object.values(dirty)) set.clear();
    sent = { upstreams: "", sources: "" };
    try {
      await made.send({
        type: "reset",
        settings: {
          domain: config.domain,
          address: config.address,
          clusterCidrs: config.clusterCidrs,
        },
        listen: { address: config.address, port: config.port },
      });
      await sendSurroundings(made);
      await made.send({
        type: "put",
        namespaces: [...namespaces.store.keys()],
        hosts: nodes.store.list().flatMap((node) => zoneHost(node) ?? []),
      });
      await sendServices(made, [...services.store.keys()]);
      await made.send({ type: "commit" });
      const reply = await made.nextReply();
      if (reply.type !== "committed")
        throw new NetworkError(
          "command-failed",
          `the DNS process cannot answer on ${config.address}:${config.port}: ${reply.type === "failed" ? reply.message : "unexpected reply"}`,
        );
      log.info(
        { pid: made.pid, adopted: made.adopted, services: reply.services },
        "cluster DNS answers",
      );
    } catch (error) {
      made.close();
      throw error;
    }
    void made.closed.then(() => {
      if (connection !== made) return;
      connection = undefined;
      if (!stopping.signal.aborted) failure = "the DNS process is gone";
      gatherer?.request();
    });
    return made;
  };

  const sync = async (): Promise<void> => {
    if (connection === undefined) {
      connection = await connect();
      failure = undefined;
      answering.resolve();
      return;
    }
    const changed = {
      services: [...dirty.services],
      namespaces: [...dirty.namespaces],
      hosts: [...dirty.hosts],
    };
    for (const set of Object.values(dirty)) set.clear();
    await sendSurroundings(connection);
    if (changed.namespaces.length + changed.hosts.length > 0) {
      const hosts = changed.hosts.map((name) => {
        const node = nodes.store.get(name);
        return { name, host: node === undefined ? undefined : zoneHost(node) };
      });
      await connection.send({
        type: "put",
        namespaces: changed.namespaces.filter((name) => namespaces.store.get(name) !== undefined),
        removedNamespaces: changed.namespaces.filter(
          (name) => namespaces.store.get(name) === undefined,
        ),
        hosts: hosts.flatMap(({ host }) => host ?? []),
        removedHosts: hosts.flatMap(({ name, host }) =>
          host === undefined ? [foldName(name)] : [],
        ),
      });
    }
    if (changed.services.length > 0) await sendServices(connection, changed.services);
  };

  const ensureAddress = async (): Promise<void> => {
    const present = (await readAddresses(run)).some(
      (entry) => entry.link === "lo" && entry.address === config.address,
    );
    // Scope host: the kernel must not choose it as the source of what the node sends elsewhere.
    if (!present)
      await runChecked(run, [
        "ip",
        "addr",
        "add",
        `${config.address}/32`,
        "dev",
        "lo",
        "scope",
        "host",
      ]);
  };

  const service = createService({
    name: "cluster-dns",
    async start(signal) {
      await ensureAddress();
      gatherer = createGatherer({
        clock,
        delayMs: config.gatherMs,
        delayMaxMs: 10 * config.gatherMs,
        work: sync,
        onFailure: (error, retryMs) => {
          // A change that was not delivered is part of the next snapshot.
          connection?.close();
          connection = undefined;
          failure = error instanceof Error ? error.message : String(error);
          log.warn({ err: error, retryMs }, "the DNS process could not be fed");
        },
      });
      const begin = gatherer;
      resolvConf = openResolvConf(config.resolvConf, config.address, log, () => begin.request());
      source.start();
      const ready = AbortSignal.any([stopping.signal, signal]);
      // Before everything is known, an answer would be that a name does not exist.
      Promise.all(
        [services, slices, namespaces, nodes].map((informer) => informer.whenSynced(ready)),
      ).then(
        () => follow(begin),
        () => {},
      );
    },
    async stop() {
      stopping.abort(new Error("the cluster DNS' feed stops"));
      for (const unsubscribe of subscriptions) unsubscribe();
      resolvConf?.close();
      await gatherer?.stop();
      connection?.close();
      await source.stop();
    },
    health: () =>
      failure === undefined ? { status: "ok" } : { status: "failing", reason: failure },
  });
  return Object.assign(service, { whenAnswering: () => answering.promise });

  function follow(begin: Gatherer): void {
    const mark = (set: Set<string>, key: string): void => {
      set.add(key);
      begin.request();
    };
    const onService = (object: KubeObject): void => mark(dirty.services, objectKey(object));
    const onSlice = (slice: EndpointSlice): void => {
      for (const key of servicesOfSlice(slice)) {
        // The endpoints of a service with an address have no names.
        if (services.store.get(key)?.spec.clusterIP === "None") mark(dirty.services, key);
      }
    };
    subscriptions.push(
      services.subscribe({ onAdd: onService, onUpdate: onService, onDelete: onService }),
      slices.subscribe({ onAdd: onSlice, onUpdate: onSlice, onDelete: onSlice }),
      namespaces.subscribe({
        onAdd: (one) => mark(dirty.namespaces, objectKey(one)),
        onDelete: (one) => mark(dirty.namespaces, objectKey(one)),
      }),
      nodes.subscribe({
        onAdd: (node) => mark(dirty.hosts, objectKey(node)),
        onUpdate: (node, previous) => {
          if (
            JSON.stringify([zoneHost(node), ipv4Block(node)]) !==
            JSON.stringify([zoneHost(previous), ipv4Block(previous)])
          )
            mark(dirty.hosts, objectKey(node));
        },
        onDelete: (node) => mark(dirty.hosts, objectKey(node)),
      }),
    );
    begin.request();
  }
}

function servicesOfSlice(slice: EndpointSlice): readonly string[] {
  const name = slice.metadata.labels?.[SERVICE_NAME_LABEL];
  return name === undefined ? [] : [`${slice.metadata.namespace}/${name}`];
}
