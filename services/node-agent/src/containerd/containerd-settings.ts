import { join } from "node:path";
import { PAUSE_IMAGE_REFERENCE } from "@wherry/cri-api";
import type { ContainerdSettings } from "./config-toml.ts";
import type { HostFacts } from "./host-facts.ts";
import { findProgram, type ContainerdPrograms } from "./programs.ts";
import { recordFile } from "./terminate.ts";

export interface ContainerdConfig {
  /** The data directory; K3s' layout inside: `agent/containerd`, `agent/etc/containerd`, `agent/etc/cni/net.d`. */
  readonly dataDir: string;
  /** State, socket and record; gone after a reboot. */
  readonly stateDir?: string;
  /** `containerd.sock` in the state directory by default. */
  readonly socket?: string;
  readonly snapshotter?: string;
  /** Folders with CNI plugins, first one that exists for 1.x; `<data-dir>/bin/cni` and the distributions' folders by default. */
  readonly cniBinDirs?: readonly string[];
  readonly cniConfDir?: string;
  /** Must be what the pods' cgroup parents are written for. */
  readonly cgroupDriver?: "cgroupfs" | "systemd";
  /** Where programs are looked for, `<data-dir>/bin` first. It is also containerd's PATH, in which it finds its shim. */
  readonly searchPath?: readonly string[];
  /** More environment for containerd, such as HTTPS_PROXY for image pulls. */
  readonly environment?: Readonly<Record<string, string>>;
}

export const DEFAULT_STATE_DIR = "/run/wherry/containerd";

const CNI_BIN_DIRS = ["/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"];

export interface ContainerdPaths {
  readonly root: string;
  readonly stateDir: string;
  readonly socket: string;
  readonly configFile: string;
  readonly recordFile: string;
  readonly logFile: string;
  readonly registryConfigDir: string;
  readonly cniConfDir: string;
}

export function pathsOf(config: ContainerdConfig): ContainerdPaths {
  const stateDir = config.stateDir ?? DEFAULT_STATE_DIR;
  const root = join(config.dataDir, "agent/containerd");
  return {
    root,
    stateDir,
    socket: config.socket ?? join(stateDir, "containerd.sock"),
    configFile: join(config.dataDir, "agent/etc/containerd/config.toml"),
    recordFile: recordFile(stateDir),
    logFile: join(root, "containerd.log"),
    registryConfigDir: join(config.dataDir, "agent/etc/containerd/certs.d"),
    cniConfDir: config.cniConfDir ?? join(config.dataDir, "agent/etc/cni/net.d"),
  };
}

/** The configuration for this host, its programs and what was asked for. */
export async function settingsFor(
  config: ContainerdConfig,
  paths: ContainerdPaths,
  programs: ContainerdPrograms,
  facts: HostFacts,
): Promise<ContainerdSettings> {
  const crun = facts.hasHybridCgroups && programs.runc !== undefined ? undefined : programs.crun;
  const runtimes = {
    ...(programs.runc === undefined ? {} : { runc: programs.runc }),
    ...(crun === undefined ? {} : { crun }),
  };
  return {
    version: programs.version,
    root: paths.root,
    state: paths.stateDir,
    socket: paths.socket,
    sandboxImage: PAUSE_IMAGE_REFERENCE,
    snapshotter: config.snapshotter ?? "overlayfs",
    cniBinDirs: await existingCniFolders(config),
    cniConfDir: paths.cniConfDir,
    registryConfigDir: paths.registryConfigDir,
    runtimes,
    defaultRuntime: crun === undefined ? "runc" : "crun",
    systemdCgroup: config.cgroupDriver === "systemd",
    disableAppArmor: !facts.hasAppArmor,
    restrictOomScore: !facts.mayRaiseLimits,
  };
}

async function existingCniFolders(config: ContainerdConfig): Promise<readonly string[]> {
  const candidates = config.cniBinDirs ?? [join(config.dataDir, "bin/cni"), ...CNI_BIN_DIRS];
  const found: string[] = [];
  for (const folder of candidates) {
    if ((await findProgram("loopback", [folder])) !== undefined) found.push(folder);
  }
  return found.length > 0 ? found : candidates.slice(-1);
}
