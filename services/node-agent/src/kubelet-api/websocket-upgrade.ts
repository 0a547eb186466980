import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import type { WebSocket, WebSocketServer } from "ws";

const MESSAGE_MAX_BYTES = 32 * 1024 * 1024;
const PROTOCOL_HEADER = "sec-websocket-protocol";

export function wantsWebSocket(request: IncomingMessage): boolean {
  return request.headers.upgrade?.toLowerCase() === "websocket";
}

/** The subprotocols that the client offers, in its order. */
export function offeredSubprotocols(request: IncomingMessage): readonly string[] {
  return (request.headers[PROTOCOL_HEADER] ?? "")
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
}

let servers: Promise<WebSocketServer> | undefined;

/**
 * Accepts a WebSocket with the given subprotocol. Kubernetes' port-forward protocol has a slash in its name, which `ws` refuses to parse, so the
 * request's header is hidden from it and the answer's is set here.
 */
export async function acceptWebSocket(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  protocol: string,
): Promise<WebSocket> {
  servers ??= import("ws").then(
    ({ WebSocketServer }) =>
      new WebSocketServer({
        noServer: true,
        perMessageDeflate: false,
        maxPayload: MESSAGE_MAX_BYTES,
        autoPong: true,
      }),
  );
  const server = await servers;
  delete request.headers[PROTOCOL_HEADER];
  const setProtocol = (headers: string[], accepted: IncomingMessage): void => {
    if (accepted === request && protocol !== "")
      headers.push(`Sec-WebSocket-Protocol: ${protocol}`);
  };
  server.on("headers", setProtocol);
  try {
    return await new Promise((resolve) => {
      server.handleUpgrade(request, socket, head, resolve);
    });
  } finally {
    server.off("headers", setProtocol);
  }
}
