/** A listener of the API server's own: TLS with HTTP/2 and HTTP/1.1 on one port, or plain HTTP/1.1 where no certificate is given (loopback, tests). */
import { once } from "node:events";
import { createServer as createHttpServer, type Server } from "node:http";
import { createSecureServer, type Http2SecureServer } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { HttpHandler } from "@wherry/service-kit";

export interface ListenOptions {
  readonly host: string;
  /** 0 = any free one. */
  readonly port: number;
  /** PEM; absent = plain HTTP. */
  readonly certificate?: string;
  readonly privateKey?: string;
  /** CAs whose names are offered to clients for client certificates. Verification is the authenticators' business. */
  readonly clientCa?: string;
}

export interface Listener {
  readonly host: string;
  readonly port: number;
  readonly url: string;
  /** Takes a renewed certificate for new connections. */
  renew(certificate: string, privateKey: string): void;
  /** Stops accepting; what runs may end. */
  stopAccepting(): void;
  /** Closes everything. */
  close(): Promise<void>;
}

export async function listen(options: ListenOptions, handler: HttpHandler): Promise<Listener> {
  const { host, port, certificate, privateKey, clientCa } = options;
  const isSecure = certificate !== undefined && privateKey !== undefined;
  const server: Server | Http2SecureServer = isSecure
    ? createSecureServer({
        cert: certificate,
        key: privateKey,
        allowHTTP1: true,
        requestCert: true,
        rejectUnauthorized: false,
        ...(clientCa === undefined ? {} : { ca: clientCa }),
      })
    : createHttpServer();
  const sockets = new Set<Duplex>();
  server.on(isSecure ? "secureConnection" : "connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  server.on("request", (request, response) => handler.handle(request as never, response as never));
  server.on("upgrade", (request, socket, head) =>
    handler.upgrade(request as never, socket as never, head as never),
  );
  server.on("tlsClientError", () => {});
  server.listen(port, host);
  await once(server, "listening");
  const address = server.address() as AddressInfo;
  const shown = address.family === "IPv6" ? `[${address.address}]` : address.address;
  let closed: Promise<unknown> | undefined;
  const stopAccepting = (): void => {
    closed ??= new Promise((resolve) => server.close(resolve));
  };
  return {
    host: address.address,
    port: address.port,
    url: `${isSecure ? "https" : "http"}://${shown}:${address.port}`,
    renew: (cert, key) =>
      (server as Http2SecureServer).setSecureContext({
        cert,
        key,
        ...(clientCa === undefined ? {} : { ca: clientCa }),
      }),
    stopAccepting,
    async close() {
      stopAccepting();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
