import { execFile } from "node:child_process";
import { existsSync, globSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";
const UPDATE_TIMEOUT_MS = 90_000;

/**
 * Unpacks a package of another Debian suite ("trixie", "sid") from this machine's own mirror, with a configuration of its own so that the host's apt is not touched,
 * and without installing it. Returns the folder (kept in the user's cache), or undefined where it cannot be had.
 */
export async function extractFromSuite(name: string, suite: string): Promise<string | undefined> {
  const cache = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "wherry-testkit");
  const folder = join(cache, `${name}-${suite}`);
  if (existsSync(folder)) return folder;
  const scratch = await mkdtemp(join(tmpdir(), "suite-"));
  try {
    const mirror = await ownMirror();
    if (mirror === undefined || !existsSync(KEYRING)) return undefined;
    for (const sub of ["lists/partial", "cache/archives/partial"])
      await mkdir(join(scratch, sub), { recursive: true });
    await writeFile(
      join(scratch, "sources.list"),
      `deb [signed-by=${KEYRING}] ${mirror} ${suite} main\n`,
    );
    const options = [
      `Dir::Etc::SourceList=${scratch}/sources.list`,
      "Dir::Etc::SourceParts=/dev/null",
      `Dir::State::Lists=${scratch}/lists`,
      `Dir::Cache=${scratch}/cache`,
      "Dir::State::Status=/dev/null",
      "APT::Sandbox::User=root",
      "Acquire::Languages=none",
    ].flatMap((option) => ["-o", option]);
    await run("apt-get", [...options, "-qq", "update"], { timeout: UPDATE_TIMEOUT_MS });
    await run("apt-get", [...options, "-qq", "download", name], {
      cwd: scratch,
      timeout: UPDATE_TIMEOUT_MS,
    });
    const [file] = globSync(join(scratch, "*.deb"));
    if (file === undefined) return undefined;
    await run("dpkg", ["-x", file, join(scratch, "unpacked")]);
    await mkdir(cache, { recursive: true });
    // Another process may have been faster; its copy is as good.
    await rename(join(scratch, "unpacked"), folder).catch(() => {});
    return existsSync(folder) ? folder : undefined;
  } catch {
    // No root, no archive, no such package or suite: the caller skips.
    return undefined;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Where this machine gets its own packages from. */
async function ownMirror(): Promise<string | undefined> {
  for (const file of globSync("/etc/apt/sources.list.d/*.sources")) {
    const uri = /^URIs: *(\S+)/m.exec(await readFile(file, "utf8"))?.[1];
    if (uri !== undefined && /debian\/?$/.test(uri)) return uri;
  }
  const list = await readFile("/etc/apt/sources.list", "utf8").catch(() => "");
  return /^deb (?:\[[^\]]*\] )?(\S+)/m.exec(list)?.[1];
}
