import { readFile, readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { UsageError, type FlagDefinition } from "./flags.ts";

export interface ConfigFileOptions {
  readonly path: string;
  /** True when the user named the file: then its absence is an error. */
  readonly explicit: boolean;
  /** Keys of other commands are skipped, so that one file serves them all. */
  readonly definitions: readonly FlagDefinition[];
  readonly otherCommands: readonly FlagDefinition[];
}

/**
 * Reads config.yaml and then config.yaml.d/*.yaml in alphabetical order, as K3s does, and gives them as arguments. A later file replaces
 * the value of a key; `key+` appends to it. Lists repeat the flag. Throws UsageError naming the file and the key.
 */
export async function readConfigArgs(options: ConfigFileOptions): Promise<string[]> {
  const merged = new Map<string, string[]>();
  for (const file of await configFiles(options)) {
    for (const [key, values] of Object.entries(await readMap(file))) {
      const name = key.replace(/\+$/, "");
      assertKnown(name, file, options);
      const texts = textsOf(values, key, file);
      merged.set(name, key.endsWith("+") ? [...(merged.get(name) ?? []), ...texts] : texts);
    }
  }
  const wanted = new Set(
    options.definitions.flatMap((flag) => [flag.name, flag.short ?? flag.name]),
  );
  return [...merged]
    .filter(([name]) => wanted.has(name))
    .flatMap(([name, texts]) => texts.map((text) => `--${name}=${text}`));
}

async function configFiles(options: ConfigFileOptions): Promise<string[]> {
  const files: string[] = [];
  try {
    await readFile(options.path);
    files.push(options.path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== "ENOENT")
      throw new UsageError(
        `config file ${options.path} cannot be read (${code}); check its permissions`,
        { cause: error },
      );
    if (options.explicit)
      throw new UsageError(`config file ${options.path} does not exist`, { cause: error });
  }
  const folder = `${options.path}.d`;
  try {
    const names = await readdir(folder);
    files.push(
      ...names
        .filter((name) => /\.ya?ml$/.test(name))
        .sort()
        .map((name) =>
          join(
            dirname(options.path),
            `${options.path.slice(dirname(options.path).length + 1)}.d`,
            name,
          ),
        ),
    );
  } catch {
    // No drop-in folder is the usual case.
  }
  return files;
}

async function readMap(file: string): Promise<Record<string, unknown>> {
  const { loadAll } = await import("js-yaml");
  let documents: readonly unknown[];
  try {
    // A file without a document (empty, or comments only) is an empty map.
    documents = loadAll(await readFile(file, "utf8"));
  } catch (error) {
    throw new UsageError(
      `config file ${file} is not valid YAML: ${(error as Error).message.split("\n")[0]}`,
      { cause: error },
    );
  }
  if (documents.length > 1)
    throw new UsageError(
      `config file ${file} holds ${documents.length} YAML documents; put everything into one`,
    );
  const [value] = documents;
  if (value === null || value === undefined) return {};
  if (typeof value !== "object" || Array.isArray(value))
    throw new UsageError(`config file ${file} must be a map of flag names to values`);
  return value as Record<string, unknown>;
}

function assertKnown(name: string, file: string, options: ConfigFileOptions): void {
  const known = [...options.definitions, ...options.otherCommands].some(
    (flag) => flag.name === name || flag.short === name,
  );
  if (!known)
    throw new UsageError(
      `config file ${file}: unknown key "${name}"; keys are long flag names, see --help`,
    );
}

function textsOf(value: unknown, key: string, file: string): string[] {
  if (Array.isArray(value)) return value.flatMap((item) => textsOf(item, key, file));
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean")
    return [String(value)];
  throw new UsageError(
    `config file ${file}: "${key}" must be a string, number, boolean or a list of them`,
  );
}
