import { execFile } from "node:child_process";
import { existsSync, globSync, realpathSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { promisify } from "node:util";
import { extractDebianPackage } from "./debian-extract.ts";
import { extractFromSuite } from "./debian-suite.ts";

export interface Kubectl {
  readonly path: string;
  /** "1.33.1" */
  readonly version: string;
  readonly minor: number;
}

/**
 * Every kubectl of this machine, one per minor version, newest first: the one in PATH, those that lie beside it as `kubectl.1.N`, and Debian's
 * of this release, trixie and sid, which are unpacked and not installed.
 */
export async function findKubectls(): Promise<Kubectl[]> {
  const candidates = new Set<string>();
  for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
    const file = join(folder, "kubectl");
    if (!existsSync(file)) continue;
    const real = realpathSync(file);
    candidates.add(real);
    for (const sibling of globSync(join(dirname(real), "kubectl.1.*"))) candidates.add(sibling);
  }
  const unpacked = await Promise.all([
    extractDebianPackage("kubernetes-client"),
    extractFromSuite("kubernetes-client", "trixie"),
    extractFromSuite("kubectl", "sid"),
  ]);
  for (const folder of unpacked)
    if (folder !== undefined) candidates.add(join(folder, "usr/bin/kubectl"));
  const found = (await Promise.all([...candidates].map(describe))).filter(
    (one) => one !== undefined,
  );
  found.sort((a, b) => b.minor - a.minor);
  return found.filter((one, index) => one.minor !== found[index - 1]?.minor);
}

async function describe(path: string): Promise<Kubectl | undefined> {
  try {
    const { stdout } = await promisify(execFile)(path, ["version", "--client", "--output=json"], {
      timeout: 20_000,
    });
    const { clientVersion } = JSON.parse(stdout) as {
      readonly clientVersion: { readonly gitVersion: string };
    };
    const version = clientVersion.gitVersion.replace(/^v/, "").replace(/[-+].*$/, "");
    return { path, version, minor: Number(version.split(".")[1]) };
  } catch {
    // Not a kubectl that runs here.
    return undefined;
  }
}
