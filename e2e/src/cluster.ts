/**
 * A cluster as a test sees it, whatever it is composed of: the bundle (one process), or every service in a process of its own with nodes joined over the
 * tunnel. Both run in machines of their own (see the test kit), so that nothing of the host is touched.
 */
import { execFile, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { createLab, findKubectls, type Kubectl, type Lab, type Machine } from "@wherry/testkit";
import { placeSampleImages } from "./sample-images.ts";
import { until } from "./until.ts";

export interface Output {
  readonly stdout: string;
  readonly stderr: string;
}

export interface KubectlOptions {
  readonly input?: string;
  readonly timeoutMs?: number;
  readonly kubectl?: Kubectl;
  /** Gives the command a terminal (`script`), as `-it` wants. */
  readonly tty?: boolean;
}

export interface Cluster {
  readonly kind: "bundle" | "split";
  /** The machine that holds the control plane. */
  readonly server: Machine;
  /** Machines with a node on them; in the bundle the first is the server. */
  readonly nodes: readonly Machine[];
  readonly kubectls: readonly Kubectl[];
  /** Runs kubectl in the server's machine; rejects on a non-zero exit. */
  kubectl(args: readonly string[], options?: KubectlOptions): Promise<Output>;
  /** Starts kubectl and leaves it running. */
  spawnKubectl(args: readonly string[], options?: { readonly kubectl?: Kubectl }): ChildProcess;
  kubeconfig: string;
  /** kill -9 of the control plane (and the nodes' agents in its processes). */
  kill(): Promise<void>;
  /** Starts again what `kill` ended, and waits for the API. */
  restart(): Promise<void>;
  /** `wherry killall` on every machine; returns what each printed. */
  killall(): Promise<string[]>;
  close(): Promise<void>;
}

export const root = fileURLToPath(new URL("../..", import.meta.url));
export const launcherMain = join(root, "services/launcher/src/main.ts");
export const node26 = join(root, "node_modules/.bin/node");

/** A program under test in a machine: its output goes to a log file beside the machine's data. */
export interface Program {
  readonly child: ChildProcess;
  readonly logFile: string;
  kill(signal: NodeJS.Signals): Promise<void>;
}

export async function startProgram(
  machine: Machine,
  name: string,
  args: readonly string[],
  options: BundleOptions = {},
): Promise<Program> {
  await mkdir(machine.folder, { recursive: true });
  const logFile = join(machine.folder, `${name}.log`);
  const command = [node26, "--max-semi-space-size=2", options.entry ?? launcherMain, ...args];
  const child = machine.spawn(
    options.cgroup === undefined ? command : insideCgroup(options.cgroup, command),
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  const log = createWriteStream(logFile, { flags: "a" });
  child.stdout?.pipe(log, { end: false });
  child.stderr?.pipe(log, { end: false });
  const exited = once(child, "exit");
  return {
    child,
    logFile,
    async kill(signal) {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill(signal);
      await exited;
    },
  };
}

export interface BundleOptions {
  /** Name of a cgroup for the server and everything below it; made by the caller. */
  readonly cgroup?: string;
  /** What is run; the source tree's entry by default. */
  readonly entry?: string;
}

/** The shell enters the group in every hierarchy that has it, then becomes the command. */
function insideCgroup(name: string, command: readonly string[]): string[] {
  return [
    "sh",
    "-c",
    `for procs in /sys/fs/cgroup/${name}/cgroup.procs /sys/fs/cgroup/*/${name}/cgroup.procs; do if [ -e "$procs" ]; then echo $$ > "$procs"; fi; done; exec "$@"`,
    "sh",
    ...command,
  ];
}

/** One server that is everything. */
export async function startBundle(options: BundleOptions = {}): Promise<Cluster> {
  const lab = await createLab();
  const server = await lab.addMachine("server");
  const dataDir = join(server.folder, "data");
  await placeSampleImages(dataDir);
  const kubeconfig = join(server.folder, "kubeconfig.yaml");
  const podCgroup =
    options.cgroup === undefined ? `/wherry-e2e-${process.pid}` : `/${options.cgroup}/pods`;
  const args = [
    "server",
    "--data-dir",
    dataDir,
    "--write-kubeconfig",
    kubeconfig,
    "--node-ip",
    server.ip,
    "--kubelet-arg",
    `cgroup-root=${podCgroup}`,
  ];
  let program = await startProgram(server, "server", args, options);
  return await assemble({
    kind: "bundle",
    lab,
    server,
    nodes: [server],
    kubeconfig,
    programs: () => [program],
    dataDirs: new Map([[server, dataDir]]),
    kill: () => program.kill("SIGKILL"),
    restart: async () => {
      program = await startProgram(server, "server", args, options);
    },
  });
}

export interface Assembly {
  readonly kind: Cluster["kind"];
  readonly lab: Lab;
  readonly server: Machine;
  readonly nodes: readonly Machine[];
  readonly kubeconfig: string;
  readonly programs: () => readonly Program[];
  readonly dataDirs: ReadonlyMap<Machine, string>;
  readonly kill: () => Promise<void>;
  readonly restart: () => Promise<void>;
}

export async function assemble(parts: Assembly): Promise<Cluster> {
  const kubectls = await findKubectls();
  const commandOf = (args: readonly string[], options: KubectlOptions): string[] => {
    const kubectl = options.kubectl ?? kubectls[0];
    if (kubectl === undefined) throw new Error("no kubectl was found");
    const command = [kubectl.path, "--kubeconfig", parts.kubeconfig, ...args];
    return options.tty === true
      ? ["script", "-qefc", command.map(quote).join(" "), "/dev/null"]
      : command;
  };
  const cluster: Cluster = {
    kind: parts.kind,
    server: parts.server,
    nodes: parts.nodes,
    kubectls,
    kubeconfig: parts.kubeconfig,
    kubectl(args, options = {}) {
      const [file, ...rest] = parts.server.commandLine(commandOf(args, options));
      const running = promisify(execFile)(file, rest, {
        timeout: options.timeoutMs ?? 60_000,
        maxBuffer: 64 * 1024 * 1024,
        cwd: "/",
      });
      running.child.stdin?.end(options.input ?? "");
      return running;
    },
    spawnKubectl: (args, options = {}) =>
      parts.server.spawn(commandOf(args, options), { stdio: ["pipe", "pipe", "pipe"] }),
    kill: parts.kill,
    async restart() {
      await parts.restart();
      await apiReady(cluster, parts);
    },
    async killall() {
      for (const program of parts.programs()) await program.kill("SIGTERM");
      const printed: string[] = [];
      for (const [machine, dataDir] of parts.dataDirs) {
        printed.push(
          (await machine.exec([node26, launcherMain, "killall", "--data-dir", dataDir])).stdout,
        );
      }
      return printed;
    },
    async close() {
      for (const program of parts.programs()) await program.kill("SIGKILL");
      for (const program of parts.programs()) await showWarnings(program);
      await parts.lab.close();
    },
  };
  try {
    await apiReady(cluster, parts);
    await until("every node to be Ready", 60_000, async () => {
      const { stdout } = await cluster.kubectl(["get", "nodes", "--no-headers"]);
      const lines = stdout
        .trim()
        .split("\n")
        .filter((line) => line !== "");
      return lines.length === parts.nodes.length && lines.every((line) => / Ready /.test(line));
    });
  } catch (error) {
    const logs = await Promise.all(
      parts
        .programs()
        .map(
          async (program) =>
            `${program.logFile}:\n${(await readFile(program.logFile, "utf8")).slice(-6_000)}`,
        ),
    );
    await cluster.close();
    throw new Error(`the cluster did not come up\n${logs.join("\n")}`, { cause: error });
  }
  return cluster;
}

const WARNINGS_SHOWN_MAX = 15;

/** What a program warned of, for whoever reads a failed run. */
async function showWarnings(program: Program): Promise<void> {
  const lines = (await readFile(program.logFile, "utf8").catch(() => ""))
    .split("\n")
    .filter((line) => /level=(warning|error)|^error:/.test(line));
  for (const line of lines.slice(-WARNINGS_SHOWN_MAX))
    console.log(`${program.logFile}: ${line.slice(0, 400)}`);
}

async function apiReady(cluster: Cluster, parts: Assembly): Promise<void> {
  await until("the API to be ready", 30_000, async () => {
    const dead = parts.programs().find((program) => program.child.exitCode !== null);
    if (dead !== undefined)
      throw new Error(`a program ended: ${(await readFile(dead.logFile, "utf8")).slice(-2_000)}`);
    const { stdout } = await cluster.kubectl(["get", "--raw", "/readyz"], { timeoutMs: 5_000 });
    return stdout.trim() === "ok";
  });
}

function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
