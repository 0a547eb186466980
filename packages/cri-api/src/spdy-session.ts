import { finished } from "node:stream/promises";
import type { Duplex } from "node:stream";
import { parseRemoteCommandStatus } from "./remote-command-status.ts";
import { RuntimeError, type ExecOptions, type ExecSession } from "./runtime.ts";
import { SpdyConnection, type SpdyStream } from "./spdy/connection.ts";
import { PORT_FORWARD_PROTOCOL, REMOTE_COMMAND_PROTOCOLS, dialSpdy } from "./spdy/handshake.ts";

const STATUS_MAX_BYTES = 64 * 1024;

/** Runs an exec or attach against a runtime's streaming server: one SPDY connection, one stream per channel. */
export async function openSpdySession(
  url: string,
  options: Omit<ExecOptions, "command">,
): Promise<ExecSession> {
  const upgrade = await dialSpdy(url, REMOTE_COMMAND_PROTOCOLS);
  const connection = new SpdyConnection(upgrade.socket, { role: "client", head: upgrade.head });
  const open = (streamtype: string): SpdyStream => connection.openStream({ streamtype });

  const errorStream = open("error");
  const stdin = options.stdin ? open("stdin") : undefined;
  const stdout = options.stdout ? open("stdout") : undefined;
  const stderr = options.stderr && !options.tty ? open("stderr") : undefined;
  const resize = options.tty ? open("resize") : undefined;
  errorStream.end();
  stdin?.resume();
  resize?.resume();

  const exit = (async (): Promise<number> => {
    const outputs = [stdout, stderr].map((stream) =>
      stream === undefined ? undefined : outputEnd(stream),
    );
    const [text] = await Promise.all([readStatus(errorStream), ...outputs]);
    connection.close();
    if (text === "")
      throw new RuntimeError(
        "unavailable",
        "the runtime ended the stream without saying how the command ended",
      );
    const outcome = parseRemoteCommandStatus(text);
    if (outcome.kind === "failed") throw new RuntimeError("unknown", outcome.message);
    return outcome.exitCode;
  })();
  exit.catch(() => connection.destroy());

  return {
    stdin,
    stdout,
    stderr,
    resize(columns, rows) {
      resize?.write(`${JSON.stringify({ Width: columns, Height: rows })}\n`);
    },
    exit,
    close: () => connection.destroy(),
  };
}

/** A byte stream to one port of the sandbox. What the runtime says on the error stream destroys the stream with that message. */
export async function openSpdyPortForward(url: string, port: number): Promise<Duplex> {
  const upgrade = await dialSpdy(url, [PORT_FORWARD_PROTOCOL]);
  const connection = new SpdyConnection(upgrade.socket, { role: "client", head: upgrade.head });
  const headers = { port: String(port), requestid: "0" };
  const errorStream = connection.openStream({ ...headers, streamtype: "error" });
  const data = connection.openStream({ ...headers, streamtype: "data" });
  errorStream.end();
  readStatus(errorStream).then(
    (text) => {
      if (text !== "") data.destroy(new RuntimeError("unavailable", text));
    },
    (error: Error) => data.destroy(error),
  );
  data.once("close", () => connection.close());
  return data;
}

async function readStatus(stream: SpdyStream): Promise<string> {
  let text = "";
  stream.setEncoding("utf8");
  for await (const chunk of stream) {
    if (text.length < STATUS_MAX_BYTES) text += String(chunk);
  }
  return text;
}

async function outputEnd(stream: SpdyStream): Promise<void> {
  await finished(stream, { writable: false, cleanup: true });
}
