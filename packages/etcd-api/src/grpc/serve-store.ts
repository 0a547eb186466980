import { chmod, unlink } from "node:fs/promises";
import { connect } from "node:net";
import type {
  Server,
  ServerDuplexStream,
  ServerUnaryCall,
  ServerWritableStream,
  sendUnaryData,
  ServiceDefinition,
  UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { createDeferred, type Deferred, type Logger } from "@wherry/service-kit";
import {
  emptyRequest,
  healthResponse,
  healthStatus,
  memberListResponse,
  statusResponse,
} from "../codec/cluster-messages.ts";
import {
  compactionRequest,
  compactionResponse,
  deleteRangeRequest,
  deleteRangeResponse,
  putRequest,
  putResponse,
  rangeRequest,
  rangeResponse,
  txnRequest,
  txnResponse,
} from "../codec/kv-messages.ts";
import {
  leaseGrantRequest,
  leaseGrantResponse,
  leaseIdRequest,
  leaseRevokeResponse,
  leasesResponse,
  leaseTimeToLiveRequest,
  leaseTimeToLiveResponse,
} from "../codec/lease-messages.ts";
import { decodeMessage, encodeMessage, type MessageCodec } from "../codec/message-codec.ts";
import {
  watchRequest,
  watchResponseWriter,
  type WatchResponseMessage,
} from "../codec/watch-messages.ts";
import { EtcdError, etcdErrors } from "../errors.ts";
import type { EtcdStore, RangeResponse, ResponseHeader } from "../kv.ts";
import { parseListen, unixPath, type TlsMaterial } from "./endpoint.ts";
import { statusOf } from "./grpc-error.ts";
import { loadGrpc, type Grpc } from "./grpc-library.ts";
import { GRPC_OVERHEAD_BYTES, identity, method, REQUEST_MAX_BYTES } from "./methods.ts";
import { createWatchSession, encodedEvent } from "./watch-session.ts";

export interface ServeStoreOptions {
  /** `HOST:PORT` (port 0 = any) or `unix:PATH`. */
  readonly listen: string;
  /** With `ca`, clients must show a certificate that it signed. */
  readonly tls?: TlsMaterial;
  readonly log: Logger;
  /** The name that MemberList gives to this one member. */
  readonly memberName?: string;
  /** A watch stream whose client takes nothing for so long is ended. Default 60 s. */
  readonly stalledTimeoutMs?: number;
}

export interface StoreServer {
  /** `http://HOST:PORT`, `https://HOST:PORT` or `unix:PATH`, for clients. */
  readonly endpoint: string;
  /** Refuses new calls, ends watches, and cuts what is left when the deadline aborts. */
  close(deadline?: AbortSignal): Promise<void>;
}

const STALLED_TIMEOUT_MS = 60_000;

const serverOptions = {
  "grpc.max_receive_message_length": REQUEST_MAX_BYTES + GRPC_OVERHEAD_BYTES,
  "grpc.max_send_message_length": -1,
  "grpc.keepalive_time_ms": 60_000,
  "grpc.keepalive_timeout_ms": 20_000,
  "grpc.max_concurrent_streams": 2 ** 31 - 1,
  "grpc-node.flow_control_window": 1024 * 1024,
} as const;

/** Answers etcd's gRPC API from a store. Methods that are not listed here are answered with UNIMPLEMENTED and their name. */
export async function serveStore(
  store: EtcdStore,
  options: ServeStoreOptions,
): Promise<StoreServer> {
  const target = parseListen(options.listen);
  const path = unixPath(target);
  if (path !== undefined) await removeStaleSocket(path);
  const grpc = await loadGrpc();
  const server = new grpc.Server(serverOptions);
  const sessions = new Set<() => void>();
  server.addService(
    definitions(),
    implementation({
      store,
      options,
      identity: identityOf(store),
      sessions,
      endpoint: () => endpoint,
    }),
  );
  const port = await bind(server, target, credentialsOf(grpc, options.tls));
  if (path !== undefined) await chmod(path, 0o600);
  const scheme = options.tls === undefined ? "http" : "https";
  const endpoint =
    path === undefined ? `${scheme}://${target.slice(0, target.lastIndexOf(":"))}:${port}` : target;
  options.log.info({ endpoint }, "datastore listening");
  let closing: Promise<void> | undefined;

  return {
    endpoint,
    close(deadline) {
      closing ??= closeServer(server, sessions, deadline);
      return closing;
    },
  };
}

interface HandlerDeps {
  readonly store: EtcdStore;
  readonly options: ServeStoreOptions;
  readonly identity: () => Promise<ResponseHeader>;
  /** Ends of the streams that are open. */
  readonly sessions: Set<() => void>;
  readonly endpoint: () => string;
}

function implementation(deps: HandlerDeps): UntypedServiceImplementation {
  const { store } = deps;
  return {
    [method.range]: unary(
      rangeRequest,
      rangeResponse,
      (request) => store.range(request),
      rangeSize,
    ),
    [method.put]: unary(putRequest, putResponse, (request) => store.put(request)),
    [method.deleteRange]: unary(deleteRangeRequest, deleteRangeResponse, (request) =>
      store.deleteRange(request),
    ),
    [method.txn]: unary(txnRequest, txnResponse, (request) => store.txn(request)),
    [method.compact]: unary(compactionRequest, compactionResponse, (request) =>
      store.compact(request),
    ),
    [method.leaseGrant]: unary(leaseGrantRequest, leaseGrantResponse, (request) =>
      store.leaseGrant(request),
    ),
    [method.leaseRevoke]: unary(leaseIdRequest, leaseRevokeResponse, (id) => store.leaseRevoke(id)),
    [method.leaseTimeToLive]: unary(
      leaseTimeToLiveRequest,
      leaseTimeToLiveResponse,
      ({ id, keys }) => store.leaseTimeToLive(id, keys),
    ),
    [method.leases]: unary(emptyRequest, leasesResponse, () => store.leases()),
    [method.status]: unary(emptyRequest, statusResponse, () => store.status()),
    [method.memberList]: unary(emptyRequest, memberListResponse, async () => {
      const { header } = await store.status();
      const name = deps.options.memberName ?? "wherry";
      return {
        header,
        members: [
          {
            id: header.memberId,
            name,
            peerUrls: [],
            clientUrls: [deps.endpoint()],
            isLearner: false,
          },
        ],
      };
    }),
    [method.healthCheck]: unary(emptyRequest, healthResponse, () => servingStatus(store)),
    [method.healthWatch]: (call: ServerWritableStream<Buffer, Buffer>) => watchHealth(call, deps),
    [method.leaseKeepAlive]: (call: Duplex) => keepAlive(call, deps),
    [method.watch]: (call: Duplex) => watch(call, deps),
  };
}

type Duplex = ServerDuplexStream<Buffer, Buffer>;

function unary<Request, Response>(
  requestCodec: MessageCodec<Request>,
  responseCodec: MessageCodec<Response>,
  answer: (request: Request) => Promise<Response>,
  sizeOf: (response: Response) => number = () => 256,
) {
  return (call: ServerUnaryCall<Buffer, Buffer>, reply: sendUnaryData<Buffer>): void => {
    const run = async (): Promise<Buffer> => {
      const response = await answer(decodeMessage(requestCodec, call.request, false));
      return encodeMessage(responseCodec, response, sizeOf(response));
    };
    run().then(
      (bytes) => reply(null, bytes),
      (error: unknown) => reply(statusOf(error)),
    );
  };
}

function rangeSize(response: RangeResponse): number {
  return response.kvs.reduce((sum, kv) => sum + kv.key.length + kv.value.length + 48, 64);
}

async function servingStatus(store: EtcdStore): Promise<number> {
  try {
    await store.status();
    return healthStatus.serving;
  } catch {
    return healthStatus.notServing;
  }
}

/** Tells the status now; the stream stays open until the server closes, which is the next change. */
function watchHealth(call: ServerWritableStream<Buffer, Buffer>, deps: HandlerDeps): void {
  const end = (): void => {
    deps.sessions.delete(end);
    call.end();
  };
  deps.sessions.add(end);
  call.on("cancelled", end);
  void servingStatus(deps.store).then((status) =>
    call.write(encodeMessage(healthResponse, status)),
  );
}

function keepAlive(call: Duplex, deps: HandlerDeps): void {
  let handled: Promise<void> = Promise.resolve();
  const end = (): void => {
    deps.sessions.delete(end);
    call.end();
  };
  deps.sessions.add(end);
  const renew = async (bytes: Buffer): Promise<void> => {
    const response = await deps.store.leaseKeepAlive(decodeMessage(leaseIdRequest, bytes, false));
    call.write(encodeMessage(leaseGrantResponse, response));
  };
  call.on("data", (bytes: Buffer) => {
    handled = handled.then(() => renew(bytes)).catch((error: unknown) => failCall(call, error));
  });
  call.on("end", () => void handled.then(end));
  call.on("cancelled", end);
  call.on("error", end);
}

const writeWatchResponse = watchResponseWriter(encodedEvent);

function watch(call: Duplex, deps: HandlerDeps): void {
  const { store, options } = deps;
  const stalledTimeoutMs = options.stalledTimeoutMs ?? STALLED_TIMEOUT_MS;
  let header: ResponseHeader | undefined;
  let draining: Deferred<void> | undefined;
  let isOver = false;

  const send = (message: WatchResponseMessage): Promise<void> => {
    if (isOver) return Promise.resolve();
    const size = message.events.reduce((sum, event) => sum + encodedEvent(event).length + 8, 128);
    const bytes = encodeMessage({ write: writeWatchResponse, read: neverRead }, message, size);
    if (call.write(bytes)) return Promise.resolve();
    draining ??= drained(call, stalledTimeoutMs, fail);
    return draining.promise.then(() => {
      draining = undefined;
    });
  };
  const fail = (error: unknown): void => {
    if (isOver) return;
    over();
    failCall(call, error);
  };
  const over = (): void => {
    isOver = true;
    deps.sessions.delete(end);
    session.close();
    draining?.resolve();
  };
  const end = (): void => {
    fail(etcdErrors.stopped());
  };
  const session = createWatchSession({
    store,
    send,
    fail,
    headerAt: (revision) => ({ ...(header as ResponseHeader), revision }),
    currentRevision: async () => (await store.status()).header.revision,
    fragmentBytes: REQUEST_MAX_BYTES,
  });
  deps.sessions.add(end);
  call.on("cancelled", over);
  call.on("error", over);
  call.on("end", () => {
    if (isOver) return;
    over();
    call.end();
  });
  call.pause();
  deps.identity().then((found) => {
    header = found;
    call.on("data", (bytes: Buffer) => {
      try {
        session.receive(decodeMessage(watchRequest, bytes, true));
      } catch (error) {
        fail(error);
      }
    });
    call.resume();
  }, fail);
}

function neverRead(): never {
  throw new Error("a server reads no responses");
}

/** Resolves when the client took what was written; a client that takes nothing for too long loses its stream. */
function drained(call: Duplex, timeoutMs: number, fail: (error: unknown) => void): Deferred<void> {
  const deferred = createDeferred();
  const timer = setTimeout(() => {
    fail(
      new EtcdError(
        "resourceExhausted",
        `etcdserver: the watch stream took nothing for ${timeoutMs} ms`,
      ),
    );
  }, timeoutMs);
  timer.unref();
  const onDrain = (): void => deferred.resolve();
  call.once("drain", onDrain);
  void deferred.promise.then(() => {
    clearTimeout(timer);
    call.off("drain", onDrain);
  });
  return deferred;
}

function failCall(call: Duplex, error: unknown): void {
  call.emit("error", statusOf(error));
}

/** Cluster and member id, asked once. */
function identityOf(store: EtcdStore): () => Promise<ResponseHeader> {
  let known: ResponseHeader | undefined;
  return async () => (known ??= (await store.status()).header);
}

function definitions(): ServiceDefinition {
  const streams: readonly string[] = [method.watch, method.leaseKeepAlive];
  return Object.fromEntries(
    Object.values(method).map((path) => [
      path,
      {
        path,
        requestStream: streams.includes(path),
        responseStream: streams.includes(path) || path === method.healthWatch,
        requestSerialize: identity,
        requestDeserialize: identity,
        responseSerialize: identity,
        responseDeserialize: identity,
      },
    ]),
  );
}

function credentialsOf(grpc: Grpc, tls: TlsMaterial | undefined) {
  if (tls === undefined) return grpc.ServerCredentials.createInsecure();
  if (tls.cert === undefined || tls.key === undefined)
    throw new TypeError("TLS needs a certificate and its key");
  const ca = tls.ca === undefined ? null : Buffer.from(tls.ca);
  return grpc.ServerCredentials.createSsl(
    ca,
    [{ cert_chain: Buffer.from(tls.cert), private_key: Buffer.from(tls.key) }],
    ca !== null,
  );
}

function bind(
  server: Server,
  target: string,
  credentials: Parameters<Server["bindAsync"]>[1],
): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(target, credentials, (error, port) => {
      if (error === null) resolve(port);
      else
        reject(
          new Error(`cannot listen on ${target}: ${listenProblem(error.message)}`, {
            cause: error,
          }),
        );
    });
  });
}

/** gRPC gives no code, only a list of what each resolved address said. */
function listenProblem(message: string): string {
  if (message.includes("EADDRINUSE"))
    return "it is in use by another process; stop it, or listen elsewhere (--listen)";
  if (message.includes("EADDRNOTAVAIL"))
    return "it is not an address of this machine; choose another one (--listen)";
  return message;
}

async function closeServer(
  server: Server,
  sessions: ReadonlySet<() => void>,
  deadline: AbortSignal | undefined,
): Promise<void> {
  for (const end of sessions) end();
  const cut = (): void => server.forceShutdown();
  deadline?.addEventListener("abort", cut, { once: true });
  if (deadline?.aborted === true) cut();
  await new Promise<void>((resolve) => {
    server.tryShutdown(() => resolve());
  });
  deadline?.removeEventListener("abort", cut);
}

/** A socket that a dead process left behind would make listening fail; one that somebody answers on is left alone. */
async function removeStaleSocket(path: string): Promise<void> {
  const isDead = await new Promise<boolean>((resolve) => {
    const probe = connect(path);
    probe.once("connect", () => {
      probe.destroy();
      resolve(false);
    });
    probe.once("error", (error: NodeJS.ErrnoException) => resolve(error.code === "ECONNREFUSED"));
  });
  if (isDead) await unlink(path);
}
