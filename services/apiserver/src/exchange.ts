/**
 * One request and its answer, without saying how they travel: HTTP/1.1, HTTP/2 or a call in this process. Everything behind the
 * listener works on this interface, so that the in-process transport gives the same bytes.
 */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import type { UserInfo } from "@wherry/machinery";
import type { HttpRequest } from "@wherry/service-kit";

export type HeaderValue = string | readonly string[];
export type ResponseHeaders = Readonly<Record<string, HeaderValue>>;

/** An HTTP/1.1 upgrade (WebSocket, SPDY). Who takes it owns the socket and answers on it (101 or an error). */
export interface UpgradeRequest {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
}

/** A response body that is written piece by piece. */
export interface ResponseStream {
  /** False = more than the sink's high-water mark waits; `drained()` resolves when that is over. Writes after the end are dropped. */
  write(chunk: Uint8Array): boolean;
  drained(): Promise<void>;
  /** Bytes written and not yet taken by the peer. */
  readonly bufferedBytes: number;
  end(): void;
  /** Breaks the connection off, so that the peer does not take the body for complete. */
  abort(): void;
  readonly closed: boolean;
}

export interface Exchange {
  /** Upper case. */
  readonly method: string;
  /** Path and query as received. */
  readonly url: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** Set for in-process callers: they enter the chain after authentication. */
  readonly identity: UserInfo | undefined;
  /** The node:http request for authenticators; undefined in process. */
  readonly httpRequest: HttpRequest | undefined;
  readonly upgrade: UpgradeRequest | undefined;
  readonly remoteAddress: string;
  /** Aborts when the peer has gone before the answer was complete. */
  readonly signal: AbortSignal;
  /** The whole body; throws ApiError 413 beyond `maxBytes`. At most one of `readBody` and `bodyStream` may be used. */
  readBody(maxBytes: number): Promise<Buffer>;
  bodyStream(): AsyncIterable<Uint8Array>;
  /** True once `send` or `startStream` was called, or the upgraded socket was taken. */
  readonly answered: boolean;
  send(status: number, headers: ResponseHeaders, body: readonly Uint8Array[]): void;
  startStream(status: number, headers: ResponseHeaders): ResponseStream;
}
