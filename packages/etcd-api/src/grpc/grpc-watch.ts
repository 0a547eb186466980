import type { ClientDuplexStream, ServiceError } from "@grpc/grpc-js";
import { createDeferred, type Deferred, type Logger } from "@wherry/service-kit";
import { decodeMessage, encodeMessage } from "../codec/message-codec.ts";
import {
  watchRequest,
  watchResponse,
  type WatchRequestMessage,
  type WatchResponseMessage,
} from "../codec/watch-messages.ts";
import { EtcdError, etcdErrors } from "../errors.ts";
import type { WatchMessage, WatchRequest, WatchStream } from "../kv.ts";
import { etcdErrorOf } from "./grpc-error.ts";

/**
 * Many watches over one gRPC stream.
 *
 * 1. The server answers creates in order, so the oldest watch without an id is the one that a `created` belongs to.
 * 2. One slow consumer must not hold up the others, and the stream cannot be paused for one of them: what waits for a
 *    consumer is bounded, and its watch is cancelled at the bound.
 * 3. When the stream breaks, every watch on it fails; its owner watches again from the revision after the last it saw.
 */
export interface WatchMultiplexerOptions {
  readonly open: () => Promise<WatchCall>;
  readonly queueMaxBytes: number;
  readonly log: Logger;
}

export type WatchCall = ClientDuplexStream<Buffer, Buffer>;

/** The id in answers that concern every watch of the stream. */
const EVERY_WATCH = -1;

export class WatchMultiplexer {
  readonly #options: WatchMultiplexerOptions;
  #session: WatchSession | undefined;
  #closed: Error | undefined;

  constructor(options: WatchMultiplexerOptions) {
    this.#options = options;
  }

  watch(request: WatchRequest, signal: AbortSignal | undefined): WatchStream {
    const watch = new ClientWatch(request, this.#options.queueMaxBytes);
    if (this.#closed !== undefined) {
      watch.fail(this.#closed);
      return watch;
    }
    if (this.#session === undefined || this.#session.isEnded)
      this.#session = new WatchSession(this.#options);
    const session = this.#session;
    session.add(watch);
    const onAbort = (): void => watch.cancel();
    signal?.addEventListener("abort", onAbort, { once: true });
    watch.onEnd = () => {
      signal?.removeEventListener("abort", onAbort);
      session.remove(watch);
    };
    watch.onProgressRequest = () => session.send({ kind: "progress" });
    if (signal?.aborted === true) watch.cancel();
    return watch;
  }

  close(error: Error): void {
    this.#closed ??= error;
    this.#session?.end(error);
  }
}

class WatchSession {
  isEnded = false;
  readonly #log: Logger;
  readonly #unsent: WatchRequestMessage[] = [];
  /** Watches whose `created` has not come, oldest first. A watch that ended meanwhile keeps its place. */
  readonly #creating: ClientWatch[] = [];
  readonly #byId = new Map<number, ClientWatch>();
  #call: WatchCall | undefined;

  constructor(options: WatchMultiplexerOptions) {
    this.#log = options.log;
    options.open().then(
      (call) => this.#attach(call),
      (error: unknown) => this.end(error),
    );
  }

  add(watch: ClientWatch): void {
    this.#creating.push(watch);
    this.send({ kind: "create", create: watch.request });
  }

  remove(watch: ClientWatch): void {
    if (watch.id !== undefined && this.#byId.delete(watch.id))
      this.send({ kind: "cancel", watchId: watch.id });
    this.#endIfUnused();
  }

  send(message: WatchRequestMessage): void {
    if (this.isEnded) return;
    if (this.#call === undefined) this.#unsent.push(message);
    else this.#call.write(encodeMessage(watchRequest, message));
  }

  end(error: unknown): void {
    if (this.isEnded) return;
    this.isEnded = true;
    const watches = [...this.#byId.values(), ...this.#creating];
    this.#byId.clear();
    this.#creating.length = 0;
    for (const watch of watches) watch.fail(error);
    this.#call?.cancel();
  }

  #attach(call: WatchCall): void {
    if (this.isEnded) {
      call.on("error", () => {});
      call.cancel();
      return;
    }
    this.#call = call;
    call.on("data", (bytes: Buffer) => this.#receive(bytes));
    call.on("error", (error) => this.end(etcdErrorOf(error as ServiceError)));
    call.on("end", () =>
      this.end(new EtcdError("unavailable", "the server ended the watch stream")),
    );
    for (const message of this.#unsent.splice(0)) call.write(encodeMessage(watchRequest, message));
  }

  #receive(bytes: Buffer): void {
    let response: WatchResponseMessage;
    try {
      response = decodeMessage(watchResponse, bytes, true);
    } catch (error) {
      this.end(
        new EtcdError("internal", "the server sent a watch response that cannot be read", {
          cause: error,
        }),
      );
      return;
    }
    if (response.created) this.#created(response);
    else if (response.watchId === EVERY_WATCH) this.#progressForAll(response.header.revision);
    else this.#deliver(response, bytes.length);
  }

  #created(response: WatchResponseMessage): void {
    const watch = this.#creating.shift();
    if (watch === undefined) {
      this.#log.warn(
        { watchId: response.watchId },
        "the server created a watch that was not asked for",
      );
      return;
    }
    if (response.canceled) {
      watch.push({ kind: "created", revision: response.header.revision }, 0);
      watch.push(canceledOf(response), 0);
      return;
    }
    if (watch.isEnded) {
      this.send({ kind: "cancel", watchId: response.watchId });
      this.#endIfUnused();
      return;
    }
    watch.id = response.watchId;
    this.#byId.set(response.watchId, watch);
    watch.push({ kind: "created", revision: response.header.revision }, 0);
  }

  #progressForAll(revision: number): void {
    for (const watch of this.#byId.values()) watch.progress(revision);
  }

  #deliver(response: WatchResponseMessage, size: number): void {
    const watch = this.#byId.get(response.watchId);
    if (watch === undefined) return;
    const { revision } = response.header;
    if (response.canceled || response.compactRevision !== 0) {
      this.#byId.delete(response.watchId);
      watch.push(canceledOf(response), size);
      this.#endIfUnused();
    } else if (response.events.length === 0) {
      watch.push({ kind: "progress", revision }, size);
    } else {
      watch.push({ kind: "events", revision, events: response.events }, size);
    }
  }

  #endIfUnused(): void {
    if (this.#byId.size > 0 || this.#creating.length > 0 || this.isEnded) return;
    this.isEnded = true;
    this.#call?.end();
  }
}

function canceledOf(response: WatchResponseMessage): WatchMessage {
  const { compactRevision } = response;
  const reason =
    response.cancelReason === "" && compactRevision !== 0
      ? etcdErrors.compacted().message
      : response.cancelReason;
  return { kind: "canceled", compactRevision, reason };
}

class ClientWatch implements WatchStream {
  readonly request: WatchRequest;
  id: number | undefined;
  isEnded = false;
  onEnd: () => void = () => {};
  onProgressRequest: () => void = () => {};
  readonly #queueMaxBytes: number;
  readonly #queue: { readonly message: WatchMessage; readonly size: number }[] = [];
  #queuedBytes = 0;
  #wantsProgress = false;
  #failure: { readonly error: unknown } | undefined;
  #waiting: Deferred<void> | undefined;
  #pull: Promise<unknown> = Promise.resolve();

  constructor(request: WatchRequest, queueMaxBytes: number) {
    this.request = request;
    this.#queueMaxBytes = queueMaxBytes;
  }

  push(message: WatchMessage, size: number): void {
    if (this.isEnded) return;
    this.#queue.push({ message, size });
    this.#queuedBytes += size;
    if (message.kind === "canceled") this.#end();
    else if (this.#queuedBytes > this.#queueMaxBytes && this.#queue.length > 1) this.#overflow();
    this.#wake();
  }

  /** Progress of the whole stream concerns those that asked. */
  progress(revision: number): void {
    if (!this.#wantsProgress) return;
    this.#wantsProgress = false;
    this.push({ kind: "progress", revision }, 0);
  }

  fail(error: unknown): void {
    if (this.isEnded) return;
    this.#failure = { error };
    this.#end();
    this.#wake();
  }

  requestProgress(): void {
    if (this.isEnded) return;
    this.#wantsProgress = true;
    this.onProgressRequest();
  }

  cancel(): void {
    this.#queue.length = 0;
    this.#failure = undefined;
    this.#end();
    this.#wake();
  }

  [Symbol.asyncIterator](): AsyncIterator<WatchMessage, undefined> {
    return {
      next: () => {
        const result = this.#pull.then(() => this.#next());
        this.#pull = result.catch(() => {});
        return result;
      },
      return: async () => {
        this.cancel();
        return { done: true, value: undefined };
      },
    };
  }

  async #next(): Promise<IteratorResult<WatchMessage, undefined>> {
    for (;;) {
      const first = this.#queue.shift();
      if (first !== undefined) {
        this.#queuedBytes -= first.size;
        return { done: false, value: first.message };
      }
      const failure = this.#failure;
      this.#failure = undefined;
      if (failure !== undefined) throw failure.error;
      if (this.isEnded) return { done: true, value: undefined };
      this.#waiting = createDeferred();
      await this.#waiting.promise;
    }
  }

  /** What waits is dropped as far as it was not delivered: the consumer sees the reason and watches again. */
  #overflow(): void {
    this.#queue.length = 0;
    const reason = `the watch is too slow: more than ${this.#queueMaxBytes} bytes of events waited for it`;
    this.#queue.push({ message: { kind: "canceled", compactRevision: 0, reason }, size: 0 });
    this.#end();
  }

  #end(): void {
    if (this.isEnded) return;
    this.isEnded = true;
    this.onEnd();
  }

  #wake(): void {
    this.#waiting?.resolve();
    this.#waiting = undefined;
  }
}
