import { readFile } from "node:fs/promises";
import { parseToken } from "@wherry/pki";
import { UsageError, type FlagValues } from "@wherry/service-kit";
import { textOf } from "./flag-values.ts";

/** The token of `--<flag>`, or of the file that `--<flag>-file` names. Throws UsageError naming the flag; the message never repeats the secret. */
export async function tokenOf(
  values: FlagValues,
  flag: "token" | "agent-token",
): Promise<string | undefined> {
  const text = textOf(values, flag);
  if (text !== undefined) return checked(text, `--${flag}`);
  const file = textOf(values, `${flag}-file`);
  return file === undefined
    ? undefined
    : checked(await contentOf(file, flag), `--${flag}-file ${file}`);
}

async function contentOf(file: string, flag: string): Promise<string> {
  try {
    return (await readFile(file, "utf8")).trim();
  } catch (error) {
    throw new UsageError(
      `--${flag}-file ${file} cannot be read (${(error as NodeJS.ErrnoException).code}); check the path and its permissions`,
      { cause: error },
    );
  }
}

function checked(text: string, source: string): string {
  try {
    parseToken(text);
  } catch (error) {
    throw new UsageError(
      `${source}: ${(error as Error).message}; copy the whole line of <data-dir>/server/node-token on the server`,
      { cause: error },
    );
  }
  return text;
}
