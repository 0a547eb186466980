/** K3s' supervisor endpoints: what an agent or another server needs to join. Paths, headers and statuses are K3s'. */
import type { Duplex } from "node:stream";
import type { ApiClient } from "@wherry/client";
import { resources } from "@wherry/client";
import type { KubeObject } from "@wherry/machinery";
import {
  PkiError,
  signCertificateRequest,
  type CertificateUsage,
  type SubjectAltNames,
} from "@wherry/pki";
import type { HttpRequest, Logger } from "@wherry/service-kit";
import { createDetachedServer } from "./detached-server.ts";
import { fastify, type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import type { Caller } from "./caller.ts";
import type { TunnelProxyConfig } from "./config.ts";
import type { NodePasswords } from "./node-passwords.ts";

export interface SupervisorDeps {
  readonly config: TunnelProxyConfig;
  readonly api: ApiClient;
  readonly passwords: NodePasswords;
  readonly log: Logger;
  readonly identify: (request: HttpRequest) => Promise<Caller>;
  /** True when the API answers requests. */
  readonly apiReady: () => boolean | Promise<boolean>;
}

/** Largest certificate request taken. */
const BODY_MAX_BYTES = 64 * 1024;

export function isSupervisorPath(url: string): boolean {
  return /^\/(v1-k3s\/|cacerts(\?|$)|ping(\?|$))/.test(url);
}

/** Builds the routes; the caller feeds requests in through `app.routing`. */
export async function createSupervisor(deps: SupervisorDeps): Promise<FastifyInstance> {
  const { config } = deps;
  // The listener belongs to someone else; fastify only routes.
  const app = fastify({
    bodyLimit: BODY_MAX_BYTES,
    logger: false,
    serverFactory: (handler) => createDetachedServer(handler),
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => done(null, body));
  const bound = createInFlight(config.readsMax, config.writesMax);

  const joining = (
    handler: (request: FastifyRequest, reply: FastifyReply, caller: Caller) => Promise<unknown>,
  ) => {
    return async (request: FastifyRequest, reply: FastifyReply): Promise<unknown> => {
      const caller = await deps.identify(request.raw);
      if (caller.kind === "unknown") return await refuse(reply, 401, "Unauthorized", caller.reason);
      const release = bound.enter(request.method === "GET");
      if (release === undefined)
        return await refuse(
          reply.header("retry-after", "1"),
          429,
          "TooManyRequests",
          "too many requests, please try again later",
        );
      try {
        return await handler(request, reply, caller);
      } finally {
        release();
      }
    };
  };

  app.get("/cacerts", async (_request, reply) => await text(reply, config.serverCa.certPem));
  app.get("/ping", async (_request, reply) => await text(reply, "pong"));
  app.get(
    "/v1-k3s/server-ca.crt",
    joining(async (_request, reply) => await text(reply, config.serverCa.certPem)),
  );
  app.get(
    "/v1-k3s/client-ca.crt",
    joining(async (_request, reply) => await text(reply, config.clientCa.certPem)),
  );
  app.get(
    "/v1-k3s/config",
    joining(async (_request, reply) => await reply.send(controlConfig(config))),
  );
  app.get(
    "/v1-k3s/apiservers",
    joining(async (_request, reply) => await reply.send(await apiServers(deps))),
  );
  app.get(
    "/v1-k3s/readyz",
    joining(async (_request, reply) =>
      (await deps.apiReady())
        ? await text(reply, "ok")
        : await refuse(reply, 503, "ServiceUnavailable", "apiserver not ready"),
    ),
  );
  app.post(
    "/v1-k3s/client-kubelet.crt",
    joining(
      async (request, reply, caller) => await issueForNode(deps, request, reply, caller, "client"),
    ),
  );
  app.post(
    "/v1-k3s/serving-kubelet.crt",
    joining(
      async (request, reply, caller) => await issueForNode(deps, request, reply, caller, "server"),
    ),
  );
  app.post(
    "/v1-k3s/client-kube-proxy.crt",
    joining(
      async (request, reply) => await issueForComponent(deps, request, reply, "system:kube-proxy"),
    ),
  );
  app.post(
    "/v1-k3s/client-k3s-controller.crt",
    joining(
      async (request, reply) =>
        await issueForComponent(deps, request, reply, "system:k3s-controller"),
    ),
  );
  app.setNotFoundHandler(
    async (_request, reply) =>
      await refuse(reply, 404, "NotFound", "the server could not find the requested resource"),
  );
  app.setErrorHandler(async (error: Error & { statusCode?: number }, _request, reply) => {
    const code =
      error.statusCode ?? (error instanceof PkiError ? (error.code === "busy" ? 429 : 400) : 500);
    if (code === 500) deps.log.error({ err: error }, "supervisor request failed");
    return await refuse(
      reply,
      code,
      code === 400 ? "BadRequest" : code === 429 ? "TooManyRequests" : "InternalError",
      error.message,
    );
  });
  await app.ready();
  return app;
}

async function issueForNode(
  deps: SupervisorDeps,
  request: FastifyRequest,
  reply: FastifyReply,
  caller: Caller,
  usage: CertificateUsage,
): Promise<unknown> {
  const node = headerOf(request, "k3s-node-name");
  const password = headerOf(request, "k3s-node-password");
  if (node === "" || password === "")
    return await refuse(
      reply,
      400,
      "BadRequest",
      "node name and node password headers must be set",
    );
  if (!/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(node))
    return await refuse(
      reply,
      400,
      "BadRequest",
      `node name "${node}" is not a valid DNS subdomain`,
    );
  if (caller.kind === "node" && caller.node !== node)
    return await refuse(
      reply,
      403,
      "Forbidden",
      `certificate of node ${caller.node} cannot ask for node ${node}`,
    );
  const verdict = await deps.passwords.check(node, password);
  if (verdict === "rejected") {
    return await refuse(
      reply,
      403,
      "Forbidden",
      `unable to verify password for node ${node}: hash does not match`,
    );
  }
  if (verdict === "deferred") deps.log.warn({ node }, "node password could not be checked yet");
  if (!isRequestBody(request.body))
    return await refuse(
      reply,
      400,
      "BadRequest",
      "the body must be a certificate signing request in DER",
    );
  const { config } = deps;
  if (usage === "client") {
    const subject = { commonName: `system:node:${node}`, organizations: ["system:nodes"] };
    const pem = await signCertificateRequest(config.clientCa, request.body, {
      subject,
      usages: ["client"],
      validDays: config.leafValidDays,
    });
    return await text(reply, pem + config.clientCa.certPem);
  }
  const sans: SubjectAltNames = {
    dns: [node, "localhost"],
    ips: [
      "127.0.0.1",
      "::1",
      ...headerOf(request, "k3s-node-ip")
        .split(",")
        .filter((ip) => ip !== ""),
    ],
  };
  const pem = await signCertificateRequest(config.serverCa, request.body, {
    subject: { commonName: node },
    sans,
    usages: ["server"],
    validDays: config.leafValidDays,
  });
  return await text(reply, pem + config.serverCa.certPem);
}

async function issueForComponent(
  deps: SupervisorDeps,
  request: FastifyRequest,
  reply: FastifyReply,
  commonName: string,
): Promise<unknown> {
  if (!isRequestBody(request.body))
    return await refuse(
      reply,
      400,
      "BadRequest",
      "the body must be a certificate signing request in DER",
    );
  const pem = await signCertificateRequest(deps.config.clientCa, request.body, {
    subject: { commonName },
    usages: ["client"],
    validDays: deps.config.leafValidDays,
  });
  return await text(reply, pem + deps.config.clientCa.certPem);
}

/** The fields of K3s' control struct that agents read, by their Go names. */
function controlConfig(config: TunnelProxyConfig): Readonly<Record<string, unknown>> {
  const ipNet = (cidr: string): unknown => {
    const [ip = "", bits = "0"] = cidr.split("/");
    const mask = Buffer.alloc(4);
    mask.writeUInt32BE((0xffffffff << (32 - Number(bits))) >>> 0);
    return { IP: ip, Mask: mask.toString("base64") };
  };
  return {
    AdvertiseIP: config.advertiseAddress,
    AdvertisePort: config.advertisePort,
    HTTPSPort: config.advertisePort,
    SupervisorPort: config.advertisePort,
    APIServerPort: config.advertisePort,
    ClusterIPRange: ipNet(config.clusterCidr),
    ClusterIPRanges: [ipNet(config.clusterCidr)],
    ServiceIPRange: ipNet(config.serviceCidr),
    ServiceIPRanges: [ipNet(config.serviceCidr)],
    ClusterDNS: config.clusterDns,
    ClusterDNSs: [config.clusterDns],
    ClusterDomain: config.clusterDomain,
    FlannelBackend: config.flannelBackend,
    FlannelIPv6Masq: false,
    FlannelExternalIP: false,
    EgressSelectorMode: "agent",
    EmbeddedRegistry: false,
    EncryptSecrets: false,
    DisableKubeProxy: config.disableKubeProxy,
    Disables: config.disableDns ? { coredns: true } : {},
    Skips: {},
    ServerNodeName: config.serverNodeName,
  };
}

async function apiServers(deps: SupervisorDeps): Promise<string[]> {
  const fallback = [`${deps.config.advertiseAddress}:${deps.config.advertisePort}`];
  try {
    type Endpoints = KubeObject & {
      readonly subsets?: readonly {
        readonly addresses?: readonly { readonly ip: string }[];
        readonly ports?: readonly { readonly port: number }[];
      }[];
    };
    const endpoints = await deps.api.get<Endpoints>(resources.endpoints, "kubernetes", "default");
    const addresses = (endpoints.subsets ?? []).flatMap((subset) =>
      (subset.addresses ?? []).flatMap((address) =>
        (subset.ports ?? []).map((port) => `${address.ip}:${port.port}`),
      ),
    );
    return addresses.length === 0 ? fallback : addresses;
  } catch {
    // The API is not up yet: agents try the address that they joined with.
    return fallback;
  }
}

interface InFlight {
  /** undefined = at the bound. */
  enter(isRead: boolean): (() => void) | undefined;
}

function createInFlight(readsMax: number, writesMax: number): InFlight {
  let reads = 0;
  let writes = 0;
  return {
    enter(isRead) {
      if (isRead ? reads >= readsMax : writes >= writesMax) return undefined;
      if (isRead) reads += 1;
      else writes += 1;
      return () => {
        if (isRead) reads -= 1;
        else writes -= 1;
      };
    },
  };
}

function isRequestBody(body: unknown): body is Buffer {
  return Buffer.isBuffer(body) && body.length > 0;
}

function headerOf(request: FastifyRequest, name: string): string {
  const value = request.headers[name];
  return (Array.isArray(value) ? value[0] : value) ?? "";
}

async function text(reply: FastifyReply, body: string): Promise<FastifyReply> {
  return await reply.header("content-type", "text/plain").send(body);
}

async function refuse(
  reply: FastifyReply,
  code: number,
  reason: string,
  message: string,
): Promise<FastifyReply> {
  return await reply.code(code).send({
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message,
    reason,
    code,
  });
}

/** An answer for an upgrade that is refused, written to the raw socket. */
export function refuseUpgrade(socket: Duplex, status: string, message: string): void {
  const body = `${message}\n`;
  socket.end(
    `HTTP/1.1 ${status}\r\nContent-Type: text/plain\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}
