import { request as httpRequest, type ClientRequest, type IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { newBadRequest, newGenericFailure, newInternal, type ApiError } from "@wherry/machinery";
import type { NodeDialer } from "@wherry/net";
import { withoutWebSocketToken } from "../auth/bearer-token-authenticator.ts";
import type { Exchange, ResponseStream } from "../exchange.ts";

/** Where a relayed request goes, and over what. */
export interface Backend {
  /** Opens the connection, ready for HTTP/1.1. */
  dial(signal: AbortSignal): Promise<Duplex>;
  /** Value of the Host header. */
  readonly host: string;
  /** Path and query. */
  readonly path: string;
}

/** Longest error text that is taken over from a backend. */
const errorTextMax = 16 * 1024;

/** Headers that belong to one connection, or that tell who the caller is: the backend must see neither. */
const ownHeaders =
  /^(host|authorization|impersonate-.*|x-remote-.*|proxy-.*|te|trailer|keep-alive)$/;
const connectionHeaders = /^(connection|upgrade|transfer-encoding)$/;

export function kubeletBackend(dialer: NodeDialer, node: string, path: string): Backend {
  return { dial: (signal) => dialer.dialKubelet(node, signal), host: node, path };
}

/** Opens the connection; a node that cannot be reached is reported in upstream's words. */
export async function dialBackend(backend: Backend, signal: AbortSignal): Promise<Duplex> {
  try {
    return await backend.dial(signal);
  } catch (error) {
    if (signal.aborted) throw error;
    throw new Error(
      `error dialing backend: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    );
  }
}

/** The request's header lines for the backend, repeated ones as separate lines. */
export function headersForBackend(exchange: Exchange, host: string, upgrade: boolean): string[] {
  const lines: string[] = ["Host", host];
  const raw =
    exchange.upgrade?.request.rawHeaders ??
    exchange.httpRequest?.rawHeaders ??
    Object.entries(exchange.headers).flatMap(([name, value]) => linesOf(name, value));
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = raw[index] ?? "";
    const lower = name.toLowerCase();
    if (
      lower.startsWith(":") ||
      ownHeaders.test(lower) ||
      (!upgrade && connectionHeaders.test(lower))
    )
      continue;
    const value =
      lower === "sec-websocket-protocol"
        ? withoutWebSocketToken(raw[index + 1] ?? "")
        : raw[index + 1];
    if (value !== undefined) lines.push(name, value);
  }
  return lines;
}

function linesOf(name: string, value: string | readonly string[] | undefined): readonly string[] {
  return value === undefined
    ? []
    : typeof value === "string"
      ? [name, value]
      : value.flatMap((one) => [name, one]);
}

export interface OpenRequest {
  readonly request: ClientRequest;
  /** Rejects when the connection breaks before the answer's head is there. */
  readonly response: Promise<IncomingMessage>;
}

/** Begins a request on a connection that is used for nothing else; the connection ends with the answer. */
export function openRequest(
  connection: Duplex,
  method: string,
  path: string,
  headers: readonly string[],
  signal: AbortSignal,
): OpenRequest {
  const request = httpRequest({
    createConnection: () => connection,
    method,
    path,
    headers: [...headers],
    setHost: false,
    signal,
  });
  const response = new Promise<IncomingMessage>((resolve, reject) => {
    request.once("response", resolve);
    request.on("error", reject);
    request.once("close", () =>
      reject(new Error("the backend closed the connection without an answer")),
    );
  });
  response.catch(() => connection.destroy());
  return { request, response };
}

/** Reads what a backend says about a failure and makes the answer that upstream makes of it. */
export async function failureOf(response: IncomingMessage): Promise<ApiError> {
  let text = "";
  response.setEncoding("utf8");
  try {
    for await (const chunk of response) {
      text += String(chunk);
      if (text.length > errorTextMax) break;
    }
  } catch {
    // The text is for information; a backend that breaks off in it has failed all the same.
  }
  const message = text.slice(0, errorTextMax).trimEnd();
  const code = response.statusCode ?? 500;
  if (code === 500) return newInternal(message);
  if (code === 400) return newBadRequest(message);
  return newGenericFailure(code, message);
}

/** Copies a body to the caller as it comes, holding the backend back while the caller is slow. */
export async function copyBody(response: IncomingMessage, sink: ResponseStream): Promise<void> {
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      if (sink.closed) break;
      if (!sink.write(chunk)) await sink.drained();
    }
    sink.end();
  } catch {
    // The head is out already: breaking off is the only way to tell the caller that the body is not whole.
    sink.abort();
  } finally {
    response.destroy();
  }
}
