import assert from "node:assert/strict";
import { once } from "node:events";
import type { Machine } from "@wherry/testkit";
import { launcherMain, node26 } from "./cluster.ts";

/** A run of the command that has come to its end. */
export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunWherryOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Stands before the command: `setpriv --reuid=65534 …`. */
  readonly prefix?: readonly string[];
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 20_000;

/** Runs `wherry ARGS` in a machine to its end. A command that goes on running although it should have failed is ended, and rejects with what it said. */
export async function runWherry(
  machine: Machine,
  args: readonly string[],
  options: RunWherryOptions = {},
): Promise<Ended> {
  const child = machine.spawn([...(options.prefix ?? []), node26, launcherMain, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: process.env["PATH"], HOME: "/root", ...options.env },
  });
  const read = { stdout: "", stderr: "" };
  child.stdout?.on("data", (data: Buffer) => (read.stdout += data.toString()));
  child.stderr?.on("data", (data: Buffer) => (read.stderr += data.toString()));
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, options.timeoutMs ?? TIMEOUT_MS);
  const [code] = (await once(child, "close")) as [number | null];
  clearTimeout(timer);
  if (late)
    throw new Error(`wherry ${args.join(" ")} did not end; it said:\n${read.stdout}${read.stderr}`);
  return { code, ...read };
}

/** What every failure looks like: the exit code, one line behind what was logged, no stack, and in it all that `expected` names. */
export function assertFailure(
  ended: Ended,
  code: 1 | 2,
  ...expected: readonly (RegExp | string)[]
): void {
  const said = ended.stderr
    .split("\n")
    .filter((line) => line !== "" && !/^time="[^"]*" level=(info|warning|debug) /.test(line));
  assert.equal(said.length, 1, `not one line of error:\n${ended.stderr}`);
  const [line = ""] = said;
  assert.match(line, /^error: \S/);
  assert.doesNotMatch(ended.stderr, /^\s+at /m, "a stack was printed");
  assert.equal(ended.stdout, "");
  for (const one of expected) {
    if (typeof one === "string") assert.ok(line.includes(one), `"${one}" is not in: ${line}`);
    else assert.match(line, one);
  }
  assert.equal(ended.code, code, line);
}

/** A user who is not root and has no home. */
export const asNobody: readonly string[] = [
  "setpriv",
  "--reuid=65534",
  "--regid=65534",
  "--clear-groups",
];

/** Starts a program in the background of a machine and gives what it has written so far, line by line as it is asked. */
export interface Background {
  readonly output: () => string;
  readonly ended: Promise<number | null>;
  kill(signal: NodeJS.Signals): Promise<number | null>;
}

export function startWherry(
  machine: Machine,
  args: readonly string[],
  options: Omit<RunWherryOptions, "timeoutMs"> = {},
): Background {
  const child = machine.spawn([...(options.prefix ?? []), node26, launcherMain, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: process.env["PATH"], HOME: "/root", ...options.env },
  });
  let text = "";
  for (const stream of [child.stdout, child.stderr])
    stream?.on("data", (data: Buffer) => (text += data.toString()));
  const ended = once(child, "close").then(([code]) => code as number | null);
  return {
    output: () => text,
    ended,
    async kill(signal) {
      child.kill(signal);
      return await ended;
    },
  };
}
