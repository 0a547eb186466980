import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { ContainerdError } from "./containerd-error.ts";

/** Folders that a service's PATH has, and one more for what was installed by hand. */
export const DEFAULT_SEARCH_PATH: readonly string[] = [
  "/usr/local/sbin",
  "/usr/local/bin",
  "/usr/sbin",
  "/usr/bin",
  "/sbin",
  "/bin",
];

const VERSION_TIMEOUT_MS = 10_000;

export interface ContainerdPrograms {
  readonly containerd: string;
  readonly version: ContainerdVersion;
  readonly runc: string | undefined;
  readonly crun: string | undefined;
}

export interface ContainerdVersion {
  readonly major: number;
  readonly minor: number;
  readonly text: string;
}

/** Finds containerd and a low-level runtime, or says what to install. */
export async function findPrograms(searchPath: readonly string[]): Promise<ContainerdPrograms> {
  const [containerd, runc, crun] = await Promise.all(
    ["containerd", "runc", "crun"].map((name) => findProgram(name, searchPath)),
  );
  const missing = [
    ...(containerd === undefined ? ["containerd"] : []),
    ...(runc === undefined && crun === undefined ? ["runc"] : []),
  ];
  if (containerd === undefined || missing.length > 0) {
    throw new ContainerdError(
      "notInstalled",
      `${missing.join(" and ")} not found in ${searchPath.join(":")}. Install it (Debian and Ubuntu: apt-get install containerd runc containernetworking-plugins), or name a running runtime with --container-runtime-endpoint`,
    );
  }
  const version = parseVersion(await versionText(containerd));
  return { containerd, version, runc, crun };
}

export async function findProgram(
  name: string,
  searchPath: readonly string[],
): Promise<string | undefined> {
  for (const folder of searchPath) {
    const file = join(folder, name);
    try {
      await access(file, constants.X_OK);
      return file;
    } catch {
      // Not in this folder.
    }
  }
  return undefined;
}

/** From `containerd github.com/containerd/containerd v1.6.20 …`; Debian writes `1.6.20~ds1`. */
export function parseVersion(text: string): ContainerdVersion {
  const match = /\bv?(\d+)\.(\d+)\.\d+\S*/.exec(text);
  const [major, minor] = [Number(match?.[1] ?? 0), Number(match?.[2] ?? 0)];
  if (match === null || major < 1 || (major === 1 && minor < 6)) {
    throw new ContainerdError(
      "unsupportedVersion",
      `containerd says ${JSON.stringify(text.trim())}; 1.6 or newer is needed`,
    );
  }
  return { major, minor, text: match[0] };
}

async function versionText(program: string): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(program, ["--version"], {
      timeout: VERSION_TIMEOUT_MS,
    });
    return stdout;
  } catch (error) {
    throw new ContainerdError(
      "startFailed",
      `${program} --version failed: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    );
  }
}
