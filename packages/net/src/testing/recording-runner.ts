import type { CommandOptions, CommandResult, CommandRunner } from "../command-runner.ts";

export interface RecordedCommand {
  readonly command: readonly string[];
  readonly input: string;
}

export interface RecordingRunner extends CommandRunner {
  readonly commands: RecordedCommand[];
}

/** Runs nothing: records every command and answers what `answer` gives (default: success without output). */
export function createRecordingRunner(
  answer: (command: RecordedCommand) => Partial<CommandResult> | Error | undefined = () =>
    undefined,
): RecordingRunner {
  const commands: RecordedCommand[] = [];
  return {
    commands,
    async run(command: readonly string[], options: CommandOptions = {}) {
      const input =
        options.input === undefined
          ? ""
          : typeof options.input === "string"
            ? options.input
            : [...options.input].join("");
      const recorded = { command, input };
      commands.push(recorded);
      const given = answer(recorded);
      if (given instanceof Error) throw given;
      return { exitCode: 0, stdout: "", stderr: "", ...given };
    },
  };
}
