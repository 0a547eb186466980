import type { IncomingMessage, Server } from "node:http";
import { createSecureServer, type Http2SecureServer } from "node:http2";
import { connect as tcpConnect, type AddressInfo } from "node:net";
import { duplexPair, type Duplex } from "node:stream";
import { resources, type ApiClient } from "@wherry/client";
import type { KubeObject } from "@wherry/machinery";
import { KUBELET_PORT, NodeUnreachableError, relay, type NodeDialer } from "@wherry/net";
import {
  createService,
  type Clock,
  type HttpHandler,
  type HttpRequest,
  type HttpResponse,
  type Logger,
  type MetricsRegistry,
  type Service,
} from "@wherry/service-kit";
import type { FastifyInstance } from "fastify";
import { WebSocketServer } from "ws";
import { identifyCaller, type Caller, type CallerOptions } from "./caller.ts";
import type { TunnelProxyConfig } from "./config.ts";
import { createNodePasswords } from "./node-passwords.ts";
import { createSupervisor, isSupervisorPath, refuseUpgrade } from "./supervisor.ts";
import { createTunnels } from "./tunnels.ts";

export interface TunnelProxyDeps {
  /** Reads and writes node-password Secrets, bootstrap tokens and the `kubernetes` Endpoints. */
  readonly api: ApiClient;
  /** Everything that is not the supervisor's: the API server in this process, or a reverse proxy to it. */
  readonly upstream: HttpHandler;
  readonly apiReady: () => boolean | Promise<boolean>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: MetricsRegistry;
}

export interface TunnelProxy extends Service {
  /** Supervisor in front, upstream behind; for a listener that someone else owns. */
  readonly handler: HttpHandler;
  readonly dialer: NodeDialer;
  /** A node in this process (see `Tunnels.addLocal`). */
  addLocalNode(node: string, accept: (stream: Duplex) => void): () => void;
  /** Where it listens, once started with `config.listen`. */
  address(): AddressInfo | undefined;
}

/** Supervisor endpoints, the nodes' websocket tunnels, and the way through them, on one port with the API behind it. */
export function createTunnelProxy(config: TunnelProxyConfig, deps: TunnelProxyDeps): TunnelProxy {
  const log = deps.log.child({ component: "tunnel-proxy" });
  const tunnels = createTunnels({
    kubeletTls: { caPem: config.serverCa.certPem, ...config.kubeletClient },
    clock: deps.clock,
    log,
    metrics: deps.metrics,
    createPair: () => duplexPair(),
    dialTcp,
  });
  const callerOptions: CallerOptions = {
    clientCaPem: config.clientCa.certPem,
    serverPassword: config.serverPassword,
    agentPassword: config.agentPassword,
    isBootstrapToken: (id, secret) => isBootstrapToken(deps.api, id, secret, deps.clock.now()),
    now: () => deps.clock.now(),
  };
  const identify = (request: HttpRequest): Promise<Caller> =>
    identifyCaller(request, callerOptions);
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: 16 * 1024 * 1024,
    perMessageDeflate: false,
  });
  let app: FastifyInstance | undefined;
  let server: Http2SecureServer | undefined;

  const handler: HttpHandler = {
    handle(request: HttpRequest, response: HttpResponse) {
      if (app === undefined || !isSupervisorPath(request.url ?? ""))
        deps.upstream.handle(request, response);
      else
        app.routing(
          request as IncomingMessage,
          response as Parameters<FastifyInstance["routing"]>[1],
        );
    },
    upgrade(request, socket, head) {
      if (request.method === "CONNECT") void connectToNode(request, socket, head);
      else if ((request.url ?? "").startsWith("/v1-k3s/connect"))
        void acceptTunnel(request, socket, head);
      else deps.upstream.upgrade(request, socket, head);
    },
  };

  const acceptTunnel = async (
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
  ): Promise<void> => {
    socket.on("error", () => socket.destroy());
    const caller = await identify(request);
    if (caller.kind !== "node") {
      refuseUpgrade(
        socket,
        caller.kind === "unknown" ? "401 Unauthorized" : "403 Forbidden",
        "only nodes may open a tunnel, with their client certificate",
      );
      return;
    }
    sockets.handleUpgrade(request, socket, head, (websocket) =>
      tunnels.add(caller.node, websocket),
    );
  };

  const connectToNode = async (
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
  ): Promise<void> => {
    socket.on("error", () => socket.destroy());
    const caller = await identify(request);
    if (caller.kind !== "masters") {
      refuseUpgrade(
        socket,
        caller.kind === "unknown" ? "401 Unauthorized" : "403 Forbidden",
        "CONNECT is for the API server, with its client certificate",
      );
      return;
    }
    const { hostname: host, port } = new URL(`tcp://${request.url}`);
    try {
      const stream = await openTarget(host, Number(port));
      socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
      if (head.length > 0) stream.write(head);
      relay(socket, stream);
    } catch (error) {
      refuseUpgrade(socket, "502 Bad Gateway", (error as Error).message);
    }
  };

  /** A node's kubelet goes through its tunnel and nowhere else; other targets are dialed from here. */
  const openTarget = async (host: string, port: number): Promise<Duplex> => {
    if (port === KUBELET_PORT && tunnels.has(host)) return tunnels.openKubeletPort(host);
    if (port === KUBELET_PORT)
      throw new NodeUnreachableError(host, `failed to find Session for client ${host}`);
    return await dialTcp(host, port);
  };

  const service = createService({
    name: "tunnel-proxy",
    async start(_signal, fail) {
      app = await createSupervisor({
        config,
        api: deps.api,
        passwords: createNodePasswords(deps.api),
        log,
        identify,
        apiReady: deps.apiReady,
      });
      if (config.listen === undefined) return;
      server = createSecureServer({
        cert: config.serving.certPem,
        key: config.serving.keyPem,
        // Client certificates are judged by who needs them; others are served as anonymous.
        requestCert: true,
        rejectUnauthorized: false,
        ca: config.clientCa.certPem,
        allowHTTP1: true,
        minVersion: "TLSv1.2",
      });
      server.on("request", (request, response) => handler.handle(request, response));
      const upgrades = server as unknown as Server;
      upgrades.on("upgrade", (request, socket, head) => handler.upgrade(request, socket, head));
      upgrades.on("connect", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
        // HTTP/2 CONNECT streams arrive here too, as compatibility requests; only HTTP/1.1 carries a socket.
        if (request.httpVersionMajor === 1) handler.upgrade(request, socket, head);
      });
      server.on("sessionError", () => {});
      await listen(server, config.listen);
      server.on("error", fail);
    },
    async stop() {
      tunnels.closeAll();
      sockets.close();
      await app?.close();
      await close(server);
    },
  });
  return Object.assign(service, {
    handler,
    dialer: tunnels.dialer,
    addLocalNode: tunnels.addLocal,
    address: () => (server?.address() as AddressInfo | null) ?? undefined,
  });
}

/** Token Secrets of the form kube-system/bootstrap-token-<id> that may authenticate and have not expired. */
async function isBootstrapToken(
  api: ApiClient,
  id: string,
  secret: string,
  nowMs: number,
): Promise<boolean> {
  if (!/^[a-z0-9]{6}$/.test(id) || !/^[a-z0-9]{16}$/.test(secret)) return false;
  try {
    type Secret = KubeObject & {
      readonly type?: string;
      readonly data?: Readonly<Record<string, string>>;
    };
    const found = await api.get<Secret>(resources.secrets, `bootstrap-token-${id}`, "kube-system");
    const value = (key: string): string =>
      Buffer.from(found.data?.[key] ?? "", "base64").toString();
    if (found.type !== "bootstrap.kubernetes.io/token" || value("token-secret") !== secret)
      return false;
    if (value("usage-bootstrap-authentication") !== "true") return false;
    return value("expiration") === "" || Date.parse(value("expiration")) > nowMs;
  } catch {
    // Not found, or the API cannot say: no.
    return false;
  }
}

function dialTcp(host: string, port: number, signal?: AbortSignal): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const socket = tcpConnect({ host, port, ...(signal === undefined ? {} : { signal }) });
    socket.once("connect", () => {
      socket.off("error", reject);
      resolve(socket);
    });
    socket.once("error", reject);
  });
}

export function listen(
  server: Http2SecureServer | Server,
  at: { readonly host: string; readonly port: number },
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => reject(listenError(error, at)));
    server.listen(at.port, at.host, () => {
      server.removeAllListeners("error");
      resolve();
    });
  });
}

function listenError(
  error: NodeJS.ErrnoException,
  at: { readonly host: string; readonly port: number },
): Error {
  if (error.code === "EADDRINUSE") {
    return new Error(
      `port ${at.port} on ${at.host} is in use by another process; stop it or choose another port with --https-listen-port`,
      { cause: error },
    );
  }
  if (error.code === "EACCES")
    return new Error(
      `listening on ${at.host}:${at.port} is not permitted; choose a port above 1023 or run as root`,
      { cause: error },
    );
  return error;
}

async function close(server: Http2SecureServer | undefined): Promise<void> {
  if (server === undefined) return;
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    (server as unknown as Server).closeAllConnections?.();
  });
}
