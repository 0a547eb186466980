import { rm, readdir } from "node:fs/promises";
import { join } from "node:path";
import {
  applyNft,
  listNftTables,
  NetworkError,
  readAddresses,
  readLinks,
  readRoutes,
  runChecked,
  type CommandRunner,
} from "@wherry/net";
import { BRIDGE, CNI_CONFIG_FILE, CNI_NETWORK } from "./cni-config.ts";
import { isPeerRoute } from "./peer-route.ts";
import { VXLAN_DEVICE } from "./pod-network.ts";

export interface RemovalOptions {
  readonly cniConfDir: string;
  readonly cniLeaseDir?: string;
  /** Put on the loopback interface for the cluster DNS. */
  readonly dnsAddresses?: readonly string[];
  readonly clusterCidr?: string;
  readonly serviceCidr?: string;
}

/** How much of each was there. */
export interface RemovalCounts {
  readonly links: number;
  readonly routes: number;
  readonly tables: number;
  readonly addresses: number;
  readonly leases: number;
  readonly files: number;
}

/**
 * Takes everything away that the pod network, service routing and the cluster DNS put into the kernel and onto the disk. Pods' own ends
 * of their links are removed with the bridge's ports. Nothing there is not an error.
 */
export async function removePodNetwork(
  run: CommandRunner,
  options: RemovalOptions,
): Promise<RemovalCounts> {
  const {
    dnsAddresses = ["10.43.0.10"],
    cniLeaseDir = "/var/lib/cni/networks",
    clusterCidr = "10.42.0.0/16",
    serviceCidr = "10.43.0.0/16",
  } = options;
  const links = await removeLinks(run);
  const routes = await removeRoutes(run, clusterCidr, serviceCidr);
  const tables = await removeTables(run);
  const addresses = await removeAddresses(run, dnsAddresses);
  const leases = await removeLeases(join(cniLeaseDir, CNI_NETWORK));
  const files = await rm(join(options.cniConfDir, CNI_CONFIG_FILE)).then(
    () => 1,
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return 0;
      throw error;
    },
  );
  return { links, routes, tables, addresses, leases, files };
}

async function removeLinks(run: CommandRunner): Promise<number> {
  const ports = (
    JSON.parse((await runChecked(run, ["ip", "-j", "link", "show"])) || "[]") as readonly {
      readonly ifname: string;
      readonly master?: string;
    }[]
  ).filter((link) => link.master === BRIDGE);
  const own = (await readLinks(run)).filter(
    (link) => link.name === BRIDGE || link.name === VXLAN_DEVICE,
  );
  const names = [...ports.map((port) => port.ifname), ...own.map((link) => link.name)];
  for (const name of names) await run.run(["ip", "link", "delete", name]);
  return names.length;
}

async function removeRoutes(
  run: CommandRunner,
  clusterCidr: string,
  serviceCidr: string,
): Promise<number> {
  const own = (await readRoutes(run)).filter(
    (route) => route.destination === serviceCidr || isPeerRoute(route, clusterCidr),
  );
  for (const route of own)
    await run.run([
      "ip",
      "route",
      "delete",
      route.destination,
      ...(route.link === undefined ? [] : ["dev", route.link]),
    ]);
  return own.length;
}

async function removeTables(run: CommandRunner): Promise<number> {
  try {
    const own = (await listNftTables(run)).filter(
      (table) => table.name === "wherry" || table.name.startsWith("wherry-"),
    );
    if (own.length > 0)
      await applyNft(
        run,
        own.map((table) => `delete table ${table.family} ${table.name}\n`).join(""),
      );
    return own.length;
  } catch (error) {
    // A machine without nft has no rules of ours.
    if (error instanceof NetworkError && error.code === "command-not-found") return 0;
    throw error;
  }
}

async function removeAddresses(run: CommandRunner, wanted: readonly string[]): Promise<number> {
  const own = (await readAddresses(run)).filter(
    (address) => address.link === "lo" && wanted.includes(address.address),
  );
  for (const address of own)
    await runChecked(run, [
      "ip",
      "addr",
      "del",
      `${address.address}/${address.prefix}`,
      "dev",
      "lo",
    ]);
  return own.length;
}

async function removeLeases(dir: string): Promise<number> {
  const entries = await readdir(dir).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (entries === undefined) return 0;
  await rm(dir, { recursive: true, force: true });
  return entries.filter((name) => /^[0-9a-f.:]+$/.test(name)).length;
}
