import { isIP } from "node:net";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import type { Client, Metadata } from "@grpc/grpc-js";
import type { Logger } from "@wherry/service-kit";
import { emptyRequest, statusResponse } from "../codec/cluster-messages.ts";
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
import { etcdErrors } from "../errors.ts";
import type { CallOptions, EtcdStore, LeaseGrantResponse } from "../kv.ts";
import { parseEndpoint, type Endpoint, type TlsMaterial } from "./endpoint.ts";
import { etcdErrorOf } from "./grpc-error.ts";
import { loadGrpc, type Grpc } from "./grpc-library.ts";
import { WatchMultiplexer } from "./grpc-watch.ts";
import { identity, method } from "./methods.ts";

export interface GrpcStoreOptions {
  /** `http://HOST:PORT`, `https://HOST:PORT` or `unix:PATH`. */
  readonly endpoint: string;
  /** PEM. `ca` absent = the system's authorities. */
  readonly tls?: TlsMaterial;
  readonly log: Logger;
  /** A watch whose consumer leaves more than this waiting is cancelled with a reason. Default 32 MiB. */
  readonly watchQueueMaxBytes?: number;
}

export interface GrpcStore extends EtcdStore {
  /** Ends watches and calls under way; idempotent. */
  close(): Promise<void>;
}

const WATCH_QUEUE_MAX_BYTES = 32 * 1024 * 1024;

/** The client's side of HTTP/2: a dead peer is noticed after 40 s, and lists need a wide window. */
const channelOptions = {
  "grpc.max_receive_message_length": -1,
  "grpc.max_send_message_length": -1,
  "grpc.keepalive_time_ms": 30_000,
  "grpc.keepalive_timeout_ms": 10_000,
  "grpc.keepalive_permit_without_calls": 1,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 5_000,
  "grpc.use_local_subchannel_pool": 1,
  "grpc.enable_retries": 0,
  "grpc.service_config_disable_resolution": 1,
  "grpc-node.flow_control_window": 4 * 1024 * 1024,
} as const;

/** The store behind an etcd endpoint. Connects when it is first used; calls fail with `unavailable` while nobody answers there. */
export function createGrpcStore(options: GrpcStoreOptions): GrpcStore {
  const endpoint = parseEndpoint(options.endpoint);
  let connection: Promise<Connection> | undefined;
  let isClosed = false;

  async function connect(): Promise<Connection> {
    const grpc = await loadGrpc();
    const client = endpoint.isTls
      ? createTlsClient(grpc, endpoint, options.tls ?? {})
      : new grpc.Client(endpoint.target, grpc.credentials.createInsecure(), channelOptions);
    const withLeader = new grpc.Metadata();
    withLeader.set("hasleader", "true");
    return { client, metadata: new grpc.Metadata(), withLeader };
  }

  function connected(): Promise<Connection> {
    if (isClosed) return Promise.reject(etcdErrors.stopped());
    connection ??= connect();
    return connection;
  }

  async function unary<Request, Response>(
    path: string,
    codecs: { readonly request: MessageCodec<Request>; readonly response: MessageCodec<Response> },
    request: Request,
    call: { readonly options: CallOptions | undefined; readonly sizeHint?: number },
  ): Promise<Response> {
    const { client, metadata } = await connected();
    const signal = call.options?.signal;
    signal?.throwIfAborted();
    const bytes = encodeMessage(codecs.request, request, call.sizeHint);
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    const handle = client.makeUnaryRequest(
      path,
      identity,
      identity,
      bytes,
      metadata,
      (error, reply) => {
        if (error === null && reply !== undefined) resolve(reply);
        else
          reject(
            signal?.aborted === true
              ? signal.reason
              : error === null
                ? etcdErrors.stopped()
                : etcdErrorOf(error),
          );
      },
    );
    const onAbort = (): void => handle.cancel();
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      return decodeMessage(codecs.response, await promise, true);
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }

  const watches = new WatchMultiplexer({
    open: async () => {
      const { client, withLeader } = await connected();
      return client.makeBidiStreamRequest(method.watch, identity, identity, withLeader);
    },
    queueMaxBytes: options.watchQueueMaxBytes ?? WATCH_QUEUE_MAX_BYTES,
    log: options.log,
  });

  /** Keep-alives are a stream in the API; one renewal opens it, sends and reads one message, and ends it. */
  async function leaseKeepAlive(
    id: bigint,
    callOptions?: CallOptions,
  ): Promise<LeaseGrantResponse> {
    const { client, metadata } = await connected();
    callOptions?.signal?.throwIfAborted();
    const call = client.makeBidiStreamRequest(method.leaseKeepAlive, identity, identity, metadata);
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    call.on("data", (bytes: Buffer) => {
      resolve(bytes);
      call.end();
    });
    call.on("error", (error) => reject(etcdErrorOf(error as Parameters<typeof etcdErrorOf>[0])));
    call.on("end", () => reject(etcdErrors.stopped()));
    const onAbort = (): void => {
      reject(callOptions?.signal?.reason);
      call.cancel();
    };
    callOptions?.signal?.addEventListener("abort", onAbort, { once: true });
    call.write(encodeMessage(leaseIdRequest, id));
    try {
      return decodeMessage(leaseGrantResponse, await promise, true);
    } finally {
      callOptions?.signal?.removeEventListener("abort", onAbort);
    }
  }

  const codecs = {
    range: { request: rangeRequest, response: rangeResponse },
    put: { request: putRequest, response: putResponse },
    deleteRange: { request: deleteRangeRequest, response: deleteRangeResponse },
    txn: { request: txnRequest, response: txnResponse },
    compact: { request: compactionRequest, response: compactionResponse },
    leaseGrant: { request: leaseGrantRequest, response: leaseGrantResponse },
    leaseRevoke: { request: leaseIdRequest, response: leaseRevokeResponse },
    leaseTimeToLive: { request: leaseTimeToLiveRequest, response: leaseTimeToLiveResponse },
    leases: { request: emptyRequest, response: leasesResponse },
    status: { request: emptyRequest, response: statusResponse },
  } as const;

  return {
    range: (request, callOptions) =>
      unary(method.range, codecs.range, request, { options: callOptions }),
    put: (request, callOptions) =>
      unary(method.put, codecs.put, request, {
        options: callOptions,
        sizeHint: request.key.length + request.value.length + 64,
      }),
    deleteRange: (request, callOptions) =>
      unary(method.deleteRange, codecs.deleteRange, request, { options: callOptions }),
    txn: (request, callOptions) =>
      unary(method.txn, codecs.txn, request, { options: callOptions, sizeHint: 2048 }),
    compact: (request, callOptions) =>
      unary(method.compact, codecs.compact, request, { options: callOptions }),
    watch: (request, callOptions) => watches.watch(request, callOptions?.signal),
    leaseGrant: (request, callOptions) =>
      unary(method.leaseGrant, codecs.leaseGrant, request, { options: callOptions }),
    leaseRevoke: (id, callOptions) =>
      unary(method.leaseRevoke, codecs.leaseRevoke, id, { options: callOptions }),
    leaseKeepAlive,
    leaseTimeToLive: (id, keys, callOptions) =>
      unary(method.leaseTimeToLive, codecs.leaseTimeToLive, { id, keys }, { options: callOptions }),
    leases: (callOptions) =>
      unary(method.leases, codecs.leases, undefined, { options: callOptions }),
    status: (callOptions) =>
      unary(method.status, codecs.status, undefined, { options: callOptions }),
    async close() {
      if (isClosed) return;
      isClosed = true;
      watches.close(etcdErrors.stopped());
      const open = await connection?.catch(() => undefined);
      open?.client.close();
    },
  };
}

interface Connection {
  readonly client: Client;
  readonly metadata: Metadata;
  readonly withLeader: Metadata;
}

/**
 * grpc-js gives an IP address as TLS server name, which TLS forbids and Node refuses. For an address another name is sent in its place,
 * and the certificate is checked against the address itself.
 */
const NAME_FOR_ADDRESSES = "localhost";

function createTlsClient(
  grpc: Grpc,
  { target, host }: Endpoint,
  { ca, cert, key }: TlsMaterial,
): Client {
  const isAddress = isIP(host) !== 0;
  const verify = isAddress
    ? { checkServerIdentity: (_: string, peer: PeerCertificate) => checkServerIdentity(host, peer) }
    : {};
  const credentials = grpc.credentials.createSsl(pem(ca), pem(key), pem(cert), verify);
  const options = isAddress
    ? { ...channelOptions, "grpc.ssl_target_name_override": NAME_FOR_ADDRESSES }
    : channelOptions;
  return new grpc.Client(target, credentials, options);
}

function pem(text: Buffer | string | undefined): Buffer | null {
  return text === undefined ? null : Buffer.from(text);
}
