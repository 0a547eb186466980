/**
 * Network namespaces as machines: each has its own mounts, network and host name, its own /run, data and log folders, and hangs on a common switch.
 * Processes and cgroups are shared with the host, so programs must be ended by id and be given a cgroup of their own. Needs root.
 */
import { execFile, spawn, type ChildProcess, type SpawnOptions } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, readlink, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

export interface Machine {
  readonly name: string;
  readonly ip: string;
  /** A folder of this machine, seen by the host and by the machine under the same path. */
  readonly folder: string;
  /** The command line that runs `command` inside. */
  commandLine(command: readonly string[]): readonly [string, ...string[]];
  /** Runs to the end; rejects on a non-zero exit with what was printed. */
  exec(
    command: readonly string[],
    options?: { readonly timeoutMs?: number; readonly env?: Readonly<Record<string, string>> },
  ): Promise<{ readonly stdout: string; readonly stderr: string }>;
  spawn(command: readonly string[], options?: SpawnOptions): ChildProcess;
  /** Ids of processes whose network or mount namespace is this machine's, the holder left out. */
  processes(): Promise<number[]>;
}

export interface Lab {
  addMachine(name: string): Promise<Machine>;
  /** Ends what still runs in the machines, by id, and removes all. */
  close(): Promise<void>;
}

const SUBNET = "172.31.77";
/** Folders that a node writes to outside its data folder; each machine has its own. */
const PRIVATE_FOLDERS = [
  "/run",
  "/var/lib/cni",
  "/var/lib/kubelet",
  "/var/log/pods",
  "/var/log/containers",
  "/etc/wherry",
  "/var/lib/wherry",
];

export async function createLab(): Promise<Lab> {
  const root = await mkdtemp(join(tmpdir(), "lab-"));
  const holders: ChildProcess[] = [];
  const machines: Machine[] = [];
  const hold = async (args: readonly string[], script: string): Promise<number> => {
    const child = spawn(
      "unshare",
      [...args, "sh", "-ec", `${script}\necho ready\nexec sleep infinity`],
      { stdio: ["ignore", "pipe", "pipe"], detached: true },
    );
    holders.push(child);
    await ready(child);
    return child.pid as number;
  };
  const switchPid = await hold(
    ["--net"],
    "ip link add br0 type bridge\nip link set br0 up\nip addr add 172.31.77.254/24 dev br0",
  );

  return {
    async addMachine(name) {
      const index = machines.length + 1;
      const folder = join(root, name);
      const ip = `${SUBNET}.${10 + index}`;
      const binds: string[] = [];
      for (const path of PRIVATE_FOLDERS) {
        const own = join(folder, "private", path);
        await mkdir(own, { recursive: true });
        await mkdir(path, { recursive: true });
        binds.push(`mount --bind '${own}' '${path}'`);
      }
      const pid = await hold(
        ["--mount", "--net", "--uts", "--propagation", "private"],
        [
          ...binds,
          "mkdir -p /run/netns /run/lock",
          // crun refuses the hybrid layout; nobody else misses this mount.
          "umount /sys/fs/cgroup/unified 2>/dev/null || true",
          `hostname '${name}'`,
          "ip link set lo up",
          "mount --make-rshared /",
        ].join("\n"),
      );
      await run("nsenter", [
        "-t",
        String(switchPid),
        "-n",
        "ip",
        "link",
        "add",
        `port${index}`,
        "type",
        "veth",
        "peer",
        "name",
        "eth0",
        "netns",
        String(pid),
      ]);
      await run("nsenter", [
        "-t",
        String(switchPid),
        "-n",
        "ip",
        "link",
        "set",
        `port${index}`,
        "master",
        "br0",
        "up",
      ]);
      const machine = createMachine(name, ip, folder, pid);
      await machine.exec([
        "sh",
        "-ec",
        `ip addr add ${ip}/24 dev eth0; ip link set eth0 up; ip route add default via ${SUBNET}.254 dev eth0`,
      ]);
      machines.push(machine);
      return machine;
    },
    async close() {
      for (const machine of machines) await endAll(machine);
      for (const holder of holders.reverse()) {
        const ended = once(holder, "exit");
        holder.kill("SIGKILL");
        await ended;
      }
      await rm(root, { recursive: true, force: true });
    },
  };
}

function createMachine(name: string, ip: string, folder: string, pid: number): Machine {
  const commandLine = (command: readonly string[]): [string, ...string[]] => [
    "nsenter",
    "-t",
    String(pid),
    "-m",
    "-n",
    "-u",
    "--",
    ...command,
  ];
  return {
    name,
    ip,
    folder,
    commandLine,
    async exec(command, options = {}) {
      const [file, ...args] = commandLine(command);
      return await run(file, args, {
        timeout: options.timeoutMs ?? 60_000,
        maxBuffer: 64 * 1024 * 1024,
        env: { ...process.env, ...options.env },
        cwd: "/",
      });
    },
    spawn(command, options = {}) {
      const [file, ...args] = commandLine(command);
      return spawn(file, args, { cwd: "/", ...options });
    },
    processes: () => processesOf(pid),
  };
}

async function processesOf(holder: number): Promise<number[]> {
  const namespaceOf = async (pid: string, kind: string): Promise<string | undefined> =>
    await readlink(`/proc/${pid}/ns/${kind}`).catch(() => undefined);
  const [mount, net] = await Promise.all([
    namespaceOf(String(holder), "mnt"),
    namespaceOf(String(holder), "net"),
  ]);
  const found: number[] = [];
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry) || entry === String(holder)) continue;
    if ((await namespaceOf(entry, "mnt")) === mount || (await namespaceOf(entry, "net")) === net)
      found.push(Number(entry));
  }
  return found;
}

/** Containers live in namespaces of their own, but their shims are the machine's; a few rounds reach what the ended ones leave. */
async function endAll(machine: Machine): Promise<void> {
  for (let round = 0; round < 5; round += 1) {
    const pids = await machine.processes();
    if (pids.length === 0) return;
    for (const pid of pids.flatMap((one) => [one])) {
      for (const child of await childrenOf(pid)) kill(child);
      kill(pid);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function childrenOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8").catch(() => "");
  return text.trim().split(" ").filter(Boolean).map(Number);
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // Gone already.
  }
}

async function ready(child: ChildProcess): Promise<void> {
  let errors = "";
  child.stderr?.on("data", (data: Buffer) => {
    errors += data.toString();
  });
  await Promise.race([
    once(child.stdout as NonNullable<ChildProcess["stdout"]>, "data"),
    once(child, "exit").then(() => {
      throw new Error(`a namespace could not be made: ${errors.trim()}`);
    }),
  ]);
}
