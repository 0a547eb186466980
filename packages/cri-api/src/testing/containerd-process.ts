import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { silentLogger } from "@wherry/service-kit";
import { createContainerdRuntime } from "../containerd/runtime.ts";
import { PAUSE_IMAGE_REFERENCE, createPauseImage } from "../pause/image.ts";
import type { ContainerRuntime } from "../runtime.ts";
import { buildBusyboxImage, findStaticBusybox } from "./busybox.ts";

const READY_WITHIN_MS = 20_000;
const POLL_MS = 50;

export const TEST_IMAGE = "wherry.local/busybox:1";

export interface TestContainerd {
  readonly socket: string;
  readonly folder: string;
  readonly runtime: ContainerRuntime & { close(): void };
  /** Removes every sandbox, ends containerd and removes its folder. */
  stop(): Promise<void>;
}

/** Why a real containerd cannot be started here, or undefined when it can. The text goes into the name of the skipped test. */
export function containerdUnavailable(): string | undefined {
  if (userInfo().uid !== 0) return "needs root";
  for (const program of ["containerd", "runc"]) {
    if (spawnSync("which", [program]).status !== 0) return `needs ${program}`;
  }
  if (findStaticBusybox() === undefined) return "needs busybox-static from Debian";
  return undefined;
}

/** A containerd of its own in a temporary folder, with the pause image and a busybox image, pods on the host's network namespace or a bridge of the test. */
export async function startTestContainerd(
  options: { readonly cniConfFolder?: string } = {},
): Promise<TestContainerd> {
  const folder = mkdtempSync(join(tmpdir(), "wherry-ctd-"));
  const socket = join(folder, "c.sock");
  mkdirSync(join(folder, "cni.d"));
  writeFileSync(
    join(folder, "config.toml"),
    configuration(folder, options.cniConfFolder ?? join(folder, "cni.d")),
  );
  const log = openSync(join(folder, "containerd.log"), "a");
  const child = spawn("containerd", ["-c", join(folder, "config.toml")], {
    stdio: ["ignore", log, log],
    detached: true,
  });
  closeSync(log);
  const ended = endOf(child);
  const runtime = createContainerdRuntime({ socket, log: silentLogger });
  const stop = async (): Promise<void> => {
    for (const sandbox of await runtime.listPodSandboxes().catch(() => [])) {
      await runtime.stopPodSandbox(sandbox.id).catch(() => {});
      await runtime.removePodSandbox(sandbox.id).catch(() => {});
    }
    runtime.close();
    child.kill("SIGTERM");
    await ended;
    unmountBelow(folder);
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await waitUntilReady(runtime, child, join(folder, "containerd.log"));
    writeFileSync(join(folder, "pause.tar"), await createPauseImage());
    writeFileSync(
      join(folder, "busybox.tar"),
      await buildBusyboxImage(TEST_IMAGE, findStaticBusybox() ?? Buffer.alloc(0)),
    );
    await runtime.importImages(join(folder, "pause.tar"));
    await runtime.importImages(join(folder, "busybox.tar"));
  } catch (error) {
    await stop();
    throw error;
  }
  return { socket, folder, runtime, stop };
}

function configuration(folder: string, cniConfFolder: string): string {
  const text = (value: string): string => JSON.stringify(value);
  const version = /(\d+)\.\d+\.\d+/.exec(
    spawnSync("containerd", ["--version"], { encoding: "utf8" }).stdout,
  );
  const head = `root = ${text(join(folder, "root"))}
state = ${text(join(folder, "state"))}
disabled_plugins = ["io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = ${text(join(folder, "c.sock"))}
`;
  const flags = `disable_apparmor = ${!existsSync("/sys/kernel/security/apparmor")}
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
`;
  const runc = (plugin: string): string => `[plugins."${plugin}".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."${plugin}".containerd.runtimes.runc.options]
  SystemdCgroup = false
  Root = ${text(join(folder, "state/runc"))}
`;
  if (version?.[1] === "1") {
    const cri = "io.containerd.grpc.v1.cri";
    return `version = 2
${head}[plugins."${cri}"]
sandbox_image = ${text(PAUSE_IMAGE_REFERENCE)}
stream_server_address = "127.0.0.1"
stream_server_port = "0"
${flags}[plugins."${cri}".cni]
bin_dir = "/usr/lib/cni"
conf_dir = ${text(cniConfFolder)}
${runc(cri)}`;
  }
  const cri = "io.containerd.cri.v1.runtime";
  return `version = 3
${head}[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = ${text(PAUSE_IMAGE_REFERENCE)}
[plugins."${cri}"]
${flags}[plugins."${cri}".cni]
bin_dirs = ["/usr/lib/cni"]
conf_dir = ${text(cniConfFolder)}
use_internal_loopback = true
${runc(cri)}`;
}

async function waitUntilReady(
  runtime: ContainerRuntime,
  child: ChildProcess,
  logFile: string,
): Promise<void> {
  const deadline = Date.now() + READY_WITHIN_MS;
  for (;;) {
    try {
      if ((await runtime.status()).runtimeReady) return;
    } catch (error) {
      if (child.exitCode !== null || Date.now() > deadline) {
        throw new Error(
          `containerd did not come up:\n${readFileSync(logFile, "utf8").slice(-2000)}`,
          { cause: error },
        );
      }
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

function endOf(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once("exit", () => resolve());
    child.once("error", () => resolve());
  });
}

function unmountBelow(folder: string): void {
  const mounts = readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[1] ?? "")
    .filter((path) => path.startsWith(`${folder}/`));
  for (const path of mounts.reverse()) spawnSync("umount", ["-l", path]);
}
