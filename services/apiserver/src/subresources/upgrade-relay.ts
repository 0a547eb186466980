import { request as httpRequest, type IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { newBadRequest } from "@wherry/machinery";
import type { Exchange } from "../exchange.ts";
import type { OpenConnections } from "./open-connections.ts";
import { dialBackend, failureOf, headersForBackend, type Backend } from "./node-http.ts";

/**
 * Hands an HTTP/1.1 upgrade (WebSocket, SPDY) on and then moves bytes both ways without looking at them:
 * 1. the request goes to the backend with the caller's header lines, but for those that say who the caller is;
 * 2. a 101 is copied to the caller line by line; any other answer becomes an error, and the caller's socket is still untouched;
 * 3. bytes that either side sent early go first; each side is held back while the other is slow; the end of one ends the other;
 * 4. the server's shutdown ends both.
 */
export async function relayUpgrade(
  exchange: Exchange,
  backend: Backend,
  open: OpenConnections,
): Promise<void> {
  const { upgrade } = exchange;
  if (upgrade === undefined) throw newBadRequest("Upgrade request required");
  const connection = await dialBackend(backend, exchange.signal);
  const { response, socket, head } = await requestUpgrade(connection, exchange, backend);
  upgrade.socket.write(switchingProtocols(response));
  if (head.length > 0) upgrade.socket.write(head);
  if (upgrade.head.length > 0) socket.write(upgrade.head);
  joinStreams(upgrade.socket, socket);
  open.add(socket);
}

interface Upgraded {
  readonly response: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
}

function requestUpgrade(
  connection: Duplex,
  exchange: Exchange,
  backend: Backend,
): Promise<Upgraded> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({
      createConnection: () => connection,
      method: exchange.method,
      path: backend.path,
      headers: headersForBackend(exchange, backend.host, true),
      setHost: false,
    });
    const abandon = (): void => {
      connection.destroy();
      reject(exchange.signal.reason as Error);
    };
    exchange.signal.addEventListener("abort", abandon, { once: true });
    const settled = (): void => exchange.signal.removeEventListener("abort", abandon);
    request.once("upgrade", (response, socket, head) => {
      settled();
      resolve({ response, socket, head });
    });
    request.once("response", (response) => {
      void failureOf(response).then((failure) => {
        settled();
        connection.destroy();
        reject(failure);
      });
    });
    request.once("error", (error) => {
      settled();
      connection.destroy();
      reject(new Error(`error dialing backend: ${error.message}`, { cause: error }));
    });
    request.end();
  });
}

function switchingProtocols(response: IncomingMessage): string {
  const lines = [`HTTP/1.1 101 ${response.statusMessage || "Switching Protocols"}`];
  for (let index = 0; index + 1 < response.rawHeaders.length; index += 2)
    lines.push(`${response.rawHeaders[index]}: ${response.rawHeaders[index + 1]}`);
  return `${lines.join("\r\n")}\r\n\r\n`;
}

/** Both directions with back-pressure; whatever ends or breaks one side releases both. */
export function joinStreams(left: Duplex, right: Duplex): void {
  for (const [source, target] of [
    [left, right],
    [right, left],
  ] as const) {
    source.pipe(target);
    // A reset by one peer is an ordinary way to hang up; the other side learns of it by the end of its stream.
    source.on("error", () => source.destroy());
    source.once("close", () => {
      source.unpipe(target);
      if (target.destroyed) return;
      if (target.writableFinished) target.destroy();
      else target.end(() => target.destroy());
    });
  }
}
