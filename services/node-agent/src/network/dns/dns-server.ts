import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { createServer, type Server, type Socket } from "node:net";
import { once } from "node:events";
import { isIpv6 } from "./address-text.ts";
import type { Responder } from "./responder.ts";

/** Room for bursts: datagrams that do not fit are lost. The kernel halves it where it must. */
const RECEIVE_BUFFER_BYTES = 4 << 20;
/** TCP connections at once; one more is closed at once. */
const CONNECTIONS_MAX = 128;
/** A connection without a query for this long is closed. */
const IDLE_MS = 10_000;
/** Answers under way on one connection before it is no longer read. */
const PIPELINED_MAX = 32;

export interface DnsServerOptions {
  readonly address: string;
  /** 0 = any free one, the same for UDP and TCP. */
  readonly port: number;
  readonly responder: Responder;
  readonly allows: (address: string) => boolean;
}

export interface DnsServer {
  readonly port: number;
  close(): void;
}

/** Listens on UDP and TCP. Rejects with the socket's error. */
export async function openDnsServer(options: DnsServerOptions): Promise<DnsServer> {
  const udp = createSocket({
    type: isIpv6(options.address) ? "udp6" : "udp4",
    recvBufferSize: RECEIVE_BUFFER_BYTES,
  });
  udp.on("message", (message, remote) => {
    if (!options.allows(remote.address)) return;
    answerDatagram(options.responder, udp, message, remote);
  });
  udp.bind(options.port, options.address);
  await once(udp, "listening");
  // Later errors are those of single datagrams (an asker that is gone): the socket lives on.
  udp.on("error", () => {});
  const port = udp.address().port;
  const tcp = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => socket.destroy());
    if (socket.remoteAddress === undefined || !options.allows(socket.remoteAddress))
      socket.destroy();
    else serveConnection(options.responder, socket);
  });
  tcp.maxConnections = CONNECTIONS_MAX;
  const connections = trackConnections(tcp);
  try {
    tcp.listen(port, options.address);
    await once(tcp, "listening");
  } catch (error) {
    udp.close();
    throw error;
  }
  tcp.on("error", () => {});
  return {
    port,
    close() {
      udp.close();
      tcp.close();
      for (const socket of connections) socket.destroy();
    },
  };
}

function answerDatagram(
  responder: Responder,
  socket: UdpSocket,
  message: Uint8Array,
  remote: { readonly port: number; readonly address: string },
): void {
  // A port of 0 cannot be answered, and the socket would throw.
  if (remote.port === 0) return;
  const answer = responder.respond(message, "udp");
  if (answer instanceof Promise) {
    answer.then(
      (bytes) => bytes !== undefined && sendSafely(socket, bytes, remote),
      () => {},
    );
  } else if (answer !== undefined) {
    sendSafely(socket, answer, remote);
  }
}

/** An answer that cannot be sent (the server closes, the asker is unreachable) is lost, as any datagram may be. */
function sendSafely(
  socket: UdpSocket,
  bytes: Uint8Array,
  remote: { readonly port: number; readonly address: string },
): void {
  try {
    socket.send(bytes, remote.port, remote.address, () => {});
  } catch {
    // The socket was closed while the answer was on its way.
  }
}

/** Queries in frames of a 16-bit length; answers in the order in which they are ready. */
function serveConnection(responder: Responder, socket: Socket): void {
  let pending: Buffer = Buffer.alloc(0);
  let underWay = 0;
  let ended = false;
  socket.setTimeout(IDLE_MS, () => socket.destroy());
  const finished = (answer: Uint8Array | undefined): void => {
    underWay -= 1;
    if (answer !== undefined && socket.writable) {
      const frame = Buffer.alloc(answer.length + 2);
      frame.writeUInt16BE(answer.length, 0);
      frame.set(answer, 2);
      socket.write(frame);
    }
    if (underWay < PIPELINED_MAX && socket.isPaused()) {
      socket.resume();
      take();
    }
    if (ended && underWay === 0) socket.end();
  };
  const take = (): void => {
    while (underWay < PIPELINED_MAX && pending.length >= 2) {
      const length = pending.readUInt16BE(0);
      if (pending.length < length + 2) return;
      const query = pending.subarray(2, length + 2);
      pending = pending.subarray(length + 2);
      underWay += 1;
      void Promise.resolve(responder.respond(Uint8Array.from(query), "tcp")).then(finished, () =>
        finished(undefined),
      );
    }
    if (underWay >= PIPELINED_MAX) socket.pause();
  };
  socket.on("data", (chunk: Buffer) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    take();
  });
  socket.on("end", () => {
    ended = true;
    if (underWay === 0) socket.end();
  });
}

function trackConnections(server: Server): Set<Socket> {
  const open = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    open.add(socket);
    socket.on("close", () => open.delete(socket));
  });
  return open;
}
