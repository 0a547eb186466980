/**
 * Kubernetes' remote command over WebSocket: every message begins with its channel, 0 stdin, 1 stdout, 2 stderr, 3 error (a Status at the end), 4 resize.
 *
 * Version 5 adds channel 255, whose payload names a channel that the client will not write to any more; before it, stdin cannot be ended. The base64
 * variants put the channel as a digit and the rest in base64 into text messages. Versions before 4 have plain text on the error channel.
 */
import type { ExecOptions, ExecSession } from "@wherry/cri-api";
import type { RawData, WebSocket } from "ws";
import { failureText, sessionOutcome } from "./session-outcome.ts";

const CHANNEL = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;
/** Output that waits for the client; the process is paused above the first and goes on below the second. */
const PENDING_HIGH_BYTES = 1024 * 1024;
const PENDING_LOW_BYTES = 256 * 1024;
const CLOSE_NORMAL = 1000;
const RESIZE_MAX_BYTES = 1024;

export interface ChannelProtocol {
  readonly name: string;
  readonly base64: boolean;
  readonly hasClose: boolean;
}

const PROTOCOLS: readonly ChannelProtocol[] = [
  { name: "v5.channel.k8s.io", base64: false, hasClose: true },
  { name: "v4.channel.k8s.io", base64: false, hasClose: false },
  { name: "v4.base64.channel.k8s.io", base64: true, hasClose: false },
  { name: "channel.k8s.io", base64: false, hasClose: false },
  { name: "base64.channel.k8s.io", base64: true, hasClose: false },
  { name: "", base64: false, hasClose: false },
];

/** The first offered protocol that is known; a client that offers none gets binary channels. */
export function chooseChannelProtocol(offered: readonly string[]): ChannelProtocol | undefined {
  const names = offered.length === 0 ? [""] : offered;
  return names
    .map((name) => PROTOCOLS.find((protocol) => protocol.name === name))
    .find((protocol) => protocol !== undefined);
}

export async function runWebSocketSession(
  socket: WebSocket,
  protocol: ChannelProtocol,
  options: ExecOptions,
  open: () => Promise<ExecSession>,
): Promise<void> {
  const channels = createChannelWriter(socket, protocol);
  const gone = new Promise<void>((resolve) => {
    socket.once("close", () => resolve());
  });
  socket.on("error", () => socket.terminate());
  socket.pause();
  let session: ExecSession;
  try {
    session = await open();
  } catch (error) {
    channels.send(CHANNEL.error, failureText(error));
    socket.close(CLOSE_NORMAL);
    return;
  }
  void gone.then(() => session.close());
  // Clients take the first message as the sign that the session stands.
  channels.send(
    options.stdout ? CHANNEL.stdout : options.stderr ? CHANNEL.stderr : CHANNEL.error,
    "",
  );
  channels.pipe(session.stdout, CHANNEL.stdout);
  channels.pipe(session.stderr, CHANNEL.stderr);
  socket.on("message", (data, isBinary) =>
    receive(socket, session, protocol, decodeMessage(data, isBinary, protocol)),
  );
  socket.resume();
  const status = await Promise.race([sessionOutcome(session), gone]);
  if (status === undefined) return;
  channels.send(CHANNEL.error, status);
  socket.close(CLOSE_NORMAL);
}

function receive(
  socket: WebSocket,
  session: ExecSession,
  protocol: ChannelProtocol,
  { channel, payload }: { readonly channel: number; readonly payload: Buffer },
): void {
  switch (channel) {
    case CHANNEL.stdin: {
      if (payload.length === 0 || session.stdin?.writable !== true) return;
      if (!session.stdin.write(payload)) {
        socket.pause();
        session.stdin.once("drain", () => socket.resume());
        session.stdin.once("close", () => socket.resume());
      }
      return;
    }
    case CHANNEL.resize: {
      const size = parseSize(payload);
      if (size !== undefined) session.resize(size.columns, size.rows);
      return;
    }
    case CHANNEL.close: {
      if (protocol.hasClose && payload[0] === CHANNEL.stdin) session.stdin?.end();
      return;
    }
    default:
    // Clients write to no other channel.
  }
}

interface ChannelWriter {
  send(channel: number, data: Buffer | string): void;
  /** Sends what the stream gives, pausing it while too much waits. */
  pipe(stream: NodeJS.ReadableStream | undefined, channel: number): void;
}

function createChannelWriter(socket: WebSocket, protocol: ChannelProtocol): ChannelWriter {
  const paused = new Set<NodeJS.ReadableStream>();
  let pendingBytes = 0;
  const sent = (bytes: number): void => {
    pendingBytes -= bytes;
    if (pendingBytes > PENDING_LOW_BYTES) return;
    for (const stream of paused) stream.resume();
    paused.clear();
  };
  const send = (channel: number, data: Buffer | string): void => {
    const payload = Buffer.from(data);
    pendingBytes += payload.length;
    const message = protocol.base64
      ? `${channel}${payload.toString("base64")}`
      : Buffer.concat([Buffer.from([channel]), payload]);
    if (socket.readyState === socket.OPEN) socket.send(message, () => sent(payload.length));
    else sent(payload.length);
  };
  return {
    send,
    pipe(stream, channel) {
      stream?.on("data", (chunk: Buffer) => {
        send(channel, chunk);
        if (pendingBytes <= PENDING_HIGH_BYTES) return;
        paused.add(stream);
        stream.pause();
      });
    },
  };
}

function decodeMessage(
  data: RawData,
  isBinary: boolean,
  protocol: ChannelProtocol,
): { readonly channel: number; readonly payload: Buffer } {
  const bytes = Array.isArray(data)
    ? Buffer.concat(data)
    : Buffer.isBuffer(data)
      ? data
      : Buffer.from(data);
  if (protocol.base64 && !isBinary)
    return {
      channel: (bytes[0] ?? 0) - 0x30,
      payload: Buffer.from(bytes.toString("latin1", 1), "base64"),
    };
  return { channel: bytes[0] ?? 0, payload: bytes.subarray(1) };
}

/** A terminal size as clients write it: `{"Width": 80, "Height": 24}`. */
export function parseSize(
  payload: Buffer,
): { readonly columns: number; readonly rows: number } | undefined {
  if (payload.length > RESIZE_MAX_BYTES) return undefined;
  try {
    const { Width, Height } = JSON.parse(payload.toString("utf8")) as {
      readonly Width?: unknown;
      readonly Height?: unknown;
    };
    return typeof Width === "number" && typeof Height === "number"
      ? { columns: Width, rows: Height }
      : undefined;
  } catch {
    return undefined;
  }
}
