import { spawn } from "node:child_process";
import { access, mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { delimiter, join } from "node:path";
import { tmpdir } from "node:os";

/** A real etcd of one member, for tests that need the original. */
export interface RealEtcd {
  readonly endpoint: string;
  stop(): Promise<void>;
}

const START_TIMEOUT_MS = 15_000;

/** Starts `etcd` from the PATH on free ports and a directory of its own; undefined when it is not installed. */
export async function startEtcd(path: string | undefined): Promise<RealEtcd | undefined> {
  const binary = await findInPath("etcd", path);
  if (binary === undefined) return undefined;
  const folder = await mkdtemp(join(tmpdir(), "wherry-etcd-"));
  const endpoint = `http://127.0.0.1:${await freePort()}`;
  const peer = `http://127.0.0.1:${await freePort()}`;
  const child = spawn(
    binary,
    [
      ["--data-dir", folder],
      ["--listen-client-urls", endpoint, "--advertise-client-urls", endpoint],
      [
        "--listen-peer-urls",
        peer,
        "--initial-advertise-peer-urls",
        peer,
        "--initial-cluster",
        `default=${peer}`,
      ],
      ["--logger", "zap", "--log-level", "error"],
    ].flat(),
    { stdio: "ignore" },
  );
  const exited = new Promise<void>((resolve) => {
    child.once("exit", () => resolve());
    child.once("error", () => resolve());
  });
  const stop = async (): Promise<void> => {
    child.kill("SIGKILL");
    await exited;
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await healthy(endpoint, exited);
  } catch (error) {
    await stop();
    throw error;
  }
  return { endpoint, stop };
}

async function healthy(endpoint: string, exited: Promise<void>): Promise<void> {
  let isGone = false;
  void exited.then(() => {
    isGone = true;
  });
  const deadline = AbortSignal.timeout(START_TIMEOUT_MS);
  while (!isGone && !deadline.aborted) {
    try {
      const response = await fetch(`${endpoint}/health`, { signal: deadline });
      if (((await response.json()) as { readonly health?: string }).health === "true") return;
    } catch {
      // Not listening yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(
    isGone ? "etcd ended while it started" : `etcd was not healthy after ${START_TIMEOUT_MS} ms`,
  );
}

async function findInPath(name: string, path = ""): Promise<string | undefined> {
  for (const folder of path.split(delimiter).filter((entry) => entry !== "")) {
    const file = join(folder, name);
    try {
      await access(file);
      return file;
    } catch {
      // Look in the next folder.
    }
  }
  return undefined;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  await new Promise((resolve) => {
    server.close(resolve);
  });
  if (address === null || typeof address === "string") throw new Error("no free port");
  return address.port;
}
