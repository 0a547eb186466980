import { request, type IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";

/** Remote command protocols in upstream's order of preference. Version 4 reports the exit code as a Status on the error stream. */
export const REMOTE_COMMAND_PROTOCOLS = [
  "v4.channel.k8s.io",
  "v3.channel.k8s.io",
  "v2.channel.k8s.io",
  "channel.k8s.io",
] as const;
export const PORT_FORWARD_PROTOCOL = "portforward.k8s.io";
export const SPDY_UPGRADE = "SPDY/3.1";

const PROTOCOL_HEADER = "x-stream-protocol-version";
const REFUSAL_MAX_BYTES = 8 * 1024;
const DIAL_TIMEOUT_MS = 30_000;

export interface SpdyUpgrade {
  readonly socket: Duplex;
  readonly head: Buffer;
  readonly protocol: string;
}

/** Asks a streaming server for SPDY/3.1. Rejects with its answer when it does not upgrade. */
export function dialSpdy(
  url: string,
  protocols: readonly string[],
  signal?: AbortSignal,
): Promise<SpdyUpgrade> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, {
      method: "POST",
      agent: false,
      timeout: DIAL_TIMEOUT_MS,
      headers: {
        Connection: "Upgrade",
        Upgrade: SPDY_UPGRADE,
        "X-Stream-Protocol-Version": [...protocols],
      },
      ...(signal === undefined ? {} : { signal }),
    });
    outgoing.on("timeout", () =>
      outgoing.destroy(
        new Error(`no answer from the streaming server within ${DIAL_TIMEOUT_MS} ms`),
      ),
    );
    outgoing.on("error", reject);
    outgoing.on("response", (response) => {
      readRefusal(response, (text) =>
        reject(new Error(`streaming server answered ${response.statusCode ?? 0}: ${text}`)),
      );
    });
    outgoing.on("upgrade", (response, socket, head) => {
      socket.setTimeout(0);
      const protocol = response.headers[PROTOCOL_HEADER];
      resolve({
        socket,
        head,
        protocol: typeof protocol === "string" ? protocol : (protocols.at(-1) ?? ""),
      });
    });
    outgoing.end();
  });
}

/** The protocol versions that a client offers: separate header lines or one list, in its order of preference. */
export function offeredProtocols(request: IncomingMessage): string[] {
  const header = request.headersDistinct[PROTOCOL_HEADER] ?? [];
  return header.flatMap((line) => line.split(",")).map((name) => name.trim());
}

export function wantsSpdy(request: IncomingMessage): boolean {
  return request.headers.upgrade?.toLowerCase() === SPDY_UPGRADE.toLowerCase();
}

/** Answers 101 with the first offered protocol that is known, or 403 as upstream does; undefined when refused. */
export function acceptSpdy(
  request: IncomingMessage,
  socket: Duplex,
  protocols: readonly string[],
): string | undefined {
  const offered = offeredProtocols(request);
  const protocol = offered.find((name) => protocols.includes(name));
  if (protocol === undefined) {
    const accepted = protocols
      .map((name) => `X-Accepted-Stream-Protocol-Versions: ${name}\r\n`)
      .join("");
    const body = `unable to upgrade: unable to negotiate protocol: client supports [${offered.join(" ")}], server accepts [${protocols.join(" ")}]\n`;
    socket.end(
      `HTTP/1.1 403 Forbidden\r\n${accepted}Content-Type: text/plain\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
    );
    return undefined;
  }
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${SPDY_UPGRADE}\r\nX-Stream-Protocol-Version: ${protocol}\r\n\r\n`,
  );
  return protocol;
}

function readRefusal(response: IncomingMessage, done: (text: string) => void): void {
  let text = "";
  response.setEncoding("utf8");
  response.on("data", (chunk: string) => {
    if (text.length < REFUSAL_MAX_BYTES) text += chunk;
  });
  response.on("close", () => done(text.trim()));
}
