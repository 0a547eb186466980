import { spawn } from "node:child_process";
import { access, constants } from "node:fs/promises";
import { delimiter, join } from "node:path";
import type { ProcessContext } from "@wherry/service-kit";
import type { Command } from "../command.ts";
import { defaultKubeconfig } from "../default-kubeconfig.ts";

/** Runs the tool that lies in `<data-dir>/bin` or in PATH, with the cluster's configuration unless another one is named. */
export const kubectlCommand: Command = {
  usage: "wherry kubectl …",
  flags: [],
  takes: "everything",
  async run(context, { positionals }) {
    const dataDir =
      context.env["WHERRY_DATA_DIR"] ?? context.env["K3S_DATA_DIR"] ?? "/var/lib/wherry";
    const program = await findProgram("kubectl", [
      join(dataDir, "bin"),
      ...(context.env["PATH"] ?? "").split(delimiter),
    ]);
    if (program === undefined) {
      throw new Error(
        `kubectl was found neither in ${join(dataDir, "bin")} nor in PATH; install it (Debian: apt-get install kubernetes-client) or put it there`,
      );
    }
    const named =
      positionals.some(
        (word) => word.startsWith("--kubeconfig") || word === "--server" || word === "-s",
      ) || context.env["KUBECONFIG"] !== undefined;
    if (named) return await runTool(context, program, positionals, {});
    const kubeconfig = await defaultKubeconfig(context);
    await assertReadable(kubeconfig);
    return await runTool(context, program, positionals, { KUBECONFIG: kubeconfig });
  },
};

async function findProgram(name: string, folders: readonly string[]): Promise<string | undefined> {
  for (const folder of folders) {
    const file = join(folder, name);
    try {
      await access(file, constants.X_OK);
      return file;
    } catch {
      // Look further.
    }
  }
  return undefined;
}

async function assertReadable(file: string): Promise<void> {
  try {
    await access(file, constants.R_OK);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const advice =
      code === "ENOENT"
        ? "start a server first, or name a kubeconfig with --kubeconfig"
        : "run this as root, or start the server with --write-kubeconfig-mode 644";
    throw new Error(`kubeconfig ${file} cannot be read (${code}); ${advice}`, { cause: error });
  }
}

function runTool(
  context: ProcessContext,
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: "inherit", env: { ...context.env, ...env } });
    context.signal.addEventListener("abort", () => child.kill("SIGTERM"), { once: true });
    child.once("error", reject);
    child.once("exit", (code, signal) => resolve(signal === null ? (code ?? 1) : 1));
  });
}
