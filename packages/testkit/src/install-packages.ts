import { spawnSync } from "node:child_process";
import { existsSync, rmSync, writeFileSync, chmodSync } from "node:fs";
import { isInstalled } from "./debian-packages.ts";

export interface InstallResult {
  readonly missing: readonly string[];
  readonly reason?: string;
}

const POLICY = "/usr/sbin/policy-rc.d";

/**
 * Installs the Debian packages that are missing, without recommendations and without starting any of their services (a policy that says no is put
 * in place for the time of the installation where there is none). Without root or apt-get it installs nothing and says what is missing.
 */
export function installPackages(names: readonly string[]): InstallResult {
  const missing = names.filter((name) => !isInstalled(name));
  if (missing.length === 0) return { missing };
  if (process.getuid?.() !== 0) return { missing, reason: "installing needs root" };
  if (!existsSync("/usr/bin/apt-get")) return { missing, reason: "there is no apt-get here" };
  console.error(`installing from Debian: ${missing.join(" ")}`);
  const ownPolicy = !existsSync(POLICY);
  try {
    if (ownPolicy) {
      writeFileSync(POLICY, "#!/bin/sh\nexit 101\n");
      chmodSync(POLICY, 0o755);
    }
    const apt = (...args: string[]): boolean =>
      spawnSync(
        "apt-get",
        ["-qq", "-o", "Dpkg::Use-Pty=0", "-o", "DPkg::Lock::Timeout=120", ...args],
        {
          stdio: ["ignore", "ignore", "inherit"],
          env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
        },
      ).status === 0;
    const installed =
      apt("install", "-y", "--no-install-recommends", ...missing) ||
      (apt("update") && apt("install", "-y", "--no-install-recommends", ...missing));
    return installed
      ? { missing: [] }
      : { missing: names.filter((name) => !isInstalled(name)), reason: "apt-get failed" };
  } finally {
    if (ownPolicy) rmSync(POLICY, { force: true });
  }
}
