import {
  describeFlags,
  exitCode,
  readConfigArgs,
  resolveFlags,
  UsageError,
  type ProcessContext,
} from "@wherry/service-kit";
import type { Command, CommandEntry } from "./command.ts";
import { agentFlags, serverFlags } from "./server-flags.ts";
import { VERSION } from "./version.ts";

const DEFAULT_CONFIG_FILE = "/etc/wherry/config.yaml";

/** Finds the subcommand, resolves its flags from line, environment and config file, and runs it. */
export async function runCommand(
  commands: readonly CommandEntry[],
  context: ProcessContext,
): Promise<number | void> {
  const args = context.args[0] === "--" ? context.args.slice(1) : context.args;
  const [name, ...rest] = args;
  if (name === undefined || name === "help" || name === "--help" || name === "-h") {
    context.stdout(`${overview(commands)}\n`);
    return name === undefined ? exitCode.usage : exitCode.ok;
  }
  if (name === "--version" || name === "-v" || name === "version") {
    context.stdout(`wherry version ${VERSION}\nnode version ${context.runtimeVersion}\n`);
    return exitCode.ok;
  }
  const entry = commands.find((one) => one.name === name);
  if (entry === undefined) throw new UsageError(`unknown command "${name}"; see wherry --help`);
  const command = await entry.load();
  if (command.takes === "everything")
    return await command.run(context, { values: {}, positionals: rest });
  if (rest.includes("--help") || rest.includes("-h")) {
    context.stdout(
      `${entry.summary}\n\nUsage: ${command.usage}\n\n${describeFlags(command.flags)}\n`,
    );
    return exitCode.ok;
  }
  const sources = { args: rest, env: context.env };
  const first = resolveFlags(command.flags, { ...sources, fileArgs: [] });
  const fileArgs =
    command.readsConfigFile === true ? await argsOfConfigFile(command, first.values["config"]) : [];
  const flags = resolveFlags(command.flags, { ...sources, fileArgs });
  const [word] = flags.positionals;
  if (word !== undefined && command.takes === undefined)
    throw new UsageError(`${name} takes no argument "${word}"; see wherry ${name} --help`);
  return await command.run(context, flags);
}

/** One file serves servers and agents: keys that only the other one knows are skipped. */
async function argsOfConfigFile(command: Command, named: unknown): Promise<string[]> {
  return await readConfigArgs({
    path: typeof named === "string" ? named : DEFAULT_CONFIG_FILE,
    explicit: typeof named === "string",
    definitions: command.flags,
    otherCommands: [...serverFlags, ...agentFlags],
  });
}

function overview(commands: readonly CommandEntry[]): string {
  const lines = commands.map((command) => `  ${command.name.padEnd(20)}${command.summary}`);
  return [
    "wherry - Kubernetes in one small process",
    "",
    "Usage: wherry COMMAND [flags]",
    "",
    "Commands:",
    ...lines,
    "",
    "Flags can also stand in the environment (WHERRY_…, K3S_…) and in /etc/wherry/config.yaml.",
    "wherry COMMAND --help shows the flags of a command.",
  ].join("\n");
}
