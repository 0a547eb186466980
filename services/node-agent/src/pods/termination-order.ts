import type { Clock } from "@wherry/service-kit";
import { createDeferred } from "@wherry/service-kit";
import type { Deferred } from "@wherry/service-kit";
import type { Pod } from "@wherry/machinery";
import { isSidecar, podSpec } from "./pod-types.ts";

/** The order in which a pod's containers end: main ones first, then sidecars from the last to the first. */
export interface TerminationOrder {
  /** Resolves when all containers that go before have ended, or after `limitMs`; gives the time waited. */
  waitForTurn(container: string, limitMs: number): Promise<number>;
  ended(container: string): void;
}

export function createTerminationOrder(
  pod: Pod,
  running: readonly string[],
  clock: Clock,
): TerminationOrder {
  const spec = podSpec(pod);
  const ends = new Map<string, Deferred<void>>(running.map((name) => [name, createDeferred()]));
  const mains = (spec.containers ?? []).map((one) => one.name);
  const sidecars = (spec.initContainers ?? []).filter(isSidecar).map((one) => one.name);

  const before = (container: string): readonly string[] => {
    const position = sidecars.indexOf(container);
    return position < 0 ? [] : [...mains, ...sidecars.slice(position + 1)];
  };

  return {
    async waitForTurn(container, limitMs) {
      const pending = before(container).flatMap((name) => ends.get(name)?.promise ?? []);
      if (pending.length === 0) return 0;
      const startedMs = clock.monotonic();
      const limit = createDeferred();
      const timer = clock.setTimer(limitMs, () => limit.resolve());
      await Promise.race([Promise.all(pending), limit.promise]);
      timer.cancel();
      return clock.monotonic() - startedMs;
    },
    ended(container) {
      ends.get(container)?.resolve();
    },
  };
}
