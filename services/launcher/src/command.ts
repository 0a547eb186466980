import type { FlagDefinition, ParsedFlags, ProcessContext } from "@wherry/service-kit";

/** One subcommand of `wherry`: what help shows of it. Only the one that is called is loaded, so that an agent never carries an API server in memory. */
export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  load(): Promise<Command>;
}

export interface Command {
  /** "wherry server [flags]" */
  readonly usage: string;
  readonly flags: readonly FlagDefinition[];
  /** True if it reads config.yaml. */
  readonly readsConfigFile?: boolean;
  /** True if it takes words behind its flags, or everything as it stands (kubectl). */
  readonly takes?: "words" | "everything";
  run(context: ProcessContext, flags: ParsedFlags): Promise<number | void>;
}
