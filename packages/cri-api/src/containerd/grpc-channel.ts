import type {
  Client,
  ClientDuplexStream,
  ClientReadableStream,
  Metadata,
  ServiceError,
} from "@grpc/grpc-js";
import { RuntimeError, type RuntimeErrorCode } from "../runtime.ts";

/** Lists of a node full of pods are larger than gRPC's default of 4 MiB. */
const MESSAGE_MAX_BYTES = 16 * 1024 * 1024;

export interface CallOptions {
  /** The call fails with `deadlineExceeded` after this time; 0 = never. */
  readonly timeoutMs: number;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** gRPC over a unix socket with bytes in and bytes out. The library is loaded and the connection made at the first call. */
export interface GrpcChannel {
  unary(path: string, request: Uint8Array, options: CallOptions): Promise<Uint8Array>;
  serverStream(
    path: string,
    request: Uint8Array,
    metadata: Readonly<Record<string, string>>,
  ): Promise<ClientReadableStream<Buffer>>;
  duplexStream(
    path: string,
    metadata: Readonly<Record<string, string>>,
  ): Promise<ClientDuplexStream<Buffer, Buffer>>;
  close(): void;
}

export function createGrpcChannel(socket: string): GrpcChannel {
  let opened:
    | Promise<{ readonly client: Client; readonly newMetadata: () => Metadata }>
    | undefined;
  let closed = false;

  const open = async () => {
    if (closed) throw new RuntimeError("unavailable", `the connection to ${socket} is closed`);
    opened ??= import("@grpc/grpc-js").then((grpc) => ({
      newMetadata: () => new grpc.Metadata(),
      client: new grpc.Client(`unix://${socket}`, grpc.credentials.createInsecure(), {
        "grpc.max_receive_message_length": MESSAGE_MAX_BYTES,
        "grpc.max_send_message_length": MESSAGE_MAX_BYTES,
        "grpc.initial_reconnect_backoff_ms": 50,
        "grpc.max_reconnect_backoff_ms": 1000,
      }),
    }));
    return opened;
  };
  const filled = (metadata: Metadata, values: Readonly<Record<string, string>>): Metadata => {
    for (const [key, value] of Object.entries(values)) metadata.set(key, value);
    return metadata;
  };

  return {
    async unary(path, request, options) {
      const { client, newMetadata } = await open();
      return new Promise((resolve, reject) => {
        const deadline = options.timeoutMs > 0 ? { deadline: Date.now() + options.timeoutMs } : {};
        client.makeUnaryRequest(
          path,
          asBuffer,
          asIs,
          request,
          filled(newMetadata(), options.metadata ?? {}),
          deadline,
          (error, response) => {
            if (error !== null) reject(runtimeErrorFrom(error));
            else resolve(response ?? Buffer.alloc(0));
          },
        );
      });
    },
    async serverStream(path, request, metadata) {
      const { client, newMetadata } = await open();
      return client.makeServerStreamRequest(
        path,
        asBuffer,
        asIs,
        request,
        filled(newMetadata(), metadata),
      );
    },
    async duplexStream(path, metadata) {
      const { client, newMetadata } = await open();
      return client.makeBidiStreamRequest(path, asIs, asIs, filled(newMetadata(), metadata));
    },
    close() {
      closed = true;
      opened?.then(
        ({ client }) => client.close(),
        () => {},
      );
    },
  };
}

const CODE_NAMES: readonly (RuntimeErrorCode | undefined)[] = [
  undefined,
  "cancelled",
  "unknown",
  "invalidArgument",
  "deadlineExceeded",
  "notFound",
  "alreadyExists",
  "permissionDenied",
  "resourceExhausted",
  "failedPrecondition",
  "aborted",
  "outOfRange",
  "unimplemented",
  "internal",
  "unavailable",
  "dataLoss",
  "unauthenticated",
];

export function runtimeErrorFrom(error: Error): RuntimeError {
  if (error instanceof RuntimeError) return error;
  const { code, details } = error as Partial<ServiceError>;
  const name = typeof code === "number" ? CODE_NAMES[code] : undefined;
  return new RuntimeError(
    name ?? "unknown",
    details === undefined || details === "" ? error.message : details,
    { cause: error },
  );
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function asIs(bytes: Buffer): Buffer {
  return bytes;
}
