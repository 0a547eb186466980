import { execFile } from "node:child_process";
import { existsSync, globSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/**
 * Unpacks a Debian package of this machine's archive into a folder of its own (kept in the user's cache), without installing it. Returns the folder, or
 * undefined where there is no apt-get or the archive cannot be reached; tests that want the package then skip by name.
 */
export async function extractDebianPackage(name: string): Promise<string | undefined> {
  const folder = join(
    process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"),
    "wherry-testkit",
    name,
  );
  if (existsSync(folder)) return folder;
  const scratch = await mkdtemp(join(tmpdir(), "deb-"));
  try {
    await download(name, scratch);
    const [file] = globSync(join(scratch, "*.deb"));
    if (file === undefined) return undefined;
    const unpacked = join(scratch, "unpacked");
    await run("dpkg", ["-x", file, unpacked]);
    await mkdir(join(folder, ".."), { recursive: true });
    // Another process may have been faster; its copy is as good.
    await rename(unpacked, folder).catch(() => {});
    return existsSync(folder) ? folder : undefined;
  } catch {
    // No apt-get, no archive, no such package: the caller skips.
    return undefined;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function download(name: string, cwd: string): Promise<void> {
  const fetch = (): Promise<unknown> =>
    run("apt-get", ["download", "-qq", "-o", "APT::Sandbox::User=root", name], {
      cwd,
      timeout: 120_000,
    });
  try {
    await fetch();
  } catch {
    // The package lists of a fresh machine are empty or old.
    await run("apt-get", ["update", "-qq"], { timeout: 120_000 });
    await fetch();
  }
}
