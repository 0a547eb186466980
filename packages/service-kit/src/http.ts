import type { IncomingMessage, ServerResponse } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import type { Duplex } from "node:stream";

export type HttpRequest = IncomingMessage | Http2ServerRequest;
export type HttpResponse = ServerResponse | Http2ServerResponse;

/**
 * What answers HTTP, without saying who listens. A listener owns TLS and hands requests on; several handlers can stand behind one port
 * (supervisor in front, API behind it), in one process or through a reverse proxy.
 */
export interface HttpHandler {
  handle(request: HttpRequest, response: HttpResponse): void;
  /** HTTP/1.1 upgrades (WebSocket, SPDY) and CONNECT. The handler owns the socket from here on. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
}
