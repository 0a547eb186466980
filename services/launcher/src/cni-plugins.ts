import { existsSync } from "node:fs";
import { join } from "node:path";

const SYSTEM_FOLDERS = ["/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"];
/** What the pod network's configuration names, and `loopback`, which containerd runs for every pod. */
const NEEDED = ["bridge", "host-local", "loopback"];

/** The folder that holds the CNI plugins that a node needs: `<data-dir>/bin/cni` first, then the distributions'. Throws saying what to install. */
export function findCniPlugins(dataDir: string): string {
  const folders = [join(dataDir, "bin/cni"), ...SYSTEM_FOLDERS];
  const found = folders.find((folder) => NEEDED.every((name) => existsSync(join(folder, name))));
  if (found !== undefined) return found;
  throw new Error(`the CNI plugins ${NEEDED.join(", ")} were not found in ${folders.join(":")}; install them (Debian and Ubuntu: apt-get install containernetworking-plugins)`);
}
