import { watch, type FSWatcher } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { tryParseAddress } from "@wherry/net";
import type { Logger } from "@wherry/service-kit";
import type { Upstream } from "./forwarder.ts";

/** As many as a resolver reads. */
const SERVERS_MAX = 3;

/** The name servers of a resolver file; `own` (the cluster DNS) is passed over, or queries would come back to it. */
export function upstreamsOf(text: string, own: string): Upstream[] {
  const upstreams: Upstream[] = [];
  for (const line of text.split("\n")) {
    const address = /^\s*nameserver\s+([^\s#;]+)/.exec(line)?.[1]?.split("%")[0];
    if (address === undefined || address === own || tryParseAddress(address) === undefined)
      continue;
    upstreams.push({ address, port: 53 });
  }
  return upstreams.slice(0, SERVERS_MAX);
}

export interface ResolvConf {
  upstreams(): Promise<readonly Upstream[]>;
  close(): void;
}

/** Follows the file: `onChange` when it was written or replaced. An empty path, or no file, is no name server. */
export function openResolvConf(
  path: string,
  own: string,
  log: Logger,
  onChange: () => void,
): ResolvConf {
  let watcher: FSWatcher | undefined;
  if (path !== "") {
    try {
      // The folder, because the file is usually replaced and not written.
      watcher = watch(dirname(path), { persistent: false }, (_event, name) => {
        if (name === null || name === basename(path)) onChange();
      });
      watcher.on("error", (error) =>
        log.warn({ err: error, path }, "changes of the resolver file go unnoticed"),
      );
    } catch (error) {
      log.warn({ err: error, path }, "changes of the resolver file go unnoticed");
    }
  }
  return {
    async upstreams() {
      if (path === "") return [];
      try {
        return upstreamsOf(await readFile(path, "utf8"), own);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
        throw error;
      }
    },
    close() {
      watcher?.close();
    },
  };
}
