import type { Duplex } from "node:stream";
import type { RawData, WebSocket } from "ws";
import { KubeletHttpError } from "./kubelet-http-error.ts";

const PORTS_MAX = 64;
const PENDING_HIGH_BYTES = 1024 * 1024;
const PENDING_LOW_BYTES = 256 * 1024;

/** `port` parameters, each one or several numbers with commas. */
export function parsePorts(parameters: URLSearchParams): readonly number[] {
  const ports = parameters
    .getAll("port")
    .concat(parameters.getAll("ports"))
    .flatMap((text) => text.split(","))
    .map(Number);
  if (ports.length === 0) throw new KubeletHttpError(400, 'query parameter "port" is required\n');
  if (
    ports.length > PORTS_MAX ||
    ports.some((port) => !Number.isInteger(port) || port < 1 || port > 65_535)
  ) {
    throw new KubeletHttpError(
      400,
      `port ${JSON.stringify(parameters.getAll("port").join(","))} is invalid, it must be between 1 and 65535\n`,
    );
  }
  return ports;
}

/**
 * Port-forward over numbered channels: port i has channel 2i for data and 2i+1 for errors, and each channel begins with the port as two bytes, low
 * byte first. Ending one direction is not possible here; the connection of a port ends with the WebSocket.
 */
export function runPortChannels(
  socket: WebSocket,
  ports: readonly number[],
  base64: boolean,
  open: (port: number) => Promise<Duplex>,
): void {
  const upstreams = new Map<number, Duplex>();
  let pendingBytes = 0;
  const send = (channel: number, data: Buffer, sent?: () => void): void => {
    const message = base64
      ? `${String.fromCharCode(0x30 + channel)}${data.toString("base64")}`
      : Buffer.concat([Buffer.from([channel]), data]);
    if (socket.readyState === socket.OPEN) socket.send(message, sent);
  };
  const connect = async (port: number, index: number): Promise<void> => {
    const portBytes = Buffer.from([port & 0xff, port >> 8]);
    send(2 * index, portBytes);
    send(2 * index + 1, portBytes);
    const fail = (error: Error): void =>
      send(2 * index + 1, Buffer.from(`error forwarding port ${port}: ${error.message}`));
    try {
      const upstream = await open(port);
      if (socket.readyState !== socket.OPEN) {
        upstream.destroy();
        return;
      }
      upstreams.set(index, upstream);
      upstream.on("error", fail);
      upstream.on("data", (chunk: Buffer) => {
        pendingBytes += chunk.length;
        send(2 * index, chunk, () => {
          pendingBytes -= chunk.length;
          if (pendingBytes < PENDING_LOW_BYTES)
            for (const other of upstreams.values()) other.resume();
        });
        if (pendingBytes > PENDING_HIGH_BYTES) upstream.pause();
      });
    } catch (error) {
      fail(error as Error);
    }
  };
  socket.on("error", () => socket.terminate());
  socket.on("close", () => {
    for (const upstream of upstreams.values()) upstream.destroy();
  });
  // Nothing is read until every port stands, so that no early byte is lost.
  socket.pause();
  socket.on("message", (data: RawData) => {
    const bytes = Array.isArray(data)
      ? Buffer.concat(data)
      : Buffer.isBuffer(data)
        ? data
        : Buffer.from(data);
    const channel = (bytes[0] ?? 0) - (base64 ? 0x30 : 0);
    const payload = base64 ? Buffer.from(bytes.toString("latin1", 1), "base64") : bytes.subarray(1);
    const upstream = channel % 2 === 0 ? upstreams.get(channel / 2) : undefined;
    if (upstream?.writable !== true || upstream.write(payload)) return;
    socket.pause();
    upstream.once("drain", () => socket.resume());
    upstream.once("close", () => socket.resume());
  });
  void Promise.all(ports.map(connect)).then(() => socket.resume());
}
