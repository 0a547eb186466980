/**
 * Hands requests on to an API server in another process. The caller's TLS identity ends here, so it travels in request headers that the API server
 * believes because of this proxy's own certificate (request-header authentication). Bearer tokens pass through untouched.
 */
import {
  request as httpRequest,
  Agent as HttpAgent,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type ServerResponse,
} from "node:http";
import { Agent, request as httpsRequest } from "node:https";
import type { Duplex } from "node:stream";
import { relay } from "@wherry/net";
import { subjectOf } from "@wherry/pki";
import type { HttpHandler, HttpRequest, HttpResponse, Logger } from "@wherry/service-kit";
import { verifiedCertificate } from "./caller.ts";

export interface ReverseProxyOptions {
  /** "https://127.0.0.1:6444" */
  readonly url: string;
  readonly caPem?: string;
  /** Client certificate issued by the request-header CA. */
  readonly certPem?: string;
  readonly keyPem?: string;
  readonly clientCaPem: string;
  readonly now: () => number;
  readonly log: Logger;
}

const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
]);
const SPOOFABLE = /^x-remote-/;

export function createReverseProxy(options: ReverseProxyOptions): HttpHandler & { close(): void } {
  const url = new URL(options.url);
  const secure = url.protocol === "https:";
  const tls = { ca: options.caPem, cert: options.certPem, key: options.keyPem };
  const agent = secure
    ? new Agent({ keepAlive: true, ...tls })
    : new HttpAgent({ keepAlive: true });
  const send = secure ? httpsRequest : httpRequest;
  const target = {
    host: url.hostname,
    port: url.port === "" ? (secure ? 443 : 80) : Number(url.port),
  };

  const headersOf = (request: HttpRequest): OutgoingHttpHeaders => {
    const headers: OutgoingHttpHeaders = {};
    for (const [name, value] of Object.entries(request.headers)) {
      if (!name.startsWith(":") && !HOP_BY_HOP.has(name) && !SPOOFABLE.test(name))
        headers[name] = value;
    }
    headers["host"] ??= String(request.headers[":authority"] ?? url.host);
    const certificate = verifiedCertificate(request, options);
    if (certificate !== undefined) {
      const { commonName, organizations } = subjectOf(certificate);
      headers["x-remote-user"] = commonName;
      if (organizations.length > 0) headers["x-remote-group"] = [...organizations];
    }
    return headers;
  };

  return {
    handle(request: HttpRequest, response: HttpResponse) {
      const answer = response as ServerResponse;
      const upstream = send(
        {
          ...target,
          agent,
          method: request.method,
          path: request.url,
          headers: headersOf(request),
        },
        (reply) => {
          answer.writeHead(reply.statusCode ?? 502, withoutHopByHop(reply));
          answer.flushHeaders?.();
          reply.pipe(answer);
          reply.on("error", () => answer.destroy());
        },
      );
      upstream.on("error", (error) => {
        if (answer.headersSent) {
          answer.destroy();
          return;
        }
        options.log.warn({ err: error }, "apiserver cannot be reached");
        answer.writeHead(502, { "content-type": "application/json" });
        answer.end(
          JSON.stringify({
            kind: "Status",
            apiVersion: "v1",
            metadata: {},
            status: "Failure",
            message: `apiserver cannot be reached: ${error.message}`,
            reason: "ServiceUnavailable",
            code: 502,
          }),
        );
      });
      answer.on("close", () => upstream.destroy());
      request.pipe(upstream);
    },
    upgrade(request: IncomingMessage, socket: Duplex, head: Buffer) {
      socket.on("error", () => socket.destroy());
      const headers = {
        ...headersOf(request),
        connection: "Upgrade",
        upgrade: request.headers.upgrade,
      };
      const upstream = send({
        ...target,
        ...(secure ? tls : {}),
        agent: false,
        method: request.method,
        path: request.url,
        headers: repeatable(request, headers),
      });
      upstream.on("upgrade", (reply, far, farHead) => {
        socket.write(`HTTP/1.1 101 Switching Protocols\r\n${rawHeaders(reply)}\r\n\r\n`);
        if (farHead.length > 0) socket.write(farHead);
        if (head.length > 0) far.write(head);
        relay(socket, far);
      });
      upstream.on("response", (reply) => {
        socket.write(
          `HTTP/1.1 ${reply.statusCode} ${reply.statusMessage}\r\n${rawHeaders(reply, true)}\r\nConnection: close\r\n\r\n`,
        );
        reply.pipe(socket);
      });
      upstream.on("error", (error) =>
        socket.end(
          `HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\napiserver cannot be reached: ${error.message}\n`,
        ),
      );
      upstream.end();
    },
    close: () => agent.destroy(),
  };
}

/** SPDY clients send X-Stream-Protocol-Version several times; folding them into one line breaks the negotiation. */
function repeatable(request: IncomingMessage, headers: OutgoingHttpHeaders): OutgoingHttpHeaders {
  const versions = request.headersDistinct["x-stream-protocol-version"];
  return versions === undefined ? headers : { ...headers, "x-stream-protocol-version": versions };
}

function withoutHopByHop(reply: IncomingMessage): OutgoingHttpHeaders {
  return Object.fromEntries(
    Object.entries(reply.headers).filter(([name]) => !HOP_BY_HOP.has(name)),
  );
}

function rawHeaders(reply: IncomingMessage, dropHopByHop = false): string {
  const lines: string[] = [];
  for (let index = 0; index < reply.rawHeaders.length; index += 2) {
    const name = reply.rawHeaders[index] ?? "";
    if (dropHopByHop && HOP_BY_HOP.has(name.toLowerCase())) continue;
    lines.push(`${name}: ${reply.rawHeaders[index + 1]}`);
  }
  return lines.join("\r\n");
}
