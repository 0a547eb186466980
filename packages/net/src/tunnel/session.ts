/**
 * A tunnel session: many connections over one WebSocket, compatible with rancher/remotedialer.
 *
 * S1. Only the server side opens connections (Connect); it numbers them from 1. The client side dials and relays.
 * S2. A connection ends with an Error frame ("EOF" = gracefully); each side sends at most one.
 * S3. Data for an unknown connection is answered with an Error frame once.
 * S4. Both sides list their live connections every 60 s; what the other side does not list is freed.
 * S5. The client pings every 5 s; a side that hears nothing for 60 s ends the session.
 */
import type { Duplex } from "node:stream";
import { createDeferred, type Clock, type Logger, type Timer } from "@wherry/service-kit";
import type { WebSocket } from "ws";
import {
  decodeConnectionIds,
  decodeFrame,
  encodeConnectionIds,
  encodeFrame,
  END_OF_STREAM,
  frameType,
  type Frame,
  type FrameType,
} from "./frames.ts";
import { TunnelStream } from "./tunnel-stream.ts";

export interface TunnelSessionOptions {
  readonly role: "server" | "client";
  readonly clock: Clock;
  readonly log: Logger;
  /**
   * Client side: opens what the server asks for ("tcp", "127.0.0.1:10250"). Rejecting answers the server with the error's message.
   * Returning undefined means that the address is not allowed; the session is then dropped, as remotedialer does.
   */
  readonly connect?: (protocol: string, address: string) => Promise<Duplex | undefined>;
}

export interface TunnelSession {
  /** Server side: opens a connection; it is usable at once, a refusal shows as an error of the stream. */
  open(protocol: string, address: string): Duplex;
  close(): void;
  /** Resolves when the session has ended, whatever the reason. */
  readonly done: Promise<void>;
  readonly connections: number;
}

const PING_INTERVAL_MS = 5_000;
const SILENCE_MAX_MS = 60_000;
const SYNC_INTERVAL_MS = 60_000;
const DIAL_MAX_MS = 60_000;
/** Connections of one session; more are refused. */
const CONNECTIONS_MAX = 4_096;

export function createTunnelSession(
  socket: WebSocket,
  options: TunnelSessionOptions,
): TunnelSession {
  const { clock, log } = options;
  const streams = new Map<number, TunnelStream>();
  const done = createDeferred();
  let messageId = Math.floor(Math.random() * 2 ** 31);
  let nextConnection = 1;
  let heardAtMs = clock.monotonic();
  let timer: Timer | undefined;
  let syncedAtMs = heardAtMs;
  let ended = false;

  const send = (
    connectionId: number,
    type: FrameType,
    payload: Buffer,
    callback?: (error?: Error) => void,
  ): void => {
    if (socket.readyState !== socket.OPEN) {
      callback?.(new Error("the tunnel is closed"));
      return;
    }
    messageId += 1;
    socket.send(
      encodeFrame(messageId, { connectionId, type, payload }),
      { binary: true },
      callback,
    );
  };
  const empty = Buffer.alloc(0);
  const createStream = (id: number): TunnelStream => {
    const stream = new TunnelStream({
      send: (data, callback) => send(id, frameType.data, data, callback),
      close: (text) => send(id, frameType.error, Buffer.from(text).subarray(0, 100)),
      pause: () => send(id, frameType.pause, empty),
      resume: () => send(id, frameType.resume, empty),
      released: () => streams.delete(id),
    });
    streams.set(id, stream);
    return stream;
  };

  const end = (reason: string): void => {
    if (ended) return;
    ended = true;
    timer?.cancel();
    for (const stream of streams.values()) stream.peerClosed(`the tunnel ended: ${reason}`, false);
    streams.clear();
    socket.terminate();
    log.debug({ reason }, "tunnel session ended");
    done.resolve();
  };

  const tick = (): void => {
    const nowMs = clock.monotonic();
    if (nowMs - heardAtMs > SILENCE_MAX_MS) {
      end("nothing was heard for too long");
      return;
    }
    if (options.role === "client" && socket.readyState === socket.OPEN) socket.ping();
    if (nowMs - syncedAtMs >= SYNC_INTERVAL_MS) {
      syncedAtMs = nowMs;
      send(0, frameType.syncConnections, encodeConnectionIds(streams.keys()));
    }
    timer = clock.setTimer(
      options.role === "client" ? PING_INTERVAL_MS : SYNC_INTERVAL_MS / 2,
      tick,
    );
  };

  const onFrame = (frame: Frame): void => {
    const stream = streams.get(frame.connectionId);
    switch (frame.type) {
      case frameType.connect:
        void accept(frame.connectionId, frame.payload.toString());
        return;
      case frameType.data:
        if (stream === undefined)
          send(frame.connectionId, frameType.error, Buffer.from("connection not found"));
        else stream.receive(frame.payload);
        return;
      case frameType.error: {
        const text = frame.payload.toString();
        stream?.peerClosed(text, text === END_OF_STREAM);
        return;
      }
      case frameType.pause:
        stream?.peerPaused();
        return;
      case frameType.resume:
        stream?.peerResumed();
        return;
      case frameType.syncConnections: {
        const alive = decodeConnectionIds(frame.payload);
        for (const [id, known] of streams)
          if (!alive.has(id)) known.peerClosed("the peer no longer knows this connection", false);
        return;
      }
      case frameType.addClient:
      case frameType.removeClient:
        log.warn({ type: frame.type }, "peering frames are not supported");
        return;
    }
  };

  const accept = async (id: number, target: string): Promise<void> => {
    if (options.connect === undefined) {
      end("a connection was asked of the server side");
      return;
    }
    const slash = target.indexOf("/");
    const stream = createStream(id);
    stream.on("error", () => {});
    if (streams.size > CONNECTIONS_MAX) {
      stream.destroy(new Error("too many connections"));
      return;
    }
    const late = clock.setTimer(DIAL_MAX_MS, () =>
      stream.destroy(new Error(`dialing ${target} took too long`)),
    );
    try {
      const upstream = await options.connect(target.slice(0, slash), target.slice(slash + 1));
      if (upstream === undefined) {
        end(`connect not allowed: ${target}`);
        return;
      }
      relay(stream, upstream);
    } catch (error) {
      stream.destroy(error instanceof Error ? error : new Error(String(error)));
    } finally {
      late.cancel();
    }
  };

  socket.on("message", (data: Buffer | ArrayBuffer | Buffer[], isBinary: boolean) => {
    heardAtMs = clock.monotonic();
    if (!isBinary) return;
    try {
      const message = Buffer.isBuffer(data)
        ? data
        : Array.isArray(data)
          ? Buffer.concat(data)
          : Buffer.from(data);
      onFrame(decodeFrame(message));
    } catch (error) {
      log.warn({ err: error }, "tunnel frame not understood");
      end("a frame could not be understood");
    }
  });
  const heard = (): void => {
    heardAtMs = clock.monotonic();
  };
  socket.on("ping", heard);
  socket.on("pong", heard);
  socket.on("close", () => end("the socket closed"));
  socket.on("error", (error) => end(error.message));
  tick();

  return {
    open(protocol, address) {
      const id = nextConnection;
      nextConnection += 1;
      const stream = createStream(id);
      if (ended) stream.destroy(new Error("the tunnel is closed"));
      else if (streams.size > CONNECTIONS_MAX)
        stream.destroy(new Error("too many connections in this tunnel"));
      else send(id, frameType.connect, Buffer.from(`${protocol}/${address}`));
      return stream;
    },
    close: () => end("closed"),
    done: done.promise,
    get connections() {
      return streams.size;
    },
  };
}

/** Both ways with back-pressure; the end of one side half-closes the other, an error destroys both. */
export function relay(a: Duplex, b: Duplex): void {
  const fail = (error?: Error): void => {
    a.destroy(error);
    b.destroy(error);
  };
  a.on("error", () => fail());
  b.on("error", () => fail());
  a.on("close", () => b.destroy());
  b.on("close", () => a.destroy());
  a.pipe(b);
  b.pipe(a);
}
