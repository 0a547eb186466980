import { resources } from "@wherry/client";
import type { ApiClient } from "@wherry/client";
import { isApiError } from "@wherry/machinery";
import type { Json, Pod } from "@wherry/machinery";
import type { Clock, Logger } from "@wherry/service-kit";
import { podStatusPatch } from "./pod-status.ts";
import { podUid } from "./pod-types.ts";
import type { PodStatus } from "./pod-types.ts";
import { createSemaphore } from "./semaphore.ts";

/**
 * Carries pod statuses to the API server: for each pod one request at a time, always the newest state, only what differs, again and again
 * until it is taken.
 */
export interface StatusWriter {
  set(pod: Pod, status: PodStatus): void;
  /** What was set last. */
  get(uid: string): PodStatus | undefined;
  /** The pod has ended and holds nothing on this node: once its last status is written it is deleted from the API. */
  finish(pod: Pod): void;
  /** The API server's copy changed; a status that someone else overwrote is written again. */
  observe(pod: Pod): void;
  forget(uid: string): void;
  stop(): void;
}

interface Entry {
  pod: Pod;
  wanted: PodStatus;
  /** What the API server holds, as far as known. */
  base: PodStatus;
  baseVersion: string;
  finish: boolean;
  busy: boolean;
}

const retryMinMs = 1_000;
const retryMaxMs = 30_000;
const requestsMax = 16;

export function createStatusWriter(deps: {
  readonly api: ApiClient;
  readonly clock: Clock;
  readonly log: Logger;
}): StatusWriter {
  const { api, clock, log } = deps;
  const entries = new Map<string, Entry>();
  const requests = createSemaphore(requestsMax);
  const stopped = new AbortController();

  const flush = async (uid: string, entry: Entry): Promise<void> => {
    if (entry.busy) return;
    entry.busy = true;
    let retryMs = retryMinMs;
    try {
      while (entries.get(uid) === entry && !stopped.signal.aborted) {
        const wanted = entry.wanted;
        const patch = podStatusPatch(entry.base, wanted);
        if (patch === undefined && !entry.finish) return;
        try {
          if (patch !== undefined) await requests.run(() => write(entry, wanted, patch));
          else if (await requests.run(() => remove(entry))) return;
          retryMs = retryMinMs;
        } catch (error) {
          if (isApiError(error, "NotFound")) return;
          if (stopped.signal.aborted) return;
          if (await isReplaced(entry)) return;
          log.warn(
            {
              err: error,
              namespace: entry.pod.metadata.namespace,
              name: entry.pod.metadata.name,
              retryMs,
            },
            "writing a pod's status failed, trying again",
          );
          await clock.sleep(retryMs, stopped.signal).catch(() => {});
          retryMs = Math.min(retryMs * 2, retryMaxMs);
        }
      }
    } finally {
      entry.busy = false;
    }
  };

  const write = async (entry: Entry, wanted: PodStatus, patch: Json): Promise<void> => {
    const { name = "", namespace, uid = "" } = entry.pod.metadata;
    const body: Json = { metadata: { uid }, status: patch };
    const answer = await api.patch<Pod>(resources.pods, name, namespace, "strategic", body, {
      subresource: "status",
      signal: stopped.signal,
    });
    entry.base = answer.status ?? wanted;
    entry.baseVersion = answer.metadata.resourceVersion ?? "";
    // A server that leaves part of the status out must not be asked for it for ever.
    if (podStatusPatch(entry.base, wanted) !== undefined) entry.base = wanted;
  };

  const remove = async (entry: Entry): Promise<boolean> => {
    const { name = "", namespace, uid = "" } = entry.pod.metadata;
    try {
      await api.delete(resources.pods, name, namespace, {
        gracePeriodSeconds: 0,
        preconditions: { uid },
        signal: stopped.signal,
      });
    } catch (error) {
      if (!isApiError(error, "NotFound") && !isApiError(error, "Conflict")) throw error;
    }
    return true;
  };

  /** Another pod of the same name has taken the place. */
  const isReplaced = async (entry: Entry): Promise<boolean> => {
    try {
      const current = await api.get<Pod>(
        resources.pods,
        entry.pod.metadata.name ?? "",
        entry.pod.metadata.namespace,
        { signal: stopped.signal },
      );
      return current.metadata.uid !== entry.pod.metadata.uid;
    } catch (error) {
      return isApiError(error, "NotFound");
    }
  };

  return {
    set(pod, status) {
      const uid = podUid(pod);
      let entry = entries.get(uid);
      if (entry === undefined) {
        entry = {
          pod,
          wanted: status,
          base: pod.status ?? {},
          baseVersion: pod.metadata.resourceVersion ?? "",
          finish: false,
          busy: false,
        };
        entries.set(uid, entry);
      } else {
        entry.pod = pod;
        entry.wanted = status;
      }
      void flush(uid, entry);
    },
    get: (uid) => entries.get(uid)?.wanted,
    finish(pod) {
      const entry = entries.get(podUid(pod));
      if (entry === undefined) return;
      entry.finish = true;
      void flush(podUid(pod), entry);
    },
    observe(pod) {
      const uid = podUid(pod);
      const entry = entries.get(uid);
      if (
        entry === undefined ||
        entry.busy ||
        isOlder(pod.metadata.resourceVersion ?? "", entry.baseVersion)
      )
        return;
      entry.pod = pod;
      entry.base = pod.status ?? {};
      entry.baseVersion = pod.metadata.resourceVersion ?? "";
      void flush(uid, entry);
    },
    forget(uid) {
      entries.delete(uid);
    },
    stop() {
      stopped.abort(new Error("the node agent stops"));
      entries.clear();
    },
  };
}

/** Resource versions of one resource are numbers that rise. */
function isOlder(version: string, than: string): boolean {
  return /^\d+$/u.test(version) && /^\d+$/u.test(than) && BigInt(version) < BigInt(than);
}
