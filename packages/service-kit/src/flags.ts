/**
 * One table of flags for command line, environment and config file, as K3s has it: `--flag value`, `K3S_FLAG`/`WHERRY_FLAG`, and the long name
 * as key of config.yaml. The command line wins over the environment, and both over the file.
 */

export interface FlagDefinition {
  /** Long name without dashes; also the config file's key. */
  readonly name: string;
  /** One letter. */
  readonly short?: string;
  readonly kind: "string" | "boolean" | "integer" | "list";
  /** Variables, first one set wins. */
  readonly env?: readonly string[];
  /** Shown by --help; the schema behind the flag gives the value. */
  readonly defaultText?: string;
  readonly help: string;
  /** Heading in --help. */
  readonly group?: string;
  /** Known to K3s but not here: using it is an error with this explanation. */
  readonly unsupported?: string;
}

export type FlagValue = string | boolean | number | readonly string[];
export type FlagValues = Readonly<Record<string, FlagValue>>;

/** Wrong use of the command line, environment or config file: exit code 2. */
export class UsageError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "UsageError";
  }
}

export interface FlagSources {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Flags from config files, in `parseArgs` form (see `argsFromConfig`), lowest priority. */
  readonly fileArgs?: readonly string[];
}

export interface ParsedFlags {
  readonly values: FlagValues;
  /** What is left after the flags. */
  readonly positionals: readonly string[];
}

/** Resolves all sources. Throws UsageError for an unknown or unsupported flag, a missing or malformed value. */
export function resolveFlags(
  definitions: readonly FlagDefinition[],
  sources: FlagSources,
): ParsedFlags {
  const fromFile = parseArgs(definitions, sources.fileArgs ?? [], "config file");
  const fromLine = parseArgs(definitions, sources.args, "command line");
  const values: Record<string, FlagValue> = { ...fromFile.values };
  for (const flag of definitions) {
    const variable = flag.env?.find((name) => (sources.env[name] ?? "") !== "");
    if (variable === undefined) continue;
    values[flag.name] = convert(flag, [sources.env[variable] ?? ""], variable);
  }
  Object.assign(values, fromLine.values);
  for (const flag of definitions) {
    if (flag.unsupported !== undefined && flag.name in values && values[flag.name] !== false) {
      throw new UsageError(`--${flag.name} is not supported: ${flag.unsupported}`);
    }
  }
  return { values, positionals: fromLine.positionals };
}

function parseArgs(
  definitions: readonly FlagDefinition[],
  args: readonly string[],
  source: string,
): ParsedFlags {
  const raw = new Map<FlagDefinition, string[]>();
  const positionals: string[] = [];
  for (let index = 0; index < args.length; index += 1) {
    const arg = args[index] ?? "";
    if (arg === "--") {
      positionals.push(...args.slice(index + 1));
      break;
    }
    if (!arg.startsWith("-") || arg === "-") {
      positionals.push(arg);
      continue;
    }
    const [name, inline] = splitFlag(arg);
    const flag = definitions.find((one) => one.name === name || one.short === name);
    if (flag === undefined)
      throw new UsageError(
        `unknown flag ${arg.split("=")[0]} (${source})${suggestion(name, definitions)}`,
      );
    let value = inline;
    if (value === undefined) {
      if (flag.kind === "boolean") value = "true";
      else {
        index += 1;
        value = args[index];
        if (value === undefined) throw new UsageError(`--${flag.name} needs a value (${source})`);
      }
    }
    raw.set(flag, [...(raw.get(flag) ?? []), value]);
  }
  const values = Object.fromEntries(
    [...raw].map(([flag, texts]) => [flag.name, convert(flag, texts, `--${flag.name}`)]),
  );
  return { values, positionals };
}

function splitFlag(arg: string): [name: string, value: string | undefined] {
  const body = arg.replace(/^--?/, "");
  const equals = body.indexOf("=");
  return equals < 0 ? [body, undefined] : [body.slice(0, equals), body.slice(equals + 1)];
}

function convert(flag: FlagDefinition, texts: readonly string[], source: string): FlagValue {
  const last = texts.at(-1) ?? "";
  switch (flag.kind) {
    case "string":
      return last;
    case "list":
      return texts.flatMap((text) => text.split(",")).filter((text) => text !== "");
    case "boolean":
      if (/^(true|1|yes)$/i.test(last)) return true;
      if (/^(false|0|no)$/i.test(last)) return false;
      throw new UsageError(`${source} must be true or false, not "${last}"`);
    case "integer": {
      if (!/^-?\d+$/.test(last))
        throw new UsageError(`${source} must be a whole number, not "${last}"`);
      return Number(last);
    }
  }
}

function suggestion(name: string, definitions: readonly FlagDefinition[]): string {
  const near = definitions.filter(
    (flag) => flag.unsupported === undefined && editDistance(flag.name, name) <= 2,
  );
  return near.length === 0
    ? "; see --help"
    : `; did you mean ${near.map((flag) => `--${flag.name}`).join(" or ")}?`;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

/** Help text: one line a flag, grouped, unsupported ones left out. */
export function describeFlags(definitions: readonly FlagDefinition[]): string {
  const shown = definitions.filter((flag) => flag.unsupported === undefined);
  const groups = [...new Set(shown.map((flag) => flag.group ?? "Options"))];
  return groups
    .map((group) => {
      const lines = shown.filter((flag) => (flag.group ?? "Options") === group).map(describeFlag);
      return `${group}:\n${lines.join("\n")}`;
    })
    .join("\n\n");
}

function describeFlag(flag: FlagDefinition): string {
  const value = { string: " VALUE", integer: " N", list: " VALUE,…", boolean: "" }[flag.kind];
  const head = `  ${flag.short === undefined ? "    " : `-${flag.short}, `}--${flag.name}${value}`;
  const notes = [
    ...(flag.defaultText === undefined ? [] : [`default ${flag.defaultText}`]),
    ...(flag.env === undefined ? [] : [flag.env.map((name) => `$${name}`).join(", ")]),
  ];
  const text = `${flag.help}${notes.length === 0 ? "" : ` (${notes.join("; ")})`}`;
  return head.length < 34 ? `${head.padEnd(34)}${text}` : `${head}\n${" ".repeat(34)}${text}`;
}
