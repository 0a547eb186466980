import { isIP } from "node:net";
import { duplexPair, type Duplex } from "node:stream";
import { Server as TlsServer } from "node:tls";
import { createTunnelSession, KUBELET_PORT, type TunnelSession } from "@wherry/net";
import { createService, type Clock, type Logger, type Service } from "@wherry/service-kit";
import { WebSocket } from "ws";

/** Certificates of the node, read again at every dial so that rotation works. */
export interface NodeCredentials {
  readonly caPem: string;
  readonly certPem: string;
  readonly keyPem: string;
}

export interface TunnelClientOptions {
  /** "https://server:6443" */
  readonly serverUrl: string;
  readonly credentials: () => Promise<NodeCredentials>;
  /** Opens what the control plane asks for; undefined = not allowed. */
  readonly connect: (protocol: string, address: string) => Promise<Duplex | undefined>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Between 0 and 1; spreads the reconnects of many agents. */
  readonly random?: () => number;
}

const HANDSHAKE_TIMEOUT_MS = 10_000;
const RETRY_FIRST_MS = 500;
const RETRY_MAX_MS = 15_000;

/**
 * Keeps one websocket open to `<server>/v1-k3s/connect`, for ever, with a back-off that doubles up to 15 s and starts anew once a session has lived.
 * `start` resolves at the first successful connection or after the first failed try; the node works without it, only cannot be reached.
 */
export function createTunnelClient(options: TunnelClientOptions): Service {
  const stop = new AbortController();
  let session: TunnelSession | undefined;
  let running: Promise<void> | undefined;
  let lastError = "not connected yet";

  const run = async (firstTry: () => void): Promise<void> => {
    let delayMs = RETRY_FIRST_MS;
    while (!stop.signal.aborted) {
      try {
        session = await dial(options);
        delayMs = RETRY_FIRST_MS;
        options.log.info({ url: options.serverUrl }, "Remotedialer connected to proxy");
        firstTry();
        if (stop.signal.aborted) session.close();
        await session.done;
        session = undefined;
        lastError = "the tunnel was closed";
      } catch (error) {
        lastError = (error as Error).message;
        options.log.warn(
          { url: options.serverUrl, err: error },
          "tunnel cannot be opened, trying again",
        );
        firstTry();
      }
      const jitter = 0.5 + (options.random ?? Math.random)() / 2;
      await options.clock.sleep(delayMs * jitter, stop.signal).catch(() => {});
      delayMs = Math.min(delayMs * 2, RETRY_MAX_MS);
    }
  };

  return createService({
    name: "tunnel-client",
    start: () =>
      new Promise((resolve) => {
        running = run(resolve);
      }),
    async stop() {
      stop.abort();
      session?.close();
      await running;
    },
    health: () =>
      session === undefined ? { status: "failing", reason: lastError } : { status: "ok" },
  });
}

async function dial(options: TunnelClientOptions): Promise<TunnelSession> {
  const credentials = await options.credentials();
  const url = new URL("/v1-k3s/connect", options.serverUrl);
  url.protocol = "wss:";
  const socket = new WebSocket(url, {
    ca: credentials.caPem,
    cert: credentials.certPem,
    key: credentials.keyPem,
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    perMessageDeflate: false,
    maxPayload: 16 * 1024 * 1024,
  });
  await new Promise<void>((resolve, reject) => {
    socket.once("open", resolve);
    socket.once("error", reject);
    socket.once("unexpected-response", (_request, response) =>
      reject(new Error(`the server refused the tunnel with status ${response.statusCode}`)),
    );
  });
  return createTunnelSession(socket, {
    role: "client",
    clock: options.clock,
    log: options.log,
    connect: options.connect,
  });
}

export interface KubeletGateOptions {
  /** serving-kubelet certificate and key, and the CA of those who may call. */
  readonly serving: { readonly certPem: string; readonly keyPem: string };
  readonly clientCaPem: string;
  /** Takes a clear stream that speaks the kubelet API. */
  readonly accept: (stream: Duplex) => void;
  /** Dials an address that is neither the kubelet nor refused. */
  readonly dial: (host: string, port: number) => Promise<Duplex>;
  /** Addresses of pods on this node that the control plane may reach (service and pod proxy). */
  readonly isLocalPod: (ip: string) => boolean;
  readonly log: Logger;
}

/**
 * What the agent lets through its tunnel: its own kubelet API, which listens nowhere (TLS with the API server's certificate is ended here, in
 * memory), and pods of this node. Everything else is not allowed.
 */
export function createKubeletGate(
  options: KubeletGateOptions,
): (protocol: string, address: string) => Promise<Duplex | undefined> {
  const tls = new TlsServer(
    {
      requestCert: true,
      rejectUnauthorized: true,
      ca: options.clientCaPem,
      cert: options.serving.certPem,
      key: options.serving.keyPem,
    },
    (socket) => {
      if (!isApiServer(socket.getPeerCertificate().subject)) {
        options.log.warn("a client other than the API server was refused");
        socket.destroy();
        return;
      }
      options.accept(socket);
    },
  );
  tls.on("tlsClientError", (error) =>
    options.log.warn({ err: error }, "TLS towards the kubelet API failed"),
  );
  return async (protocol, address) => {
    const { host, port } = splitAddress(address);
    if (protocol !== "tcp") return undefined;
    if (port === KUBELET_PORT && (host === "127.0.0.1" || host === "localhost")) {
      const [near, far] = duplexPair();
      tls.emit("connection", far);
      return near;
    }
    return options.isLocalPod(host) ? await options.dial(host, port) : undefined;
  };
}

/** The API server's client certificate carries the group of the cluster's own administrators. */
function isApiServer(subject: { readonly O?: string | readonly string[] } | undefined): boolean {
  const organizations = subject?.O ?? [];
  return (typeof organizations === "string" ? [organizations] : organizations).includes(
    "system:masters",
  );
}

function splitAddress(address: string): { readonly host: string; readonly port: number } {
  const colon = address.lastIndexOf(":");
  const host = address.slice(0, colon).replace(/^\[|\]$/g, "");
  return {
    host: isIP(host) === 0 && host !== "localhost" ? "" : host,
    port: Number(address.slice(colon + 1)),
  };
}
