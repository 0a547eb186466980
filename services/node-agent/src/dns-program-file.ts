import { fileURLToPath } from "node:url";
import { workerFile } from "@wherry/service-kit";

/** The entry file of the DNS process, for whoever composes its command line. */
export function dnsProgramFile(): string {
  return fileURLToPath(workerFile(import.meta.url, "dns-main"));
}
