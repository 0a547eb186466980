import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export interface ProbeTarget {
  readonly protocol?: "tcp" | "udp";
  readonly address: string;
  readonly port: number;
}

/** A process inside a namespace that listens and connects for a test. */
export interface NetworkProbe {
  /** Answers every client with `reply`, a space and the client's address as the listener sees it. */
  listen(target: ProbeTarget & { readonly reply: string }): Promise<void>;
  /** What the listener said, or the error's code (`ECONNREFUSED`, `EHOSTUNREACH` …), or "timeout". */
  ask(
    target: ProbeTarget & {
      readonly localAddress?: string;
      readonly localPort?: number;
      readonly timeoutMs?: number;
    },
  ): Promise<string>;
  close(): Promise<void>;
}

/** `prefix` is what runs a command inside the namespace. */
export async function openProbe(prefix: readonly string[]): Promise<NetworkProbe> {
  const worker = fileURLToPath(new URL("./probe-worker.ts", import.meta.url));
  const child = spawn("env", [...prefix, process.execPath, worker], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  await once(child, "spawn");
  const waiting = new Map<number, (result: string) => void>();
  let lastId = 0;
  createInterface({ input: child.stdout }).on("line", (line) => {
    const { id, result } = JSON.parse(line) as { id: number; result: string };
    waiting.get(id)?.(result);
    waiting.delete(id);
  });
  const send = (message: object): Promise<string> => {
    const id = (lastId += 1);
    const { promise, resolve } = Promise.withResolvers<string>();
    waiting.set(id, resolve);
    child.stdin.write(`${JSON.stringify({ id, ...message })}\n`);
    return promise;
  };
  return {
    async listen(target) {
      const result = await send({ action: "listen", protocol: "tcp", ...target });
      if (result !== "listening")
        throw new Error(`listening on ${target.address}:${target.port} failed: ${result}`);
    },
    ask: (target) => send({ action: "ask", protocol: "tcp", ...target }),
    async close() {
      const ended = once(child, "exit");
      child.stdin.end();
      await ended;
    },
  };
}
