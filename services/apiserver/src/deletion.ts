/**
 * What a DELETE does to an object, as a pure decision (upstream: rest.BeforeDelete and the generic store's finalizer rules).
 * An object with a grace period or finalizers is marked first; it goes when the time is up or the last finalizer is gone.
 */
import { formatTime, parseTime, type KubeObject } from "@wherry/machinery";
import type { Draft, ResourceDefinition } from "@wherry/schema";
import type { DeleteParameters } from "./resource-operations.ts";

export const orphanFinalizer = "orphan";
export const foregroundFinalizer = "foregroundDeletion";

export type DeletionStep =
  /** Nothing to do: it is being deleted already and this request does not shorten the time. */
  | { readonly kind: "pending" }
  /** The draft was marked and is to be written; `thenRemove` = remove it right after. */
  | { readonly kind: "mark"; readonly thenRemove: boolean }
  | { readonly kind: "remove" };

/** Changes `draft` (a copy of the current object) as the step says. */
export function decideDeletion(
  definition: ResourceDefinition,
  draft: Draft,
  parameters: DeleteParameters,
  nowMs: number,
): DeletionStep {
  const current = draft as KubeObject;
  const { deletionTimestamp, deletionGracePeriodSeconds: pendingSeconds = 0 } = current.metadata;
  let graceful: number | undefined;
  if (isGraceful(definition)) {
    if (deletionTimestamp === undefined) {
      graceful = graceSeconds(definition, current, parameters.gracePeriodSeconds);
      mark(draft, nowMs + graceful * 1000, graceful);
    } else if (pendingSeconds > 0) {
      const wanted = parameters.gracePeriodSeconds;
      if (wanted === undefined || wanted >= pendingSeconds) return { kind: "pending" };
      graceful = Math.max(0, wanted);
      const requestedMs = parseTime(deletionTimestamp) - pendingSeconds * 1000;
      draft.metadata["deletionTimestamp"] = formatTime(requestedMs + graceful * 1000);
      draft.metadata["deletionGracePeriodSeconds"] = graceful;
    }
  }
  const before = current.metadata.finalizers ?? [];
  const finalizers = finalizersAfter(before, parameters);
  const changed =
    finalizers.length !== before.length ||
    finalizers.some((finalizer, index) => finalizer !== before[index]);
  if (changed) {
    if (finalizers.length === 0) delete draft.metadata["finalizers"];
    else draft.metadata["finalizers"] = finalizers;
  }
  if (graceful === undefined) {
    if (finalizers.length === 0) return { kind: "remove" };
    if (deletionTimestamp === undefined) mark(draft, nowMs, 0);
    return { kind: "mark", thenRemove: false };
  }
  return { kind: "mark", thenRemove: graceful === 0 && finalizers.length === 0 };
}

/** True when an update leaves nothing that holds a deleted object back. */
export function isFinished(object: KubeObject): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds = 0, finalizers = [] } = object.metadata;
  if (deletionTimestamp === undefined || finalizers.length > 0 || deletionGracePeriodSeconds > 0)
    return false;
  const spec = (object as { readonly spec?: { readonly finalizers?: readonly string[] } }).spec;
  return object.kind !== "Namespace" || (spec?.finalizers ?? []).length === 0;
}

/** Pods are the only kind whose deletion takes the time that they ask for. */
function isGraceful(definition: ResourceDefinition): boolean {
  return definition.group === "" && definition.resource === "pods";
}

function graceSeconds(
  definition: ResourceDefinition,
  pod: KubeObject,
  wanted: number | undefined,
): number {
  const { spec, status } = pod as {
    readonly spec?: { readonly nodeName?: string };
    readonly status?: { readonly phase?: string };
  };
  // Nobody has to be waited for when no node runs it.
  if ((spec?.nodeName ?? "") === "" || status?.phase === "Failed" || status?.phase === "Succeeded")
    return 0;
  const seconds = wanted ?? definition.strategy.defaultGracePeriodSeconds(pod);
  return seconds < 0 ? 1 : seconds;
}

function mark(draft: Draft, dueMs: number, seconds: number): void {
  draft.metadata["deletionTimestamp"] = formatTime(dueMs);
  draft.metadata["deletionGracePeriodSeconds"] = seconds;
  const { generation } = draft.metadata;
  if (typeof generation === "number" && generation > 0)
    draft.metadata["generation"] = generation + 1;
}

/** The garbage collector's finalizers as the request wants them; others stay. */
function finalizersAfter(
  before: readonly string[],
  { orphanDependents, propagationPolicy }: DeleteParameters,
): readonly string[] {
  let orphan = before.includes(orphanFinalizer);
  let foreground = !orphan && before.includes(foregroundFinalizer);
  if (orphanDependents !== undefined) {
    orphan = orphanDependents;
    foreground = false;
  } else if (propagationPolicy !== undefined) {
    orphan = propagationPolicy === "Orphan";
    foreground = propagationPolicy === "Foreground";
  }
  const kept = before.filter(
    (finalizer) => finalizer !== orphanFinalizer && finalizer !== foregroundFinalizer,
  );
  const wanted = [
    ...kept,
    ...(orphan ? [orphanFinalizer] : []),
    ...(foreground ? [foregroundFinalizer] : []),
  ];
  const same =
    wanted.length === before.length && wanted.every((finalizer) => before.includes(finalizer));
  return same ? before : wanted;
}
