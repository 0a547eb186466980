/**
 * `ApiTransport` into this server: a request enters the chain right after authentication, under one identity. The bytes are those that HTTP would carry.
 */
import { newRequestEntityTooLarge, type UserInfo } from "@wherry/machinery";
import type { ApiRequest, ApiResponse, ApiTransport } from "@wherry/client";
import { createDeferred } from "@wherry/service-kit";
import type { Exchange, ResponseHeaders, ResponseStream } from "./exchange.ts";

/** Bytes that may wait for the reader before `write` says that it is full. */
const highWaterMarkBytes = 64 * 1024;

export function createInProcessTransport(
  user: UserInfo,
  handle: (exchange: Exchange) => Promise<void>,
): ApiTransport {
  return {
    roundTrip(request) {
      const { exchange, response } = createExchange(request, user);
      // Begins in a turn of its own, as a request over a socket would: callers never find their work done within their own call.
      setImmediate(() => void handle(exchange));
      return response;
    },
  };
}

function createExchange(
  request: ApiRequest,
  user: UserInfo,
): { readonly exchange: Exchange; readonly response: Promise<ApiResponse> } {
  const answer = createDeferred<ApiResponse>();
  const controller = new AbortController();
  let leave: (() => void) | undefined;
  const onAbort = (): void => {
    controller.abort(request.signal?.reason);
    answer.reject(request.signal?.reason);
    leave?.();
  };
  if (request.signal?.aborted === true) onAbort();
  else request.signal?.addEventListener("abort", onAbort, { once: true });
  const release = (): void => request.signal?.removeEventListener("abort", onAbort);

  // The caller may reuse its buffer once the call has returned.
  const body = request.body === undefined ? Buffer.alloc(0) : Buffer.from(request.body);
  const begin = (
    status: number,
    headers: ResponseHeaders,
  ): ResponseStream & { readonly body: AsyncIterable<Uint8Array> } => {
    const pipe = createPipe(
      () => {
        release();
        controller.abort(new Error("the reader left"));
      },
      release,
      () => request.signal?.reason as Error,
    );
    leave = () => pipe.abort();
    answer.resolve({ status, headers: flatHeaders(headers), body: pipe.body });
    return pipe;
  };
  let answered = false;
  const exchange: Exchange = {
    method: request.method,
    url: request.path,
    headers: request.headers ?? {},
    identity: user,
    httpRequest: undefined,
    upgrade: undefined,
    remoteAddress: "",
    signal: controller.signal,
    async readBody(maxBytes) {
      if (body.length > maxBytes) throw newRequestEntityTooLarge(`limit is ${maxBytes}`);
      return body;
    },
    bodyStream: async function* () {
      if (body.length > 0) yield body;
    },
    get answered() {
      return answered;
    },
    send(status, headers, chunks) {
      answered = true;
      const stream = begin(status, headers);
      for (const chunk of chunks) stream.write(chunk);
      stream.end();
    },
    startStream(status, headers) {
      answered = true;
      return begin(status, headers);
    },
  };
  return { exchange, response: answer.promise };
}

function createPipe(
  onLeave: () => void,
  onEnd: () => void,
  reason: () => Error | undefined,
): ResponseStream & { readonly body: AsyncIterable<Uint8Array> } {
  let queue: Uint8Array[] = [];
  let bytes = 0;
  let state: "open" | "ended" | "aborted" | "left" = "open";
  let wake: (() => void) | undefined;
  let drained = createDeferred();
  const notify = (): void => {
    wake?.();
    wake = undefined;
  };
  const letDrain = (): void => {
    drained.resolve();
    drained = createDeferred();
  };
  const body: AsyncIterable<Uint8Array> = {
    async *[Symbol.asyncIterator]() {
      try {
        for (;;) {
          if (queue.length > 0) {
            const chunks = queue;
            queue = [];
            bytes = 0;
            letDrain();
            yield* chunks;
            continue;
          }
          if (state === "ended") return;
          if (state === "aborted") throw reason() ?? new Error("the server broke the response off");
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      } finally {
        if (state === "open") {
          state = "left";
          queue = [];
          letDrain();
          onLeave();
        }
      }
    },
  };
  return {
    body,
    write(chunk) {
      if (state !== "open") return false;
      queue.push(chunk);
      bytes += chunk.length;
      notify();
      return bytes < highWaterMarkBytes;
    },
    drained: () =>
      state === "open" && bytes >= highWaterMarkBytes ? drained.promise : Promise.resolve(),
    get bufferedBytes() {
      return bytes;
    },
    end() {
      if (state !== "open") return;
      state = "ended";
      onEnd();
      notify();
      letDrain();
    },
    abort() {
      if (state !== "open") return;
      state = "aborted";
      queue = [];
      onEnd();
      notify();
      letDrain();
    },
    get closed() {
      return state !== "open";
    },
  };
}

function flatHeaders(headers: ResponseHeaders): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [
      name,
      typeof value === "string" ? value : value.join(", "),
    ]),
  );
}
