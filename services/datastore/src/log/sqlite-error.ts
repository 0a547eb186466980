import { LogError, type LogErrorCode } from "./log.ts";

/** SQLite's result code of an error that better-sqlite3 threw; undefined for any other error. */
export function sqliteCode(error: unknown): string | undefined {
  const code: unknown =
    error instanceof Error ? (error as { readonly code?: unknown }).code : undefined;
  return typeof code === "string" && code.startsWith("SQLITE_") ? code : undefined;
}

/**
 * What a failed write means. A full disk and a busy or read-only database leave the log as it was; after anything else (an
 * I/O error, above all a failed fsync, which the kernel reports only once) its state is not known.
 */
export function writeErrorCode(error: unknown): LogErrorCode {
  const code = sqliteCode(error) ?? "";
  if (code === "SQLITE_FULL") return "full";
  return /^SQLITE_(BUSY|LOCKED|READONLY|TOOBIG|NOMEM)/.test(code) ? "rejected" : "broken";
}

/** An error on the way to opening `file`, as a person can act on it. */
export function openError(file: string, error: unknown): LogError {
  if (error instanceof LogError) return error;
  const code = sqliteCode(error) ?? (error as NodeJS.ErrnoException).code ?? "";
  return new LogError("unusable", `${file}: ${adviceFor(code, error)}`, { cause: error });
}

function adviceFor(code: string, error: unknown): string {
  if (code.startsWith("SQLITE_BUSY")) return "another process uses this database; stop it first";
  if (code === "SQLITE_NOTADB")
    return "the file is not an SQLite database; name another file or restore it from a backup";
  if (code.startsWith("SQLITE_CORRUPT")) return "the database is damaged; restore it from a backup";
  if (code.startsWith("SQLITE_CANTOPEN"))
    return "the database cannot be opened; check that its folder exists and is writable";
  if (code.startsWith("SQLITE_READONLY"))
    return "the database cannot be written; check the permissions of the file and its folder";
  if (code === "SQLITE_FULL") return "the disk is full; free space and start again";
  return error instanceof Error ? error.message : String(error);
}
