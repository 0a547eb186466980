import { connect } from "node:http2";

/** Health statuses of grpc.health.v1. */
const statusNames = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"] as const;

export class GrpcStatusError extends Error {
  readonly grpcStatus: number;

  constructor(grpcStatus: number, message: string) {
    super(message);
    this.name = "GrpcStatusError";
    this.grpcStatus = grpcStatus;
  }
}

/**
 * Asks grpc.health.v1.Health/Check once, in clear text, and gives the status' name. One message of one field does not need a gRPC library,
 * so this speaks the framing itself.
 */
export function checkGrpcHealth(
  host: string,
  port: number,
  service: string,
  timeoutMs: number,
  userAgent: string,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const session = connect(`http://${host.includes(":") ? `[${host}]` : host}:${port}`);
    const timer = setTimeout(
      () => finish(() => reject(new GrpcStatusError(4, "context deadline exceeded"))),
      timeoutMs,
    );
    const finish = (settle: () => void): void => {
      clearTimeout(timer);
      settle();
      session.destroy();
    };
    session.once("error", (error) => finish(() => reject(error)));
    const stream = session.request({
      ":method": "POST",
      ":path": "/grpc.health.v1.Health/Check",
      "content-type": "application/grpc",
      te: "trailers",
      "user-agent": userAgent,
      "grpc-timeout": `${timeoutMs}m`,
    });
    const chunks: Buffer[] = [];
    let status: number | undefined;
    let text = "";
    const readStatus = (headers: Record<string, unknown>): void => {
      if (headers["grpc-status"] === undefined) return;
      status = Number(headers["grpc-status"]);
      text = decodeURIComponent(String(headers["grpc-message"] ?? ""));
    };
    stream.on("response", readStatus);
    stream.on("trailers", readStatus);
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.once("error", (error) => finish(() => reject(error)));
    stream.once("end", () =>
      finish(() => {
        if (status !== undefined && status !== 0) reject(new GrpcStatusError(status, text));
        else resolve(statusNames[statusIn(Buffer.concat(chunks))] ?? "UNKNOWN");
      }),
    );
    stream.end(requestFrame(service));
  });
}

function requestFrame(service: string): Buffer {
  const name = Buffer.from(service);
  const message =
    name.length === 0
      ? Buffer.alloc(0)
      : Buffer.concat([Buffer.from([0x0a]), varint(name.length), name]);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest >>= 7) bytes.push((rest & 127) | 128);
  bytes.push(rest);
  return Buffer.from(bytes);
}

/** The one field of HealthCheckResponse; absent is 0. */
function statusIn(frame: Buffer): number {
  return frame.length >= 7 && frame[5] === 0x08 ? (frame[6] ?? 0) : 0;
}
