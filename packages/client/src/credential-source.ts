import { readFileSync, statSync } from "node:fs";
import { TransportError } from "./transport-error.ts";

/** A secret given in place, or as a path to a file that may be replaced at any time. */
export type CredentialSource = { readonly value: string | Buffer } | { readonly file: string };

/** Reads a credential; a file is read again when its modification time, size or inode has changed. */
export interface Credential {
  read(): string;
}

/** Certificates, keys and tokens are small; a larger file is a mistake. */
const fileBytesMax = 1024 * 1024;

export function createCredential(name: string, source: CredentialSource): Credential {
  if ("value" in source) {
    const text = source.value.toString();
    return { read: () => text };
  }
  let stamp = "";
  let text = "";
  return {
    read() {
      try {
        const stat = statSync(source.file);
        const next = `${stat.mtimeMs} ${stat.size} ${stat.ino}`;
        if (next !== stamp) {
          if (stat.size > fileBytesMax) throw new Error(`it is larger than ${fileBytesMax} bytes`);
          text = readFileSync(source.file, "utf8");
          stamp = next;
        }
        return text;
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        throw new TransportError(
          "badCredentials",
          `${name} ${source.file} cannot be read: ${why}`,
          { cause: error },
        );
      }
    },
  };
}
