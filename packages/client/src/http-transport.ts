import { Agent as HttpAgent, request as requestHttp } from "node:http";
import type { ClientRequest, IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as requestHttps } from "node:https";
import { createCredential, type Credential, type CredentialSource } from "./credential-source.ts";
import { TransportError, transportErrorFrom } from "./transport-error.ts";
import type { ApiRequest, ApiResponse, ApiTransport } from "./transport.ts";

export interface HttpTransportOptions {
  /** "https://host:6443", with an optional path in front of the API's own. */
  readonly url: string;
  /** Certificates that the server's must lead to; the system's by default. */
  readonly ca?: CredentialSource;
  /** Client certificate and key; both or none. */
  readonly cert?: CredentialSource;
  readonly key?: CredentialSource;
  /** Bearer token. */
  readonly token?: CredentialSource;
  /** Name that the server's certificate must carry, if not the URL's host. */
  readonly serverName?: string;
  /** True accepts any server certificate: for kubeconfigs that say so. */
  readonly insecureSkipTlsVerify?: boolean;
  readonly userAgent?: string;
  /** Time for connection and headers; 0 = none, default 60,000. Reading a body has no time limit. */
  readonly headersTimeoutMs?: number;
  /** Concurrent connections; further requests wait. Default 64; each watch holds one. */
  readonly connectionsMax?: number;
}

export interface HttpTransport extends ApiTransport {
  /** Closes idle connections and breaks the others off. */
  close(): void;
}

/**
 * Requests to an API server by HTTP/1.1 with kept-alive connections. Credentials given as files are looked at before each request: a new
 * token counts at once, a new certificate for connections made from then on.
 */
export function createHttpTransport(options: HttpTransportOptions): HttpTransport {
  const url = new URL(options.url);
  const isTls = url.protocol === "https:";
  if (!isTls && url.protocol !== "http:") {
    throw new TypeError(`url: ${url.protocol}// is not supported; use https:// or http://`);
  }
  if ((options.cert === undefined) !== (options.key === undefined)) {
    throw new TypeError("cert and key: give both or none");
  }
  const basePath = url.pathname.replace(/\/+$/, "");
  const headersTimeoutMs = options.headersTimeoutMs ?? 60_000;
  const maxSockets = options.connectionsMax ?? 64;
  const tls = isTls ? createTlsAgents(options, maxSockets) : undefined;
  const plain = isTls ? undefined : new HttpAgent({ keepAlive: true, maxSockets });
  const token = options.token === undefined ? undefined : createCredential("token", options.token);

  const attempt = (request: ApiRequest): Promise<ApiResponse> => {
    const { signal } = request;
    return new Promise<ApiResponse>((resolve, reject) => {
      if (signal?.aborted === true) throw transportErrorFrom(signal.reason, "unreachable", signal);
      const common = {
        protocol: url.protocol,
        hostname: url.hostname.replace(/^\[|\]$/g, ""),
        ...(url.port === "" ? {} : { port: url.port }),
        path: basePath + request.path,
        method: request.method,
        headers: headersOf(request, token, options.userAgent),
      };
      const outgoing =
        tls === undefined
          ? requestHttp({ ...common, ...(plain === undefined ? {} : { agent: plain }) })
          : requestHttps({ ...common, agent: tls.current() });
      const fail = (error: unknown): void => {
        cleanUp();
        outgoing.destroy();
        reject(
          isStale(request, outgoing, error)
            ? staleConnection
            : transportErrorFrom(error, "unreachable", signal),
        );
      };
      const onAbort = (): void => fail(signal?.reason);
      const onLate = (): void =>
        fail(
          new TransportError(
            "unreachable",
            `no answer from ${url.host} within ${headersTimeoutMs} ms`,
          ),
        );
      const timer = headersTimeoutMs === 0 ? undefined : setTimeout(onLate, headersTimeoutMs);
      timer?.unref();
      const cleanUp = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      outgoing.once("error", fail);
      outgoing.once("response", (response) => {
        cleanUp();
        outgoing.on("error", () => {
          // A failure after the headers reaches the reader through the body.
        });
        resolve({
          status: response.statusCode ?? 0,
          headers: flatHeaders(response),
          body: readBody(response, signal),
        });
      });
      outgoing.end(request.body);
    });
  };

  return {
    async roundTrip(request) {
      for (;;) {
        try {
          return await attempt(request);
        } catch (error) {
          if (error !== staleConnection) throw error;
        }
      }
    },
    close() {
      tls?.close();
      plain?.destroy();
    },
  };
}

/** Marks a kept-alive connection that the server had closed already; the request is made again on another one. */
const staleConnection = new Error("the kept-alive connection was closed");

/** Only a read may be repeated: another request could have been carried out. Each repetition uses up one stale connection. */
function isStale(request: ApiRequest, outgoing: ClientRequest, error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return (
    request.method === "GET" && outgoing.reusedSocket && (code === "ECONNRESET" || code === "EPIPE")
  );
}

interface TlsAgents {
  /** The agent for the credentials as they are now. */
  current(): HttpsAgent;
  close(): void;
}

function createTlsAgents(options: HttpTransportOptions, maxSockets: number): TlsAgents {
  const ca = optional("ca", options.ca);
  const cert = optional("cert", options.cert);
  const key = optional("key", options.key);
  let agent: HttpsAgent | undefined;
  let used: {
    readonly ca?: string | undefined;
    readonly cert?: string | undefined;
    readonly key?: string | undefined;
  } = {};
  return {
    current() {
      const now = { ca: ca?.read(), cert: cert?.read(), key: key?.read() };
      const isSame = now.ca === used.ca && now.cert === used.cert && now.key === used.key;
      if (agent !== undefined && isSame) return agent;
      // Requests under way keep the old agent's connections, which close afterwards.
      const old = agent;
      agent = new HttpsAgent({
        keepAlive: true,
        maxSockets,
        ...(now.ca === undefined ? {} : { ca: now.ca }),
        ...(now.cert === undefined ? {} : { cert: now.cert }),
        ...(now.key === undefined ? {} : { key: now.key }),
        ...(options.serverName === undefined ? {} : { servername: options.serverName }),
        rejectUnauthorized: options.insecureSkipTlsVerify !== true,
      });
      used = now;
      if (old !== undefined) retire(old);
      return agent;
    },
    close() {
      agent?.destroy();
    },
  };
}

function retire(agent: HttpsAgent): void {
  agent.maxFreeSockets = 0;
  for (const sockets of Object.values(agent.freeSockets)) {
    for (const socket of sockets ?? []) socket.destroy();
  }
}

function optional(name: string, source: CredentialSource | undefined): Credential | undefined {
  return source === undefined ? undefined : createCredential(name, source);
}

function headersOf(
  request: ApiRequest,
  token: Credential | undefined,
  userAgent: string | undefined,
): Record<string, string> {
  return {
    ...(userAgent === undefined ? {} : { "user-agent": userAgent }),
    ...(token === undefined ? {} : { authorization: `Bearer ${token.read().trim()}` }),
    ...(request.body === undefined ? {} : { "content-length": String(request.body.length) }),
    ...request.headers,
  };
}

function flatHeaders(response: IncomingMessage): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(response.headers)) {
    if (value !== undefined) headers[name] = Array.isArray(value) ? value.join(", ") : value;
  }
  return headers;
}

/** The chunks as they come. Leaving early or aborting closes the connection. */
async function* readBody(
  response: IncomingMessage,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  const onAbort = (): void => {
    response.destroy(new Error("aborted", { cause: signal?.reason }));
  };
  if (signal?.aborted === true) onAbort();
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    for await (const chunk of response) yield chunk as Uint8Array;
  } catch (error) {
    throw transportErrorFrom(error, "interrupted", signal);
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
}
