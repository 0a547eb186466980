import {
  ApiError,
  formatTime,
  isAlreadyExists,
  isNotFound,
  type CoreEvent,
  type KubeObject,
} from "@wherry/machinery";
import { silentLogger, type Clock, type Logger } from "@wherry/service-kit";
import type { ApiClient } from "./api-client.ts";
import { createEventCorrelator, type CorrelatedEvent } from "./event-correlator.ts";
import { resources } from "./resources.ts";

/** Records what happens to objects as core/v1 Events. Recording never fails and never waits: it is best effort. */
export interface EventRecorder {
  /** The object needs apiVersion, kind and metadata. Its namespace is the event's; "default" for cluster-scoped objects. */
  event(
    object: KubeObject,
    type: "Normal" | "Warning",
    reason: string,
    message: string,
    details?: EventDetails,
  ): void;
  /** Events that were not recorded, because the queue was full, the API refused them or did not answer. Skipped spam does not count. */
  readonly dropped: number;
  /** Resolves when everything so far has been recorded or dropped. */
  flush(): Promise<void>;
  /** Drops what waits. Idempotent. */
  stop(): void;
}

export interface EventDetails {
  /** Part of the object that is meant ("spec.containers{web}"). */
  readonly fieldPath?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface EventRecorderDeps {
  readonly client: ApiClient;
  readonly clock: Clock;
  /** Reporting component ("kubelet", "default-scheduler"). */
  readonly component: string;
  /** Host that the component runs on. */
  readonly node?: string;
  readonly log?: Logger;
}

/** Waiting events; further ones are dropped and counted. */
const queueMax = 1_000;
/** Attempts while the API does not answer, with a pause between them. */
const attemptsMax = 12;
const retryMs = 10_000;
/** Longer messages are cut, as upstream's validation demands. */
const messageMax = 1_024;

export function createEventRecorder(deps: EventRecorderDeps): EventRecorder {
  const { client, clock, component, node, log = silentLogger } = deps;
  const correlator = createEventCorrelator(clock);
  const queue: CoreEvent[] = [];
  const stop = new AbortController();
  let dropped = 0;
  let serial = 0;
  let draining: Promise<void> | undefined;

  const drain = async (): Promise<void> => {
    for (let event = queue.shift(); event !== undefined; event = queue.shift()) {
      const correlated = correlator.correlate(event);
      if (correlated.kind !== "skip") await record(correlated);
    }
    draining = undefined;
  };

  const record = async (correlated: Exclude<CorrelatedEvent, { kind: "skip" }>): Promise<void> => {
    for (let attempt = 1; !stop.signal.aborted; attempt += 1) {
      try {
        correlator.recorded(correlated, await write(correlated));
        return;
      } catch (error) {
        if (isAlreadyExists(error)) return;
        if (error instanceof ApiError || attempt >= attemptsMax) {
          dropped += 1;
          correlator.forget(correlated);
          log.warn({ reason: correlated.event.reason, err: error }, "event was not recorded");
          return;
        }
        await clock.sleep(retryMs, stop.signal).catch(() => {
          // Stopped: the loop ends.
        });
      }
    }
    dropped += 1;
  };

  const write = async (
    correlated: Exclude<CorrelatedEvent, { kind: "skip" }>,
  ): Promise<CoreEvent> => {
    const { event } = correlated;
    const { signal } = stop;
    if (correlated.kind === "count") {
      const patch = {
        count: event.count ?? 1,
        lastTimestamp: event.lastTimestamp ?? null,
        message: event.message ?? "",
      };
      try {
        return await client.patch<CoreEvent>(
          resources.events,
          correlated.name,
          event.metadata.namespace,
          "strategic",
          patch,
          { signal },
        );
      } catch (error) {
        // The event has run out on the server; it is recorded anew with its count.
        if (!isNotFound(error)) throw error;
      }
    }
    return client.create<CoreEvent>(resources.events, event, { signal });
  };

  return {
    event(object, type, reason, message, details = {}) {
      if (stop.signal.aborted || queue.length >= queueMax || object.kind === undefined) {
        dropped += 1;
        if (object.kind === undefined)
          log.warn({ reason }, "event about an object without kind was dropped");
        return;
      }
      serial += 1;
      const event = newEvent({
        object,
        type,
        reason,
        message,
        details,
        component,
        node,
        nowMs: clock.now(),
        serial,
      });
      queue.push(event);
      draining ??= drain();
    },
    get dropped() {
      return dropped;
    },
    flush: () => draining ?? Promise.resolve(),
    stop() {
      dropped += queue.length;
      queue.length = 0;
      stop.abort(new Error("the event recorder is stopped"));
    },
  };
}

interface EventParts {
  readonly object: KubeObject;
  readonly type: string;
  readonly reason: string;
  readonly message: string;
  readonly details: EventDetails;
  readonly component: string;
  readonly node: string | undefined;
  readonly nowMs: number;
  readonly serial: number;
}

function newEvent(parts: EventParts): CoreEvent {
  const { object, type, reason, message, details, component, node, nowMs, serial } = parts;
  const { name = "", namespace, uid, resourceVersion } = object.metadata;
  const time = formatTime(nowMs);
  // Upstream names events by the object and the time in nanoseconds; the serial number stands for what the clock cannot tell.
  const suffix = (BigInt(Math.floor(nowMs)) * 1_000_000n + BigInt(serial % 1_000_000)).toString(16);
  return {
    apiVersion: "v1",
    kind: "Event",
    metadata: {
      name: `${name}.${suffix}`,
      namespace: namespace ?? "default",
      ...(details.annotations === undefined ? {} : { annotations: details.annotations }),
    },
    involvedObject: {
      ...(object.kind === undefined ? {} : { kind: object.kind }),
      ...(object.apiVersion === undefined ? {} : { apiVersion: object.apiVersion }),
      name,
      ...(namespace === undefined ? {} : { namespace }),
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
      ...(details.fieldPath === undefined ? {} : { fieldPath: details.fieldPath }),
    },
    reason,
    message: message.slice(0, messageMax),
    source: { component, ...(node === undefined ? {} : { host: node }) },
    firstTimestamp: time,
    lastTimestamp: time,
    count: 1,
    type,
    reportingComponent: component,
    reportingInstance: node ?? "",
  };
}
