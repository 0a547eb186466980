import { readFile, readdir, statfs } from "node:fs/promises";
import { arch, cpus, networkInterfaces, release, totalmem } from "node:os";

/** What the machine says of itself. */
export interface HostFacts {
  /** Go's name of the architecture. */
  readonly architecture: string;
  readonly kernelVersion: string;
  readonly osImage: string;
  readonly machineId: string;
  readonly systemUuid: string;
  readonly bootId: string;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly swapBytes: number;
  readonly storageBytes: number;
  /** Bytes by page size name ("2Mi"). */
  readonly hugepages: Readonly<Record<string, number>>;
  readonly appArmorEnabled: boolean;
  /** Address of the link that the default route leaves by. */
  readonly primaryIp: string;
}

export async function readHostFacts(storagePath: string): Promise<HostFacts> {
  const [osRelease, machineId, uuid, bootId, meminfo, routes, appArmor] = await Promise.all(
    [
      "/etc/os-release",
      "/etc/machine-id",
      "/sys/class/dmi/id/product_uuid",
      "/proc/sys/kernel/random/boot_id",
      "/proc/meminfo",
      "/proc/net/route",
      "/sys/module/apparmor/parameters/enabled",
    ].map(readText),
  );
  return {
    architecture: goArchitecture(arch()),
    kernelVersion: release(),
    osImage: /^PRETTY_NAME="?(.*?)"?$/mu.exec(osRelease ?? "")?.[1] ?? "Linux",
    machineId: machineId ?? "",
    systemUuid: uuid === undefined || uuid === "" ? (machineId ?? "") : uuid,
    bootId: bootId ?? "",
    cpus: Math.max(cpus().length, 1),
    memoryBytes: totalmem(),
    swapBytes: Number(/^SwapTotal:\s+(\d+) kB/mu.exec(meminfo ?? "")?.[1] ?? 0) * 1_024,
    storageBytes: await storageBytes(storagePath),
    hugepages: await readHugepages(),
    appArmorEnabled: appArmor === "Y",
    primaryIp: primaryIp(routes ?? ""),
  };
}

export interface NodePressure {
  readonly memory: boolean;
  readonly disk: boolean;
  readonly pid: boolean;
}

/** The kubelet's hard thresholds: 100Mi of memory, K3s' 5 % of the file system and of its inodes, and a tenth of a percent of process ids. */
export async function readPressure(storagePath: string): Promise<NodePressure> {
  const [meminfo, loadavg, pidMax] = await Promise.all(
    ["/proc/meminfo", "/proc/loadavg", "/proc/sys/kernel/pid_max"].map(readText),
  );
  const availableBytes =
    Number(/^MemAvailable:\s+(\d+) kB/mu.exec(meminfo ?? "")?.[1] ?? Number.POSITIVE_INFINITY) *
    1_024;
  const processes = Number(/\/(\d+) /u.exec(loadavg ?? "")?.[1] ?? 0);
  const fs = await statfs(storagePath).catch(() => undefined);
  const disk =
    fs !== undefined &&
    (fs.bavail < fs.blocks * 0.05 || (fs.files > 0 && fs.ffree < fs.files * 0.05));
  return {
    memory: availableBytes < 100 * 1_024 * 1_024,
    disk,
    pid: processes > Number(pidMax ?? Number.POSITIVE_INFINITY) * 0.999,
  };
}

async function readText(path: string): Promise<string | undefined> {
  return readFile(path, "utf8").then(
    (text) => text.trim(),
    () => undefined, // Absent on this kind of machine, or not for this user.
  );
}

async function storageBytes(path: string): Promise<number> {
  const fs = await statfs(path).catch(() => statfs("/"));
  return fs.blocks * fs.bsize;
}

async function readHugepages(): Promise<Readonly<Record<string, number>>> {
  const root = "/sys/kernel/mm/hugepages";
  const found: Record<string, number> = {};
  for (const name of await readdir(root).catch(() => [])) {
    const kilobytes = Number(/^hugepages-(\d+)kB$/u.exec(name)?.[1] ?? 0);
    if (kilobytes === 0) continue;
    const pages = Number((await readText(`${root}/${name}/nr_hugepages`)) ?? 0);
    const size =
      kilobytes >= 1_048_576
        ? `${kilobytes / 1_048_576}Gi`
        : kilobytes >= 1_024
          ? `${kilobytes / 1_024}Mi`
          : `${kilobytes}Ki`;
    found[size] = pages * kilobytes * 1_024;
  }
  return found;
}

function goArchitecture(name: string): string {
  return { x64: "amd64", ia32: "386" }[name] ?? name;
}

/** /proc/net/route: the default route has destination 0. */
function primaryIp(routes: string): string {
  const interfaces = networkInterfaces();
  const named = routes
    .split("\n")
    .map((line) => line.split("\t"))
    .find((fields) => fields[1] === "00000000")?.[0];
  const candidates = [
    ...(named === undefined ? [] : (interfaces[named] ?? [])),
    ...Object.values(interfaces).flatMap((list) => list ?? []),
  ];
  return candidates.find((one) => one.family === "IPv4" && !one.internal)?.address ?? "127.0.0.1";
}
