/** One command per service: the same code that the bundle composes, alone in a process. */
import {
  createLogger,
  type FlagDefinition,
  type FlagValues,
  type Logger,
} from "@wherry/service-kit";
import type { Command } from "../command.ts";
import { logFlags } from "../common-flags.ts";
import { isSet, oneOf } from "../flag-values.ts";

interface ServiceRun {
  readonly signal: AbortSignal;
  readonly log: Logger;
  readonly onReady: (endpoint?: string) => void;
}

function serviceCommand(
  name: string,
  flags: readonly FlagDefinition[],
  run: (values: FlagValues, options: ServiceRun) => Promise<void>,
): Command {
  return {
    usage: `wherry ${name} [flags]`,
    flags: withLogFlags(flags),
    async run({ signal }, { values }) {
      const level = isSet(values, "debug")
        ? "debug"
        : oneOf(values, "log-level", ["debug", "info", "warn", "error"], "info");
      const log = await createLogger({
        level,
        format: oneOf(values, "log-format", ["text", "json"], "text"),
      });
      await run(values, {
        signal,
        log,
        onReady: (endpoint) =>
          log.info(
            `wherry ${name} is up and running${endpoint === undefined ? "" : ` on ${endpoint}`}`,
          ),
      });
    },
  };
}

/** Every command has these; a service that brings its own of the same name keeps them. */
function withLogFlags(flags: readonly FlagDefinition[]): readonly FlagDefinition[] {
  const missing = logFlags.filter((flag) => !flags.some((one) => one.name === flag.name));
  return [
    ...flags,
    ...missing.map((flag) => ({
      ...flag,
      group: flags[0]?.group === undefined ? "Options" : "Logging",
    })),
  ];
}

export async function datastoreCommand(): Promise<Command> {
  const { datastoreConfigOf, datastoreFlags, runDatastore } = await import("@wherry/datastore");
  return serviceCommand("datastore", datastoreFlags, (values, options) =>
    runDatastore(datastoreConfigOf(values), options),
  );
}

export async function apiserverCommand(): Promise<Command> {
  const { apiserverFlags, apiserverRunOf, runApiserver } = await import("@wherry/apiserver");
  return serviceCommand(
    "apiserver",
    apiserverFlags,
    async (values, options) => await runApiserver(await apiserverRunOf(values), options),
  );
}

export async function schedulerCommand(): Promise<Command> {
  const { runScheduler, schedulerFlags, schedulerRunOf } = await import("@wherry/scheduler");
  return serviceCommand("scheduler", schedulerFlags, (values, options) =>
    runScheduler(schedulerRunOf(values), options),
  );
}

export async function controllerManagerCommand(): Promise<Command> {
  const { controllerManagerFlags, controllerManagerRunOf, runControllerManager } =
    await import("@wherry/controller-manager");
  return serviceCommand("controller-manager", controllerManagerFlags, (values, options) =>
    runControllerManager(controllerManagerRunOf(values), options),
  );
}

export async function tunnelProxyCommand(): Promise<Command> {
  const { runTunnelProxy, tunnelProxyFlags } = await import("@wherry/tunnel-proxy");
  return serviceCommand("tunnel-proxy", tunnelProxyFlags, (values, options) =>
    runTunnelProxy(values, options),
  );
}

export async function nodeAgentCommand(): Promise<Command> {
  const { nodeAgentFlags, nodeAgentRunOf, runNodeAgent } = await import("@wherry/node-agent");
  return serviceCommand("node-agent", nodeAgentFlags, (values, options) =>
    runNodeAgent(nodeAgentRunOf(values), options),
  );
}
