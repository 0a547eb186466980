import type { Duplex } from "node:stream";
import { createInterface } from "node:readline";
import {
  SpdyConnection,
  type ExecOptions,
  type ExecSession,
  type SpdyStream,
} from "@wherry/cri-api";
import { failureText, sessionOutcome } from "./session-outcome.ts";
import { parseSize } from "./remote-command-websocket.ts";

/** Upstream's time for a client to open all its streams. */
const STREAMS_WITHIN_MS = 30_000;

/** Serves a SPDY client ourselves: for runtimes without a streaming server. */
export async function runSpdySession(
  socket: Duplex,
  head: Buffer,
  options: ExecOptions,
  open: () => Promise<ExecSession>,
): Promise<void> {
  const { connection, streams } = await collectStreams(socket, head, expectedStreams(options));
  const errors = streams.get("error");
  let session: ExecSession;
  try {
    session = await open();
  } catch (error) {
    errors?.end(failureText(error), () => connection.close());
    return;
  }
  void connection.closed.then(() => session.close());
  const stdin = streams.get("stdin");
  if (stdin !== undefined && session.stdin !== undefined) stdin.pipe(session.stdin);
  const outputs = [
    [session.stdout, streams.get("stdout")],
    [session.stderr, streams.get("stderr")],
  ] as const;
  const written = outputs.map(async ([from, to]) => {
    if (from !== undefined && to !== undefined) await pipeToEnd(from, to);
  });
  followSizes(streams.get("resize"), session);
  const status = await sessionOutcome(session);
  await Promise.all(written);
  errors?.end(status, () => connection.close());
}

function expectedStreams(options: ExecOptions): readonly string[] {
  return [
    "error",
    ...(options.stdin ? ["stdin"] : []),
    ...(options.stdout ? ["stdout"] : []),
    ...(options.stderr ? ["stderr"] : []),
    ...(options.tty ? ["resize"] : []),
  ];
}

async function collectStreams(
  socket: Duplex,
  head: Buffer,
  expected: readonly string[],
): Promise<{
  readonly connection: SpdyConnection;
  readonly streams: ReadonlyMap<string, SpdyStream>;
}> {
  const streams = new Map<string, SpdyStream>();
  const complete = Promise.withResolvers<void>();
  const connection = new SpdyConnection(socket, {
    role: "server",
    head,
    onStream: (stream) => {
      stream.reply();
      streams.set(stream.headers["streamtype"] ?? "", stream);
      if (expected.every((name) => streams.has(name))) complete.resolve();
    },
  });
  const timer = setTimeout(
    () => complete.reject(new Error("the client did not open its streams in time")),
    STREAMS_WITHIN_MS,
  );
  timer.unref();
  void connection.closed.then((error) =>
    complete.reject(error ?? new Error("the client went away before it had opened its streams")),
  );
  try {
    await complete.promise;
  } catch (error) {
    connection.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
  }
  return { connection, streams };
}

function pipeToEnd(from: NodeJS.ReadableStream, to: SpdyStream): Promise<void> {
  return new Promise((resolve) => {
    to.once("finish", resolve);
    to.once("close", resolve);
    from.pipe(to);
  });
}

function followSizes(stream: SpdyStream | undefined, session: ExecSession): void {
  if (stream === undefined) return;
  createInterface({ input: stream }).on("line", (line) => {
    const size = parseSize(Buffer.from(line));
    if (size !== undefined) session.resize(size.columns, size.rows);
  });
}
