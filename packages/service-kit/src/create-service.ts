import { createDeferred } from "./deferred.ts";
import type { Health, Service } from "./service.ts";

export interface ServiceParts {
  readonly name: string;
  /** Opens everything. `fail` ends the service by itself later on (its `done` rejects). */
  start(signal: AbortSignal, fail: (error: unknown) => void): Promise<void>;
  /** Called at most once, also after a start that failed or never ran to its end; must cope with what was opened so far. */
  stop(deadline: AbortSignal): Promise<void>;
  health?(): Health;
}

/** The life-cycle rules of `Service` around two functions: start once, stop once and for all callers, `done` settled rightly. */
export function createService(parts: ServiceParts): Service {
  const done = createDeferred();
  let state: "new" | "starting" | "running" | "stopped" = "new";
  let failure: unknown;
  let stopping: Promise<void> | undefined;

  const fail = (error: unknown): void => {
    if (state === "stopped" || failure !== undefined) return;
    failure = error;
    done.reject(error);
  };

  return {
    name: parts.name,
    done: done.promise,
    async start(signal) {
      if (state !== "new") throw new Error(`${parts.name} was started before; build a new one`);
      state = "starting";
      await parts.start(signal, fail);
      if (state === "starting") state = "running";
    },
    stop(deadline) {
      stopping ??= (async () => {
        const opened = state !== "new";
        state = "stopped";
        try {
          if (opened) await parts.stop(deadline);
        } finally {
          done.resolve();
        }
      })();
      return stopping;
    },
    health() {
      if (failure !== undefined)
        return {
          status: "failing",
          reason: failure instanceof Error ? failure.message : "ended by itself",
        };
      if (state !== "running")
        return { status: "failing", reason: state === "stopped" ? "stopped" : "not started yet" };
      return parts.health?.() ?? { status: "ok" };
    },
  };
}
