import { runMain } from "@wherry/service-kit";
import { commands } from "./commands.ts";
import { runCommand } from "./run-command.ts";

runMain((context) => runCommand(commands, context));
