import { spawnSync } from "node:child_process";

/** What running containers needs. */
export const NODE_PACKAGES = [
  "containerd",
  "runc",
  "containernetworking-plugins",
  "nftables",
  "conntrack",
  "iproute2",
] as const;

/** What the tests use from Debian; `npm test` installs it as root. */
export const TEST_PACKAGES = [...NODE_PACKAGES, "etcd-server", "etcd-client"] as const;

export function isInstalled(name: string): boolean {
  const { stdout } = spawnSync("dpkg-query", ["-W", "-f=${db:Status-Status}", name], {
    encoding: "utf8",
  });
  return stdout === "installed";
}

/** Name and version of each installed package of the list: part of what a cached test result depends on. */
export function installedVersions(names: readonly string[]): string {
  const { stdout } = spawnSync("dpkg-query", ["-W", "-f=${Package}=${Version} ", ...names], {
    encoding: "utf8",
  });
  return stdout ?? "";
}
