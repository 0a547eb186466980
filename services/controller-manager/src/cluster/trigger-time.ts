import { findCondition, parseTime, type Pod, type Service } from "@wherry/machinery";

/**
 * When the change happened that a write of endpoints answers: the earliest readiness change among the pods that changed since the last
 * sync of the service, or the service's own creation. It travels as an annotation so that programming latency can be measured.
 */
export interface TriggerTimes {
  /** RFC 3339, or undefined when nothing is new. Call it once per sync, also when nothing will be written. */
  compute(key: string, service: Service, pods: readonly Pod[]): string | undefined;
  forget(key: string): void;
}

export const triggerTimeAnnotation = "endpoints.kubernetes.io/last-change-trigger-time";

interface Seen {
  readonly pods: ReadonlyMap<string, number>;
  readonly service: number;
}

export function createTriggerTimes(): TriggerTimes {
  const seen = new Map<string, Seen>();
  return {
    compute(key, service, pods) {
      const before = seen.get(key);
      const times = new Map<string, number>();
      const changed: number[] = [];
      for (const pod of pods) {
        const at = findCondition(pod.status?.conditions, "Ready")?.lastTransitionTime;
        if (at === undefined || at === null) continue;
        const name = pod.metadata.name ?? "";
        const ms = parseTime(at);
        times.set(name, ms);
        if (ms > (before?.pods.get(name) ?? 0)) changed.push(ms);
      }
      const created = service.metadata.creationTimestamp;
      const serviceMs = created === undefined || created === null ? 0 : parseTime(created);
      if (before !== undefined && serviceMs > before.service) changed.push(serviceMs);
      seen.set(key, { pods: times, service: serviceMs });
      const triggerMs = before === undefined ? serviceMs : Math.min(...changed);
      return triggerMs === 0 || !Number.isFinite(triggerMs) ? undefined : formatNano(triggerMs);
    },
    forget(key) {
      seen.delete(key);
    },
  };
}

/** Go's RFC3339Nano drops trailing zeros of the fraction. */
function formatNano(ms: number): string {
  return new Date(ms).toISOString().replace(/\.?0*Z$/, "Z");
}
