import { accessSync, constants, existsSync } from "node:fs";
import { delimiter, join } from "node:path";

export interface NodeToolsOptions {
  readonly dataDir: string;
  /** The PATH that the node's commands are run with. */
  readonly path: string;
  /** False where `--container-runtime-endpoint` names a containerd that runs already. */
  readonly managesContainerd: boolean;
  /** False with `--flannel-backend none`: then someone else configures the pods' network. */
  readonly managesNetwork: boolean;
}

export interface NodeTools {
  /** The folder with the CNI plugins; undefined where the network is someone else's. */
  readonly cniBinDir: string | undefined;
}

/** Where containerd and runc are looked for beside PATH: the folders that a service's PATH has. */
const PROGRAM_FOLDERS = [
  "/usr/local/sbin",
  "/usr/local/bin",
  "/usr/sbin",
  "/usr/bin",
  "/sbin",
  "/bin",
];
const CNI_FOLDERS = ["/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"];
/** What the pod network's configuration names, and `loopback`, which containerd runs for every pod. */
const CNI_PLUGINS = ["bridge", "host-local", "loopback"];

/** Looks for everything that a node runs, before anything is started. Throws naming all that is missing, with the packages that bring it. */
export function findNodeTools(options: NodeToolsOptions): NodeTools {
  const inPath = options.path.split(delimiter).filter((folder) => folder !== "");
  const beside = [join(options.dataDir, "bin"), ...PROGRAM_FOLDERS];
  const missing: { readonly what: string; readonly from: string }[] = [];
  const need = (what: string, from: string, found: boolean): void => {
    if (!found) missing.push({ what, from });
  };
  if (options.managesContainerd) {
    need("containerd", "containerd", hasProgram("containerd", beside));
    need("runc", "runc", hasProgram("runc", beside) || hasProgram("crun", beside));
  }
  const cniFolders = [join(options.dataDir, "bin/cni"), ...CNI_FOLDERS];
  const cniBinDir = options.managesNetwork
    ? cniFolders.find((folder) => CNI_PLUGINS.every((name) => existsSync(join(folder, name))))
    : undefined;
  if (options.managesNetwork)
    need(
      `the CNI plugins ${CNI_PLUGINS.join(", ")} (in ${cniFolders.join(" or ")})`,
      "containernetworking-plugins",
      cniBinDir !== undefined,
    );
  need("nft", "nftables", hasProgram("nft", inPath));
  need("ip", "iproute2", hasProgram("ip", inPath));
  need("conntrack", "conntrack", hasProgram("conntrack", inPath));
  if (missing.length === 0) return { cniBinDir };
  const advice = missing.some((one) => one.what === "containerd")
    ? ", or name a containerd that runs already with --container-runtime-endpoint"
    : "";
  throw new Error(
    `not found on this machine: ${missing.map((one) => one.what).join("; ")}. Install it (Debian and Ubuntu: apt-get install ${missing.map((one) => one.from).join(" ")})${advice}`,
  );
}

function hasProgram(name: string, folders: readonly string[]): boolean {
  return folders.some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return true;
    } catch {
      // Not in this folder.
      return false;
    }
  });
}
