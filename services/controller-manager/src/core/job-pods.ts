import {
  findCondition,
  hasFinalizer,
  isBeingDeleted,
  parseTime,
  type Job,
  type Pod,
} from "@wherry/machinery";
import { matchFailurePolicy } from "./job-failure-policy.ts";
import { isEnded } from "./pod-control.ts";

/** Keeps a pod until its job has counted it. */
export const TRACKING = "batch.kubernetes.io/job-tracking";
export const INDEX = "batch.kubernetes.io/job-completion-index";
/** How often the index of a pod had failed before it (backoffLimitPerIndex). */
export const INDEX_FAILURES = "batch.kubernetes.io/job-index-failure-count";
/** Failures of the index that the failure policy did not count. */
export const INDEX_IGNORED_FAILURES = "batch.kubernetes.io/job-index-ignored-failure-count";

const BACKOFF_FIRST_MS = 10_000;
const BACKOFF_MAX_MS = 600_000;
const EXPONENT_MAX = 10;

export const isIndexed = (job: Job): boolean => job.spec.completionMode === "Indexed";
export const isPerIndex = (job: Job): boolean =>
  isIndexed(job) && job.spec.backoffLimitPerIndex !== undefined;
export const isTracked = (pod: Pod): boolean => hasFinalizer(pod, TRACKING);
export const isTerminating = (pod: Pod): boolean => isBeingDeleted(pod) && !isEnded(pod);
export const hasSucceeded = (pod: Pod): boolean => pod.status?.phase === "Succeeded";
/** -1 for a pod without one. */
export const indexOf = (pod: Pod): number => numberIn(pod, INDEX, -1);
export const indexFailuresOf = (pod: Pod): number => numberIn(pod, INDEX_FAILURES, 0);
export const ignoredFailuresOf = (pod: Pod): number => numberIn(pod, INDEX_IGNORED_FAILURES, 0);

function numberIn(pod: Pod, annotation: string, absent: number): number {
  const text = pod.metadata.annotations?.[annotation];
  return text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : absent;
}

/** Whether only pods that have failed are replaced, and not those that are still going away. */
export function replacesFailedOnly(job: Job): boolean {
  return job.spec.podReplacementPolicy === "Failed" || job.spec.podFailurePolicy !== undefined;
}

/** A pod that is going away may never come to a phase (it was on no node, or its node is gone): it has failed by that, unless only failed ones are replaced. */
export function hasFailed(job: Job, pod: Pod): boolean {
  if (pod.status?.phase === "Failed") return true;
  return !replacesFailedOnly(job) && isBeingDeleted(pod) && !hasSucceeded(pod);
}

/** False for a failure that the job's policy ignores. */
export function countsAsFailure(job: Job, pod: Pod): boolean {
  return matchFailurePolicy(job.spec.podFailurePolicy, pod)?.action !== "Ignore";
}

export function restartsOf(pod: Pod): number {
  return [
    ...(pod.status?.initContainerStatuses ?? []),
    ...(pod.status?.containerStatuses ?? []),
  ].reduce((sum, one) => sum + (one.restartCount ?? 0), 0);
}

/** When the pod ended, as well as its status tells. */
export function endedAtMs(pod: Pod): number {
  const containers = (pod.status?.containerStatuses ?? [])
    .map((one) => one.state?.terminated?.finishedAt)
    .filter((time) => time !== undefined);
  if (containers.length > 0) return Math.max(...containers.map(parseTime));
  const time =
    pod.metadata.deletionTimestamp ??
    findCondition(pod.status?.conditions, "Ready")?.lastTransitionTime ??
    pod.metadata.creationTimestamp;
  return time === undefined || time === null ? 0 : parseTime(time);
}

/** Time left before the next try: 10 s after the first failure since the last success, doubling to 10 min. */
export function backoffLeftMs(job: Job, pods: readonly Pod[], nowMs: number): number {
  const lastSuccessMs = Math.max(0, ...pods.filter(hasSucceeded).map(endedAtMs));
  const failures = pods
    .filter((pod) => hasFailed(job, pod))
    .map(endedAtMs)
    .filter((ms) => ms > lastSuccessMs);
  return failures.length === 0
    ? 0
    : Math.max(0, Math.max(...failures) + delayMs(failures.length) - nowMs);
}

/** The same for one index, from its last failed pod. */
export function indexBackoffLeftMs(failed: Pod, nowMs: number): number {
  return Math.max(
    0,
    endedAtMs(failed) + delayMs(indexFailuresOf(failed) + ignoredFailuresOf(failed) + 1) - nowMs,
  );
}

function delayMs(failures: number): number {
  return Math.min(BACKOFF_FIRST_MS * 2 ** Math.min(failures - 1, EXPONENT_MAX), BACKOFF_MAX_MS);
}
