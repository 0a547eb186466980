/** Bounds how many requests are worked on at once, reads and writes apart (upstream's max-in-flight filter). Watches and streams do not count. */
import type { UserInfo } from "@wherry/machinery";
import type { Gauge } from "@wherry/service-kit";
import type { RequestInfo } from "./chain.ts";

export interface InflightLimits {
  readonly readOnlyMax: number;
  readonly mutatingMax: number;
}

export interface InflightLimit {
  /** undefined = full; else call it when the request is done. */
  enter(info: RequestInfo, user: UserInfo): (() => void) | undefined;
  readonly running: number;
  /** Resolves when nothing runs any more, or when `deadline` is aborted. */
  idle(deadline: AbortSignal): Promise<void>;
}

const readVerbs = new Set(["get", "list", "watch", "head", "options"]);
const longRunningSubresources = new Set(["attach", "exec", "proxy", "log", "portforward"]);
const exempt = (): void => {};

export function isLongRunning(info: RequestInfo): boolean {
  return (
    info.verb === "watch" ||
    info.verb === "proxy" ||
    (info.isResourceRequest && longRunningSubresources.has(info.subresource))
  );
}

export function createInflightLimit(limits: InflightLimits, gauge: Gauge): InflightLimit {
  const running = { readOnly: 0, mutating: 0 };
  const waiting = new Set<() => void>();
  return {
    get running() {
      return running.readOnly + running.mutating;
    },
    enter(info, user) {
      if (isLongRunning(info)) return exempt;
      const kind = readVerbs.has(info.verb) ? "readOnly" : "mutating";
      const max = kind === "readOnly" ? limits.readOnlyMax : limits.mutatingMax;
      if (running[kind] >= max && !user.groups.includes("system:masters")) return undefined;
      running[kind] += 1;
      gauge.set(running[kind], { request_kind: kind });
      return () => {
        running[kind] -= 1;
        gauge.set(running[kind], { request_kind: kind });
        if (running.readOnly + running.mutating === 0) for (const resolve of waiting) resolve();
      };
    },
    idle(deadline) {
      if (running.readOnly + running.mutating === 0 || deadline.aborted) return Promise.resolve();
      return new Promise((resolve) => {
        const done = (): void => {
          waiting.delete(done);
          deadline.removeEventListener("abort", done);
          resolve();
        };
        waiting.add(done);
        deadline.addEventListener("abort", done);
      });
    },
  };
}
