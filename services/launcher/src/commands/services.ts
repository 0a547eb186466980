/** One command per service: the same code that the bundle composes, alone in a process. */
import { apiserverFlags, apiserverRunOf, runApiserver } from "@wherry/apiserver";
import { controllerManagerFlags, controllerManagerRunOf, runControllerManager } from "@wherry/controller-manager";
import { datastoreConfigOf, datastoreFlags, runDatastore } from "@wherry/datastore";
import { nodeAgentFlags, nodeAgentRunOf, runNodeAgent } from "@wherry/node-agent";
import { runScheduler, schedulerFlags, schedulerRunOf } from "@wherry/scheduler";
import { createLogger, type FlagDefinition, type FlagValues, type Logger } from "@wherry/service-kit";
import { runTunnelProxy, tunnelProxyFlags } from "@wherry/tunnel-proxy";
import type { Command } from "../command.ts";

interface ServiceRun {
  readonly signal: AbortSignal;
  readonly log: Logger;
  readonly onReady: (endpoint?: string) => void;
}

function serviceCommand(name: string, summary: string, flags: readonly FlagDefinition[], run: (values: FlagValues, options: ServiceRun) => Promise<void>): Command {
  return {
    name,
    summary,
    usage: `wherry ${name} [flags]`,
    flags,
    async run({ signal }, { values }) {
      const log = await createLogger({ level: "info", format: "text" });
      await run(values, { signal, log, onReady: (endpoint) => log.info(`wherry ${name} is up and running${endpoint === undefined ? "" : ` on ${endpoint}`}`) });
    },
  };
}

export const serviceCommands: readonly Command[] = [
  serviceCommand("datastore", "The etcd v3 API over SQLite", datastoreFlags, (values, options) => runDatastore(datastoreConfigOf(values), options)),
  serviceCommand("apiserver", "The Kubernetes API over an etcd or a wherry datastore", apiserverFlags, async (values, options) => await runApiserver(await apiserverRunOf(values), options)),
  serviceCommand("scheduler", "Assigns pods to nodes", schedulerFlags, (values, options) => runScheduler(schedulerRunOf(values), options)),
  serviceCommand("controller-manager", "The control loops", controllerManagerFlags, (values, options) => runControllerManager(controllerManagerRunOf(values), options)),
  serviceCommand("tunnel-proxy", "Supervisor endpoints and tunnels in front of an API server", tunnelProxyFlags, (values, options) => runTunnelProxy(values, options)),
  serviceCommand("node-agent", "Runs pods on a node that has joined already", nodeAgentFlags, (values, options) => runNodeAgent(nodeAgentRunOf(values), options)),
];
