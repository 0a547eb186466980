/**
 * Runs inside a network namespace for tests: listens and connects on request. One JSON object per line each way on standard input and output;
 * ends with its standard input.
 */
import dgram from "node:dgram";
import net from "node:net";
import { createInterface } from "node:readline";

interface ProbeRequest {
  readonly id: number;
  readonly action: "listen" | "ask";
  readonly protocol: "tcp" | "udp";
  readonly address: string;
  readonly port: number;
  /** listen: what every client is told, followed by a space and the client's address. */
  readonly reply?: string;
  readonly localAddress?: string;
  readonly localPort?: number;
  readonly timeoutMs?: number;
}

createInterface({ input: process.stdin }).on("line", (line) => {
  const request = JSON.parse(line) as ProbeRequest;
  const answer = (result: string): void =>
    void process.stdout.write(`${JSON.stringify({ id: request.id, result })}\n`);
  if (request.action === "listen") listen(request, answer);
  else if (request.protocol === "tcp") askTcp(request, answer);
  else askUdp(request, answer);
});
process.stdin.on("end", () => process.exit(0));

function listen(request: ProbeRequest, answer: (result: string) => void): void {
  if (request.protocol === "tcp") {
    const server = net.createServer((socket) => {
      socket.on("error", () => {});
      socket.end(`${request.reply} ${socket.remoteAddress}`);
    });
    server.on("error", (error: NodeJS.ErrnoException) => answer(error.code ?? "error"));
    server.listen(request.port, request.address, () => answer("listening"));
    return;
  }
  const socket = dgram.createSocket(request.address.includes(":") ? "udp6" : "udp4");
  socket.on("message", (_message, remote) =>
    socket.send(`${request.reply} ${remote.address}`, remote.port, remote.address),
  );
  socket.on("error", (error: NodeJS.ErrnoException) => answer(error.code ?? "error"));
  socket.bind(request.port, request.address, () => answer("listening"));
}

function askTcp(request: ProbeRequest, answer: (result: string) => void): void {
  const socket = net.connect({
    host: request.address,
    port: request.port,
    ...(request.localAddress === undefined ? {} : { localAddress: request.localAddress }),
  });
  let text = "";
  let said = false;
  const finish = (result: string): void => {
    if (said) return;
    said = true;
    clearTimeout(timer);
    socket.destroy();
    answer(result);
  };
  const timer = setTimeout(() => finish("timeout"), request.timeoutMs ?? 2_000);
  socket.on("data", (chunk) => (text += chunk.toString()));
  socket.on("end", () => finish(text));
  socket.on("error", (error: NodeJS.ErrnoException) => finish(error.code ?? "error"));
}

function askUdp(request: ProbeRequest, answer: (result: string) => void): void {
  const socket = dgram.createSocket(request.address.includes(":") ? "udp6" : "udp4");
  const finish = (result: string): void => {
    clearTimeout(timer);
    socket.close();
    answer(result);
  };
  const timer = setTimeout(() => finish("timeout"), request.timeoutMs ?? 2_000);
  socket.once("message", (message) => finish(message.toString()));
  socket.once("error", (error: NodeJS.ErrnoException) => finish(error.code ?? "error"));
  socket.bind(request.localPort ?? 0, request.localAddress, () =>
    socket.connect(request.port, request.address, (error?: Error) =>
      error === undefined || error === null ? socket.send("ask") : finish("unreachable"),
    ),
  );
}
