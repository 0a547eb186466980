import type { CommandEntry } from "./command.ts";

/** All subcommands, in the order of the help text. */
export const commands: readonly CommandEntry[] = [
  {
    name: "server",
    summary: "Run the control plane and a node in one process",
    load: async () => (await import("./commands/server.ts")).serverCommand,
  },
  {
    name: "agent",
    summary: "Join a cluster as a node",
    load: async () => (await import("./commands/agent.ts")).agentCommand,
  },
  {
    name: "kubectl",
    summary: "kubectl, with this cluster's kubeconfig",
    load: async () => (await import("./commands/kubectl.ts")).kubectlCommand,
  },
  {
    name: "token",
    summary: "Manage bootstrap tokens: create, delete, generate, list",
    load: async () => (await import("./commands/token.ts")).tokenCommand,
  },
  {
    name: "killall",
    summary: "Stop wherry and remove its pods, mounts, links and rules",
    load: async () => (await import("./commands/killall.ts")).killallCommand,
  },
  {
    name: "datastore",
    summary: "The etcd v3 API over SQLite",
    load: async () => await (await import("./commands/services.ts")).datastoreCommand(),
  },
  {
    name: "apiserver",
    summary: "The Kubernetes API over an etcd or a wherry datastore",
    load: async () => await (await import("./commands/services.ts")).apiserverCommand(),
  },
  {
    name: "scheduler",
    summary: "Assigns pods to nodes",
    load: async () => await (await import("./commands/services.ts")).schedulerCommand(),
  },
  {
    name: "controller-manager",
    summary: "The control loops",
    load: async () => await (await import("./commands/services.ts")).controllerManagerCommand(),
  },
  {
    name: "tunnel-proxy",
    summary: "Supervisor endpoints and tunnels in front of an API server",
    load: async () => await (await import("./commands/services.ts")).tunnelProxyCommand(),
  },
  {
    name: "node-agent",
    summary: "Runs pods on a node that has joined already",
    load: async () => await (await import("./commands/services.ts")).nodeAgentCommand(),
  },
];
