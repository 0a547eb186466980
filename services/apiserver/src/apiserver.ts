/**
 * The API server put together. Start: fill the cache, create what every cluster has, then serve. Stop: readiness turns red, after a delay new requests are
 * refused, watches end, running requests finish within the deadline, and everything is closed.
 */
import { arch, networkInterfaces, platform } from "node:os";
import type { ApiTransport } from "@wherry/client";
import type { EtcdStore } from "@wherry/etcd-api";
import { newGenericFailure, type UserInfo } from "@wherry/machinery";
import {
  nthAddress,
  NodeUnreachableError,
  parseCidr,
  formatAddress,
  type NodeDialer,
} from "@wherry/net";
import { builtinResources, createResourceRegistry, type ResourceRegistry } from "@wherry/schema";
import {
  createService,
  type Clock,
  type HttpHandler,
  type Logger,
  type MetricsRegistry,
  type Service,
} from "@wherry/service-kit";
import { createAdmissionPlugins } from "./admission/admission-plugins.ts";
import { createServiceAllocator } from "./allocators/service-allocator.ts";
import { sendError } from "./answer.ts";
import type { AuditSink } from "./audit.ts";
import { createAuthentication } from "./auth/authentication.ts";
import { createAuthorization } from "./auth/authorization.ts";
import { createOpenIdDocuments, openIdCacheControl } from "./auth/openid-discovery.ts";
import { parseSigningKey, parseVerificationKeys } from "./auth/service-account-keys.ts";
import { createTokenIssuer } from "./auth/service-account-tokens.ts";
import { createBookmarkClock } from "./bookmark-clock.ts";
import { createBootstrap } from "./bootstrap/bootstrap.ts";
import type { AdmissionPlugin } from "./chain.ts";
import { createCompactor } from "./compactor.ts";
import type { ApiserverConfig } from "./config.ts";
import { createDiscoveryRoutes } from "./discovery-routes.ts";
import { createEtcdObjectStore } from "./etcd-object-store.ts";
import { createLeaseSource } from "./event-leases.ts";
import type { Exchange } from "./exchange.ts";
import { createGenericOperations } from "./generic-operations.ts";
import { createHealthRoutes, type HealthCheck } from "./health-routes.ts";
import type { HttpApp } from "./http-app.ts";
import { createInProcessTransport } from "./in-process-transport.ts";
import { createInflightLimit } from "./inflight-limit.ts";
import type { Listener } from "./listener.ts";
import type { ObjectStore } from "./object-store.ts";
import { createOpenApiRoutes } from "./openapi-routes.ts";
import { createPathRoutes, type PathRoute, type PathRoutes } from "./path-routes.ts";
import { createRequestChain, type RequestChain } from "./request-chain.ts";
import { createRequestMetrics } from "./request-metrics.ts";
import { defaultResourceCacheLimits } from "./resource-cache.ts";
import { createRestApi } from "./rest-api.ts";
import { createStoredResources } from "./stored-resources.ts";
import type { SubresourceHandler } from "./subresource-handler.ts";
import { createSubresourceHandlers } from "./subresources/subresource-handlers.ts";
import { WatchCache } from "./watch-cache.ts";

export interface ApiserverDeps {
  readonly store: EtcdStore;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: MetricsRegistry;
  /** How kubelets are reached (logs, exec, proxies). Absent = those requests are refused. */
  readonly dialer?: NodeDialer;
  /** The resources that are served; default: all built-in ones. */
  readonly registry?: ResourceRegistry;
  /** 0 <= x < 1. Default Math.random. */
  readonly random?: () => number;
  /** The store's durable revision without asking, when the store lives in this process. */
  readonly storeRevision?: () => number;
  readonly audit?: AuditSink;
}

export interface Apiserver extends Service {
  /** Serves any listener. Before `start` has resolved it answers 503. */
  readonly handler: HttpHandler;
  /** A client in this process, bound to one identity; it enters the request chain right after authentication. */
  transport(user: UserInfo): ApiTransport;
  readonly registry: ResourceRegistry;
  /** Where it listens, once started with `config.listen`. */
  endpoint(): { readonly url: string; readonly host: string; readonly port: number } | undefined;
  /** Takes a renewed serving certificate for new connections. */
  renewCertificate(certPem: string, keyPem: string): void;
}

export function createApiserver(config: ApiserverConfig, deps: ApiserverDeps): Apiserver {
  const { store, clock, random = Math.random } = deps;
  const log = deps.log.child({ component: "apiserver" });
  const registry = deps.registry ?? createResourceRegistry(builtinResources());
  const stored = createStoredResources(registry, config.eventTtlSeconds);
  const cache = new WatchCache({
    store,
    clock,
    log,
    limits: { ...defaultResourceCacheLimits, eventsMax: config.watchWindowEvents },
    ...(deps.storeRevision === undefined ? {} : { storeRevision: deps.storeRevision }),
  });
  const objects = createEtcdObjectStore({
    store,
    cache,
    leases: createLeaseSource(store, clock),
    locate: stored.locate,
  });
  const requestMetrics = createRequestMetrics(deps.metrics);
  const inflight = createInflightLimit(
    { readOnlyMax: config.readsInflightMax, mutatingMax: config.writesInflightMax },
    requestMetrics.inflight,
  );
  const watchesEnd = new AbortController();

  let plugins: readonly AdmissionPlugin[] = [];
  let handlers: readonly SubresourceHandler[] = [];
  let chain: RequestChain | undefined;
  let app: HttpApp | undefined;
  let listener: Listener | undefined;
  let phase: "starting" | "ready" | "stopping" | "draining" = "starting";
  const cleanups: (() => void)[] = [];

  const operations = createGenericOperations({
    store: objects,
    plugins: () => plugins,
    clock,
    random,
  });
  const rest = createRestApi({
    registry,
    store,
    cache,
    objects,
    operations,
    plugins: () => plugins,
    handlers: () => handlers,
    clock,
    random,
    bookmarks: createBookmarkClock(clock),
    shutdown: watchesEnd.signal,
    watchEvents: requestMetrics.watchEvents,
    longRunning: requestMetrics.longRunning,
  });

  const handle = async (exchange: Exchange): Promise<void> => {
    if (chain === undefined) return sendError(exchange, newGenericFailure(503));
    return chain(exchange);
  };

  const advertiseAddress = config.advertiseAddress ?? ownAddress();
  const advertisedPort = (): number =>
    config.advertisePort ??
    listener?.port ??
    (config.listen === undefined || config.listen.port === 0 ? 6443 : config.listen.port);

  const service = createService({
    name: "apiserver",
    async start(signal) {
      const appReady = import("./http-app.ts").then((module) => module.createHttpApp(handle));
      appReady.catch(() => {});
      for (const type of stored.all()) await cache.add(type);
      await cache.start(signal);
      cleanups.push(
        registry.onChange(() => {
          for (const type of stored.all()) {
            cache
              .add(type)
              .catch((error: unknown) =>
                log.error(
                  { err: error, resource: type.resource },
                  "a new resource could not be read from the store",
                ),
              );
          }
        }),
      );
      const identity = wireIdentity(config, objects, clock);
      cleanups.push(() => identity.authorization.close());
      const allocator = createServiceAllocator({
        serviceCidrs: config.serviceCidrs,
        nodePortFirst: config.nodePorts.first,
        nodePortLast: config.nodePorts.last,
        store: objects,
        clock,
        random,
      });
      allocator.start();
      cleanups.push(() => allocator.close());
      plugins = [
        ...createAdmissionPlugins({
          store: objects,
          authorization: identity.authorization,
          clock,
          random,
        }),
        allocator,
      ];
      const { issuer, apiAudiences } = identity;
      handlers = createSubresourceHandlers({
        store: objects,
        operations,
        authorization: identity.authorization,
        tokens: identity.authentication.tokens,
        ...(issuer === undefined ? {} : { issuer }),
        apiAudiences,
        ...(config.serviceAccount?.maxTokenSeconds === undefined
          ? {}
          : { maxTokenSeconds: config.serviceAccount.maxTokenSeconds }),
        dialer: deps.dialer ?? unreachable,
        clock,
        random,
        shutdown: watchesEnd.signal,
      });
      app = await appReady;
      if (config.listen !== undefined) listener = await openListener(config, app.handler);
      const routes: PathRoutes = createPathRoutes([
        ...createHealthRoutes({
          ...healthChecks(),
          onFailure: (path, failures) => log.warn({ path, failures }, "a health check failed"),
        }),
        ...createDiscoveryRoutes({
          registry,
          serverAddress: () => `${advertiseAddress}:${advertisedPort()}`,
          version: () => versionDocument(config.kubernetesVersion),
          paths: () => routes.paths,
        }),
        ...createOpenApiRoutes(registry, config.kubernetesVersion),
        metricsRoute(deps.metrics),
        ...identity.documents,
      ]);
      chain = createRequestChain({
        authenticate: (request) => identity.authentication.authenticate(request),
        authorizer: identity.authorization,
        inflight,
        metrics: requestMetrics,
        rest,
        route: (path) => routes.find(path),
        clock,
        log,
        isDraining: () => phase === "draining",
        ...(deps.audit === undefined ? {} : { audit: deps.audit }),
      });
      if (config.bootstrap) {
        const bootstrap = createBootstrap(
          clusterObjects(config, advertiseAddress, advertisedPort()),
          { store: objects, operations, definitionOf: stored.definitionOf, clock, log },
        );
        await bootstrap.run(signal);
        bootstrap.watch();
        cleanups.push(() => bootstrap.close());
      }
      if (config.compactionIntervalMs > 0) {
        const compactor = createCompactor(store, clock, log, config.compactionIntervalMs);
        compactor.start();
        cleanups.push(() => compactor.stop());
      }
      if (phase === "starting") phase = "ready";
      log.info(
        { revision: cache.revision, ...(listener === undefined ? {} : { url: listener.url }) },
        "apiserver is serving",
      );
    },
    async stop(deadline) {
      const waits = phase === "ready" && config.shutdownDelayMs > 0;
      phase = "stopping";
      if (waits) await clock.sleep(config.shutdownDelayMs, deadline).catch(() => {});
      phase = "draining";
      listener?.stopAccepting();
      watchesEnd.abort(new Error("the server is shutting down"));
      await inflight.idle(deadline);
      await listener?.close();
      await app?.close();
      for (const cleanup of cleanups.splice(0).toReversed()) cleanup();
      await cache.stop();
    },
    health: () =>
      cache.failure === undefined
        ? { status: "ok" }
        : { status: "failing", reason: `the store cannot be followed: ${cache.failure}` },
  });

  function healthChecks(): {
    readonly live: readonly HealthCheck[];
    readonly ready: readonly HealthCheck[];
  } {
    const ping: HealthCheck = { name: "ping", check: () => undefined };
    const etcd: HealthCheck = { name: "etcd", check: () => cache.failure };
    const started: HealthCheck = {
      name: "poststarthook/rbac/bootstrap-roles",
      check: () => (phase === "starting" ? "not finished" : undefined),
    };
    const shutdown: HealthCheck = {
      name: "shutdown",
      check: () =>
        phase === "stopping" || phase === "draining" ? "process is shutting down" : undefined,
    };
    return { live: [ping, etcd, started], ready: [ping, etcd, started, shutdown] };
  }

  return {
    ...service,
    handler: {
      handle(request, response) {
        if (app !== undefined) return app.handler.handle(request, response);
        response.statusCode = 503;
        response.setHeader("retry-after", "1");
        response.end();
      },
      upgrade(request, socket, head) {
        if (app !== undefined) app.handler.upgrade(request, socket, head);
        else
          socket.end(
            "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
          );
      },
    },
    transport: (user) => createInProcessTransport(user, handle),
    registry,
    endpoint: () =>
      listener === undefined
        ? undefined
        : { url: listener.url, host: listener.host, port: listener.port },
    renewCertificate: (certPem, keyPem) => listener?.renew(certPem, keyPem),
  };
}

async function openListener(config: ApiserverConfig, handler: HttpHandler): Promise<Listener> {
  const { listen } = await import("./listener.ts");
  const { host, port, certPem, keyPem } = config.listen!;
  return listen(
    {
      host,
      port,
      ...(certPem === undefined || keyPem === undefined
        ? {}
        : { certificate: certPem, privateKey: keyPem }),
      ...(config.clientCaPem === undefined
        ? {}
        : { clientCa: [config.clientCaPem, config.requestHeader?.caPem ?? ""].join("\n") }),
    },
    handler,
  );
}

function wireIdentity(config: ApiserverConfig, store: ObjectStore, clock: Clock) {
  const { serviceAccount, requestHeader, clientCaPem } = config;
  const signingKey =
    serviceAccount === undefined ? undefined : parseSigningKey(serviceAccount.signingKeyPem);
  const verificationKeys = (serviceAccount?.keysPem ?? []).flatMap(parseVerificationKeys);
  const issuer =
    serviceAccount === undefined || signingKey === undefined
      ? undefined
      : createTokenIssuer({ issuers: serviceAccount.issuers, signingKey, verificationKeys, clock });
  const named = serviceAccount?.apiAudiences ?? [];
  const apiAudiences = named.length > 0 ? named : (serviceAccount?.issuers.slice(0, 1) ?? []);
  const authentication = createAuthentication({
    clock,
    store,
    ...(clientCaPem === undefined ? {} : { clientCa: clientCaPem }),
    ...(requestHeader === undefined ? {} : { requestHeader: requestHeaderOptions(requestHeader) }),
    staticTokens: config.staticTokens.map(({ token, user: { name, uid, groups } }) => ({
      token,
      user: { name, groups, ...(uid === undefined ? {} : { uid }) },
    })),
    ...(issuer === undefined ? {} : { issuer }),
    apiAudiences,
    bootstrapTokens: config.bootstrapTokens,
    anonymous: config.anonymous,
  });
  const documents: PathRoute[] = [];
  if (serviceAccount !== undefined && signingKey !== undefined) {
    const keys = [signingKey.publicKey, ...verificationKeys];
    const options = {
      issuer: serviceAccount.issuers[0]!,
      keys,
      ...(serviceAccount.jwksUri === undefined ? {} : { jwksUri: serviceAccount.jwksUri }),
    };
    for (const { path, contentType, body } of createOpenIdDocuments(options)) {
      documents.push({
        path,
        handler: ({ exchange }) =>
          exchange.send(200, { "content-type": contentType, "cache-control": openIdCacheControl }, [
            body,
          ]),
      });
    }
  }
  return {
    authentication,
    authorization: createAuthorization({ store }),
    issuer,
    apiAudiences,
    documents,
  };
}

function requestHeaderOptions({ caPem, ...names }: NonNullable<ApiserverConfig["requestHeader"]>) {
  return { requestHeaderCa: caPem, ...names };
}

function clusterObjects(config: ApiserverConfig, advertiseAddress: string, advertisePort: number) {
  const { serviceCidrs, clientCaPem, requestHeader } = config;
  return {
    serviceIp: formatAddress(nthAddress(parseCidr(serviceCidrs[0]!), 1)),
    serviceCidrs,
    advertiseAddress,
    advertisePort,
    ...(clientCaPem === undefined ? {} : { clientCa: clientCaPem }),
    ...(requestHeader === undefined ? {} : { requestHeader: requestHeaderOptions(requestHeader) }),
  };
}

/** Endpoints may not be loopback addresses, so there has to be another one. */
function ownAddress(): string {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const found =
    addresses.find(({ family, internal }) => family === "IPv4" && !internal) ??
    addresses.find(({ internal, address }) => !internal && !address.startsWith("fe80"));
  if (found === undefined)
    throw new Error(
      "advertiseAddress: this machine has loopback addresses only; set the address under which others reach the API server",
    );
  return found.address;
}

function versionDocument(gitVersion: string) {
  const [, major = "", minor = ""] = /^v(\d+)\.(\d+)\./.exec(gitVersion) ?? [];
  return {
    major,
    minor,
    gitVersion,
    gitCommit: "",
    gitTreeState: "clean",
    buildDate: "1970-01-01T00:00:00Z",
    goVersion: "none",
    compiler: "node",
    platform: `${platform()}/${arch() === "x64" ? "amd64" : arch()}`,
  };
}

function metricsRoute(metrics: MetricsRegistry): PathRoute {
  return {
    path: "/metrics",
    async handler({ exchange }) {
      const text = await metrics.expose();
      exchange.send(200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" }, [
        Buffer.from(text),
      ]);
    },
  };
}

const unreachable: NodeDialer = {
  dialKubelet: async (node) => {
    throw new NodeUnreachableError(node, "this API server was started without a way to nodes");
  },
  dialFromNode: async (node) => {
    throw new NodeUnreachableError(node, "this API server was started without a way to nodes");
  },
};
