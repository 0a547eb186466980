import { runMain } from "@wherry/service-kit";
import { loadCommands } from "./commands.ts";
import { runCommand } from "./run-command.ts";

runMain(async (context) => await runCommand(await loadCommands(), context));
