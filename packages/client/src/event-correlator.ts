import { formatTime, type CoreEvent } from "@wherry/machinery";
import type { Clock } from "@wherry/service-kit";
import { createBoundedMap } from "./bounded-map.ts";
import { createTokenBucket, type TokenBucket } from "./token-bucket.ts";

/**
 * Keeps events from flooding the API, by client-go's rules:
 * 1. A source may record 25 events about one object, then one in five minutes; more are skipped.
 * 2. From the tenth event on that differs in its message only within ten minutes, they become one "(combined from similar events)".
 * 3. An event that was recorded before raises the count of that one.
 */
export interface EventCorrelator {
  correlate(event: CoreEvent): CorrelatedEvent;
  /** The server's answer: what the next equal event counts on. */
  recorded(correlated: CorrelatedEvent, stored: CoreEvent): void;
  /** The recorded event is gone on the server. */
  forget(correlated: CorrelatedEvent): void;
}

export type CorrelatedEvent =
  | { readonly kind: "skip" }
  | { readonly kind: "create"; readonly key: string; readonly event: CoreEvent }
  | {
      readonly kind: "count";
      readonly key: string;
      readonly event: CoreEvent;
      readonly name: string;
    };

interface Observation {
  readonly count: number;
  readonly firstTimestamp: string;
  readonly name: string;
}

interface Aggregate {
  readonly messages: Set<string>;
  readonly lastMs: number;
}

const entriesMax = 4096;
const spamBurst = 25;
const spamPerSecond = 1 / 300;
const aggregateFrom = 10;
const aggregateIntervalMs = 600_000;

export function createEventCorrelator(clock: Clock): EventCorrelator {
  const buckets = createBoundedMap<TokenBucket>(entriesMax);
  const aggregates = createBoundedMap<Aggregate>(entriesMax);
  const observations = createBoundedMap<Observation>(entriesMax);

  const isSpam = (event: CoreEvent): boolean => {
    const key = sourceKey(event);
    const bucket = buckets.get(key) ?? createTokenBucket(clock, spamPerSecond, spamBurst);
    buckets.set(key, bucket);
    return !bucket.tryTake();
  };

  const aggregate = (event: CoreEvent): { readonly key: string; readonly event: CoreEvent } => {
    const key = [
      sourceKey(event),
      event.type,
      event.reason,
      event.reportingComponent,
      event.reportingInstance,
    ].join("\0");
    const nowMs = clock.monotonic();
    const known = aggregates.get(key);
    const isFresh = known === undefined || nowMs - known.lastMs > aggregateIntervalMs;
    const messages = isFresh ? new Set<string>() : known.messages;
    messages.add(event.message ?? "");
    aggregates.set(key, { messages, lastMs: nowMs });
    if (messages.size < aggregateFrom) return { key: eventKey(event), event };
    const [any] = messages;
    if (any !== undefined) messages.delete(any);
    return {
      key,
      event: { ...event, message: `(combined from similar events): ${event.message ?? ""}` },
    };
  };

  return {
    correlate(incoming) {
      if (isSpam(incoming)) return { kind: "skip" };
      const { key, event } = aggregate(incoming);
      const last = observations.get(key);
      if (last === undefined) {
        observations.set(key, {
          count: 1,
          firstTimestamp: event.firstTimestamp ?? formatTime(clock.now()),
          name: event.metadata.name ?? "",
        });
        return { kind: "create", key, event };
      }
      const { name, firstTimestamp } = last;
      const count = last.count + 1;
      observations.set(key, { name, firstTimestamp, count });
      const counted = { ...event, metadata: { ...event.metadata, name }, firstTimestamp, count };
      return { kind: "count", key, event: counted, name };
    },
    recorded(correlated, stored) {
      if (correlated.kind === "skip") return;
      observations.set(correlated.key, {
        count: Math.max(stored.count ?? 1, observations.get(correlated.key)?.count ?? 1),
        firstTimestamp: stored.firstTimestamp ?? formatTime(clock.now()),
        name: stored.metadata.name ?? "",
      });
    },
    forget(correlated) {
      if (correlated.kind !== "skip") observations.delete(correlated.key);
    },
  };
}

function sourceKey({ source, involvedObject }: CoreEvent): string {
  return [
    source?.component,
    source?.host,
    involvedObject.kind,
    involvedObject.namespace,
    involvedObject.name,
    involvedObject.uid,
    involvedObject.apiVersion,
  ].join("\0");
}

function eventKey(event: CoreEvent): string {
  return [
    sourceKey(event),
    event.involvedObject.fieldPath,
    event.type,
    event.reason,
    event.message,
  ].join("\0");
}
