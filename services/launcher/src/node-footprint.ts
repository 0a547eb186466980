import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeSecret } from "@wherry/pki";

/** Where a node leaves things outside its data folder: what `wherry killall` has to know, whatever flags the node was started with. */
export interface NodeFootprint {
  readonly kubeletRoot: string;
  readonly cgroupRoot: string;
  readonly clusterDns: string;
  readonly clusterCidr: string;
  readonly serviceCidr: string;
}

/** Gone after a reboot, as everything is that it describes. */
const FILE = join("/run/wherry", "node.json");

const defaultFootprint: NodeFootprint = {
  kubeletRoot: "/var/lib/kubelet",
  cgroupRoot: "/",
  clusterDns: "10.43.0.10",
  clusterCidr: "10.42.0.0/16",
  serviceCidr: "10.43.0.0/16",
};

export async function writeNodeFootprint(footprint: NodeFootprint): Promise<void> {
  await writeSecret(FILE, JSON.stringify(footprint));
}

/** The defaults where no node has run since the machine was started. */
export async function readNodeFootprint(): Promise<NodeFootprint> {
  try {
    return {
      ...defaultFootprint,
      ...(JSON.parse(await readFile(FILE, "utf8")) as Partial<NodeFootprint>),
    };
  } catch {
    return defaultFootprint;
  }
}
