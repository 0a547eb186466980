import type { IncomingMessage } from "node:http";
import { connect } from "node:net";
import type { Duplex } from "node:stream";

/** How long a SPDY peer may take to hang up after the other has. */
export const LINGER_MS = 5_000;

const RELAYED_HEADERS = new Set(["connection", "upgrade", "x-stream-protocol-version"]);

/**
 * Hands an upgrade request on to another server and copies bytes both ways from then on, that server's answer included. Repeated header lines stay
 * separate lines, as Go's SPDY handshake wants them.
 */
export function relayUpgrade(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  url: string,
): void {
  const { hostname, port, host, pathname, search } = new URL(url);
  const lines = [`${request.method ?? "POST"} ${pathname}${search} HTTP/1.1`, `Host: ${host}`];
  for (let at = 0; at + 1 < request.rawHeaders.length; at += 2) {
    const name = request.rawHeaders[at] ?? "";
    if (RELAYED_HEADERS.has(name.toLowerCase()))
      lines.push(`${name}: ${request.rawHeaders[at + 1] ?? ""}`);
  }
  const upstream = connect({ host: hostname, port: Number(port) });
  upstream.setNoDelay(true);
  upstream.write(`${lines.join("\r\n")}\r\nContent-Length: 0\r\n\r\n`);
  if (head.length > 0) upstream.write(head);
  joinStreams(socket, upstream, LINGER_MS);
}

/**
 * Copies both ways at the slower side's pace. An end is passed on as an end, a break destroys both. With `lingerMs` the other direction has so long
 * to end too: for protocols that know no half-closed connection.
 */
export function joinStreams(one: Duplex, other: Duplex, lingerMs?: number): void {
  const destroyBoth = (): void => {
    one.destroy();
    other.destroy();
  };
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    from.on("error", destroyBoth);
    from.on("close", () => {
      // What has ended in order is flushed by the pipe; anything else is a break.
      if (!from.readableEnded) to.destroy();
    });
    from.on("end", () => {
      if (lingerMs !== undefined) setTimeout(destroyBoth, lingerMs).unref();
    });
    from.pipe(to);
  }
}
