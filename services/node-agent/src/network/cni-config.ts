import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** The name that K3s' and flannel's users know. */
export const CNI_CONFIG_FILE = "10-flannel.conflist";
/** The network's name in the configuration, and so the folder of host-local's leases. */
export const CNI_NETWORK = "cbr0";
export const BRIDGE = "cni0";

export interface CniConfigOptions {
  readonly podCidr: string;
  readonly mtu: number;
  readonly leaseDir: string;
  /** The bandwidth plugin is installed. */
  readonly bandwidth: boolean;
}

/** Bridge and host-local leases; host ports are rules of the service table, not a plugin's. */
export function cniConfig(options: CniConfigOptions): string {
  const bridge = {
    type: "bridge",
    bridge: BRIDGE,
    isGateway: true,
    isDefaultGateway: true,
    forceAddress: true,
    ipMasq: false,
    hairpinMode: true,
    mtu: options.mtu,
    ipam: {
      type: "host-local",
      dataDir: options.leaseDir,
      ranges: [[{ subnet: options.podCidr }]],
    },
  };
  const plugins = options.bandwidth
    ? [bridge, { type: "bandwidth", capabilities: { bandwidth: true } }]
    : [bridge];
  return `${JSON.stringify({ cniVersion: "1.0.0", name: CNI_NETWORK, plugins }, undefined, 2)}\n`;
}

/** Writes the file unless it has this content already: containerd watches the folder. */
export async function writeCniConfig(dir: string, text: string): Promise<void> {
  const file = join(dir, CNI_CONFIG_FILE);
  const current = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (current === text) return;
  await mkdir(dir, { recursive: true, mode: 0o700 });
  // The name must not end like a configuration until it is whole.
  const temporary = join(dir, `.${CNI_CONFIG_FILE}.new`);
  await writeFile(temporary, text, { mode: 0o600 });
  await rename(temporary, file);
}
