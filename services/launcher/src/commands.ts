import type { Command } from "./command.ts";

/** All subcommands, in the order of the help text. */
export async function loadCommands(): Promise<readonly Command[]> {
  const [{ serverCommand }, { agentCommand }, { kubectlCommand }, { tokenCommand }, { killallCommand }, { serviceCommands }] = await Promise.all([
    import("./commands/server.ts"),
    import("./commands/agent.ts"),
    import("./commands/kubectl.ts"),
    import("./commands/token.ts"),
    import("./commands/killall.ts"),
    import("./commands/services.ts"),
  ]);
  return [serverCommand, agentCommand, kubectlCommand, tokenCommand, killallCommand, ...serviceCommands];
}
