import { watch, type FSWatcher } from "node:fs";
import { basename, dirname } from "node:path";
import type { Clock } from "@wherry/service-kit";

/** Used where the kernel has no watch left to give, or the folder does not exist yet. */
const FALLBACK_MS = 1_000;

export interface FileSignal {
  /** Resolves once something happened to the file since the last call, or `poke` was called. */
  changed(): Promise<void>;
  poke(): void;
  close(): void;
}

/** Watches the folder of a file, so that a rotated file's successor is seen too. */
export function createFileSignal(file: string, clock: Clock): FileSignal {
  const name = basename(file);
  let pending = false;
  let wake: (() => void) | undefined;
  let closed = false;
  let watcher: FSWatcher | undefined;

  const poke = (): void => {
    pending = true;
    wake?.();
  };
  const fallBack = (): void => {
    watcher?.close();
    watcher = undefined;
    if (closed) return;
    clock.setTimer(FALLBACK_MS, () => {
      if (closed) return;
      poke();
      if (watcher === undefined) start();
    });
  };
  const start = (): void => {
    try {
      watcher = watch(dirname(file), (_event, changed) => {
        if (changed === null || changed === name) poke();
      });
      watcher.on("error", fallBack);
    } catch {
      fallBack();
    }
  };
  start();

  return {
    async changed() {
      if (!pending) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      wake = undefined;
      pending = false;
    },
    poke,
    close() {
      closed = true;
      watcher?.close();
      poke();
    },
  };
}
