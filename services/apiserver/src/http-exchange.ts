/** `Exchange` over node:http and node:http2's compatibility API. */
import { STATUS_CODES, type IncomingMessage, type OutgoingHttpHeaders } from "node:http";
import type { Duplex } from "node:stream";
import { newRequestEntityTooLarge } from "@wherry/machinery";
import type { HttpRequest, HttpResponse } from "@wherry/service-kit";
import type { Exchange, ResponseHeaders, ResponseStream, UpgradeRequest } from "./exchange.ts";

export function createHttpExchange(request: HttpRequest, response: HttpResponse): Exchange {
  const isHttp2 = request.httpVersionMajor >= 2;
  let controller: AbortController | undefined;
  let answered = false;
  let finished = false;
  const onClose = (): void => {
    if (!finished) controller?.abort(new Error("the client closed the connection"));
  };
  response.once("close", onClose);
  response.on("error", () => {});

  const writeHead = (status: number, headers: ResponseHeaders): void => {
    answered = true;
    const out: OutgoingHttpHeaders = {};
    for (const name in headers) {
      if (isHttp2 && name === "connection") continue;
      const value = headers[name]!;
      out[name] = typeof value === "string" ? value : [...value];
    }
    (response as { writeHead(status: number, headers: OutgoingHttpHeaders): unknown }).writeHead(
      status,
      out,
    );
  };

  return {
    method: request.method ?? "GET",
    url: request.url ?? "/",
    headers: request.headers,
    identity: undefined,
    httpRequest: request,
    upgrade: undefined,
    remoteAddress: request.socket?.remoteAddress ?? "",
    get signal() {
      if (controller === undefined) {
        controller = new AbortController();
        if (response.destroyed || response.closed) onClose();
      }
      return controller.signal;
    },
    readBody: (maxBytes) => readAll(request, maxBytes, request.headers["content-length"]),
    bodyStream: () => request as AsyncIterable<Uint8Array>,
    get answered() {
      return answered;
    },
    send(status, headers, body) {
      finished = true;
      const length = body.reduce((sum, chunk) => sum + chunk.length, 0);
      writeHead(
        status,
        status === 204 ? headers : { ...headers, "content-length": String(length) },
      );
      (response as { end(chunk: Uint8Array): unknown }).end(
        body.length === 1 ? body[0]! : Buffer.concat(body),
      );
    },
    startStream(status, headers) {
      writeHead(status, headers);
      // HTTP/2 sends its headers with writeHead; HTTP/1.1 would wait for the first byte of the body.
      if ("flushHeaders" in response) response.flushHeaders();
      return httpResponseStream(response, () => {
        finished = true;
      });
    },
  };
}

/** An upgrade request: whoever takes it answers on the socket; an answer through `send` becomes a plain HTTP/1.1 response. */
export function createUpgradeExchange(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Exchange {
  const controller = new AbortController();
  let answered = false;
  socket.once("close", () => controller.abort(new Error("the client closed the connection")));
  socket.on("error", () => {});
  const upgrade: UpgradeRequest = {
    request,
    get socket() {
      answered = true;
      return socket;
    },
    head,
  };
  return {
    method: request.method ?? "GET",
    url: request.url ?? "/",
    headers: request.headers,
    identity: undefined,
    httpRequest: request,
    upgrade,
    remoteAddress: request.socket.remoteAddress ?? "",
    signal: controller.signal,
    readBody: async () => Buffer.alloc(0),
    bodyStream: async function* () {},
    get answered() {
      return answered;
    },
    send(status, headers, body) {
      answered = true;
      const bytes = Buffer.concat(body);
      const lines = [
        `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}`,
        "Connection: close",
        `Content-Length: ${bytes.length}`,
      ];
      for (const [name, value] of Object.entries(headers)) {
        if (name === "connection") continue;
        for (const line of typeof value === "string" ? [value] : value)
          lines.push(`${name}: ${line}`);
      }
      socket.end(Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`), bytes]));
    },
    startStream(status, headers) {
      answered = true;
      const lines = [`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}`, "Connection: close"];
      for (const [name, value] of Object.entries(headers)) {
        for (const line of typeof value === "string" ? [value] : value)
          lines.push(`${name}: ${line}`);
      }
      socket.write(`${lines.join("\r\n")}\r\n\r\n`);
      return {
        write: (chunk) => socket.writable && socket.write(chunk),
        drained: () => drainOf(socket),
        get bufferedBytes() {
          return socket.writableLength;
        },
        end: () => socket.end(),
        abort: () => socket.destroy(),
        get closed() {
          return socket.destroyed;
        },
      };
    },
  };
}

function httpResponseStream(response: HttpResponse, onFinish: () => void): ResponseStream {
  const isOpen = (): boolean => !response.writableEnded && !response.destroyed && !response.closed;
  const write = (chunk: Uint8Array): boolean =>
    (response as { write(chunk: Uint8Array): boolean }).write(chunk);
  return {
    write: (chunk) => isOpen() && write(chunk),
    drained: () => (isOpen() ? drainOf(response) : Promise.resolve()),
    get bufferedBytes() {
      return "stream" in response
        ? (response.stream?.writableLength ?? 0)
        : response.writableLength;
    },
    end() {
      onFinish();
      if (isOpen()) response.end();
    },
    abort() {
      onFinish();
      if ("stream" in response) response.stream?.close();
      else response.destroy();
    },
    get closed() {
      return !isOpen();
    },
  };
}

interface Drainable {
  once(event: "drain" | "close", listener: () => void): unknown;
  removeListener(event: "drain" | "close", listener: () => void): unknown;
}

function drainOf(writable: Drainable): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      writable.removeListener("drain", done);
      writable.removeListener("close", done);
      resolve();
    };
    writable.once("drain", done);
    writable.once("close", done);
  });
}

async function readAll(
  source: AsyncIterable<Uint8Array>,
  maxBytes: number,
  declared: string | undefined,
): Promise<Buffer> {
  const tooLarge = (): Error => newRequestEntityTooLarge(`limit is ${maxBytes}`);
  if (declared !== undefined && Number(declared) > maxBytes) throw tooLarge();
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of source) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, bytes);
}
