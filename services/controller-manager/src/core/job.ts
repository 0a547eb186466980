/**
 * Jobs. A pod carries the finalizer `batch.kubernetes.io/job-tracking` until it has been counted, so that none is forgotten or counted twice:
 * J1. A finished pod's uid is first listed in `status.uncountedTerminatedPods`.
 * J2. Only then its finalizer is removed.
 * J3. Only when the finalizer is gone the uid leaves the list and the counter rises.
 * A job ends in two steps (KEP-3998): SuccessCriteriaMet or FailureTarget, then, when no pod is left running, Complete or Failed.
 */
import { resources } from "@wherry/client";
import { controllerOf, formatTime, hasFinalizer, isBeingDeleted, isNotFound, objectKey, parseTime, type Job, type JobCondition, type JobStatus, type Pod } from "@wherry/machinery";
import { createReconciler, onAnyChange, withType, type Controller, type ControllerContext } from "./controller.ts";
import { createExpectations } from "./expectations.ts";
import { formatIndexes, parseIndexes } from "./job-indexes.ts";
import { followOwnedPods } from "./owned-pods.ts";
import { byExpendability, createPodControl, isActive, isEnded, isReady, slowStart } from "./pod-control.ts";
import { ignoreGone, sorted } from "./replica-set.ts";

const TYPE = { apiVersion: "batch/v1", kind: "Job" };
export const TRACKING = "batch.kubernetes.io/job-tracking";
const INDEX = "batch.kubernetes.io/job-completion-index";
const BACKOFF_FIRST_MS = 10_000;
const BACKOFF_MAX_MS = 600_000;

export interface JobState {
  readonly job: Job;
  readonly pods: readonly Pod[];
  readonly nowMs: number;
}

export interface JobPlan {
  readonly status: JobStatus;
  /** Indexes of the pods to create; for a job without indexes only their number counts. */
  readonly create: readonly number[];
  readonly remove: readonly Pod[];
  /** Pods whose finalizer may go once the status is stored. */
  readonly release: readonly Pod[];
  readonly requeueAfterMs: number | undefined;
  readonly event: { readonly type: "Normal" | "Warning"; readonly reason: string; readonly message: string } | undefined;
}

export function isFinished(job: Job): JobCondition | undefined {
  return job.status?.conditions?.find((one) => (one.type === "Complete" || one.type === "Failed") && one.status === "True");
}

const indexOf = (pod: Pod): number => Number(pod.metadata.annotations?.[INDEX] ?? -1);
const uidOf = (pod: Pod): string => pod.metadata.uid ?? "";
const hasSucceeded = (pod: Pod): boolean => pod.status?.phase === "Succeeded";
/** A pod that is going away without having ended has failed, as soon as it is gone from its node. */
const hasFailed = (pod: Pod): boolean => pod.status?.phase === "Failed";

interface Count {
  readonly succeeded: number;
  readonly failed: number;
  readonly uncounted: { readonly succeeded: string[]; readonly failed: string[] };
  readonly completed: Set<number>;
}

/** J1 and J3. */
function countPods({ job, pods }: JobState): Count {
  const old = job.status ?? {};
  const tracked = new Map(pods.filter((pod) => hasFinalizer(pod, TRACKING)).map((pod) => [uidOf(pod), pod]));
  let succeeded = old.succeeded ?? 0;
  let failed = old.failed ?? 0;
  const keep = { succeeded: [] as string[], failed: [] as string[] };
  for (const uid of old.uncountedTerminatedPods?.succeeded ?? []) {
    if (tracked.has(uid)) keep.succeeded.push(uid);
    else succeeded += 1;
  }
  for (const uid of old.uncountedTerminatedPods?.failed ?? []) {
    if (tracked.has(uid)) keep.failed.push(uid);
    else failed += 1;
  }
  const completed = parseIndexes(old.completedIndexes);
  for (const [uid, pod] of tracked) {
    if (keep.succeeded.includes(uid) || keep.failed.includes(uid)) continue;
    if (hasSucceeded(pod)) keep.succeeded.push(uid);
    else if (hasFailed(pod)) keep.failed.push(uid);
  }
  for (const pod of pods) if (hasSucceeded(pod) && isIndexed(job)) completed.add(indexOf(pod));
  return { succeeded, failed, uncounted: keep, completed };
}

const isIndexed = (job: Job): boolean => job.spec.completionMode === "Indexed";

/** Pure: counts, decides, and says what to create and remove. */
export function planJob(state: JobState): JobPlan {
  const { job, pods, nowMs } = state;
  const now = formatTime(nowMs);
  const count = countPods(state);
  const active = pods.filter(isActive);
  const succeeded = isIndexed(job) ? count.completed.size : count.succeeded + count.uncounted.succeeded.length;
  const failed = count.failed + count.uncounted.failed.length;
  const conditions = [...(job.status?.conditions ?? [])];
  const condition = (type: string, reason: string, message: string, status = "True"): void => {
    const at = conditions.findIndex((one) => one.type === type);
    const next = { type, status, reason, message, lastProbeTime: now, lastTransitionTime: now };
    if (at < 0) conditions.push(next);
    else if (conditions[at]?.status !== status) conditions[at] = next;
  };
  const has = (type: string): JobCondition | undefined => conditions.find((one) => one.type === type && one.status === "True");
  const suspended = job.spec.suspend === true;
  const startTime = job.status?.startTime ?? (suspended ? undefined : now);

  if (has("SuccessCriteriaMet") === undefined && has("FailureTarget") === undefined) {
    const verdict = judge(state, succeeded, failed, active.length, startTime);
    if (verdict !== undefined) condition(verdict.isSuccess ? "SuccessCriteriaMet" : "FailureTarget", verdict.reason, verdict.message);
  }
  const ending = has("SuccessCriteriaMet") ?? has("FailureTarget");
  const terminating = pods.filter((pod) => isBeingDeleted(pod) && !isEnded(pod)).length;
  let event: JobPlan["event"];
  let completionTime = job.status?.completionTime;
  if (ending !== undefined && active.length === 0 && terminating === 0 && count.uncounted.succeeded.length + count.uncounted.failed.length === 0) {
    const isSuccess = ending.type === "SuccessCriteriaMet";
    condition(isSuccess ? "Complete" : "Failed", ending.reason ?? "", ending.message ?? "");
    if (isSuccess) completionTime = now;
    event = isSuccess ? { type: "Normal", reason: "Completed", message: "Job completed" } : { type: "Warning", reason: ending.reason ?? "", message: ending.message ?? "" };
  }
  if (suspended && ending === undefined) condition("Suspended", "JobSuspended", "Job suspended");
  else if (conditions.some((one) => one.type === "Suspended" && one.status === "True")) condition("Suspended", "JobResumed", "Job resumed", "False");

  const backoff = backoffMs(pods, failed, nowMs);
  const work = ending !== undefined || suspended ? { create: [], remove: active } : planPods(state, active, succeeded, count.completed);
  const create = backoff > 0 ? [] : work.create;
  const uncounted = count.uncounted.succeeded.length + count.uncounted.failed.length > 0 ? { uncountedTerminatedPods: prune(count.uncounted) } : { uncountedTerminatedPods: {} };
  const status: JobStatus = {
    ...(startTime === undefined || suspended ? {} : { startTime }),
    ...(completionTime === undefined ? {} : { completionTime }),
    ...(active.length === 0 ? {} : { active: active.length }),
    ready: active.filter(isReady).length,
    terminating,
    ...(count.succeeded === 0 ? {} : { succeeded: count.succeeded }),
    ...(count.failed === 0 ? {} : { failed: count.failed }),
    ...uncounted,
    ...(count.completed.size === 0 ? {} : { completedIndexes: formatIndexes(count.completed) }),
    ...(conditions.length === 0 ? {} : { conditions }),
  };
  const listed = new Set([...count.uncounted.succeeded, ...count.uncounted.failed]);
  return {
    status,
    create,
    remove: work.remove,
    release: pods.filter((pod) => hasFinalizer(pod, TRACKING) && (listed.has(uidOf(pod)) || (isBeingDeleted(pod) && isEnded(pod)))),
    requeueAfterMs: nextLookMs(state, startTime, backoff > 0 && work.create.length > 0 ? backoff : undefined),
    event,
  };
}

function prune(uncounted: Count["uncounted"]): NonNullable<JobStatus["uncountedTerminatedPods"]> {
  return { ...(uncounted.succeeded.length === 0 ? {} : { succeeded: uncounted.succeeded }), ...(uncounted.failed.length === 0 ? {} : { failed: uncounted.failed }) };
}

interface Verdict {
  readonly isSuccess: boolean;
  readonly reason: string;
  readonly message: string;
}

function judge({ job, pods, nowMs }: JobState, succeeded: number, failed: number, active: number, startTime: string | undefined): Verdict | undefined {
  const { completions, backoffLimit = 6, activeDeadlineSeconds } = job.spec;
  const restarts = job.spec.template.spec.restartPolicy === "OnFailure" ? pods.filter((pod) => !isEnded(pod)).reduce((sum, pod) => sum + restartsOf(pod), 0) : 0;
  if (failed + restarts > backoffLimit) return { isSuccess: false, reason: "BackoffLimitExceeded", message: "Job has reached the specified backoff limit" };
  if (activeDeadlineSeconds !== undefined && startTime !== undefined && parseTime(startTime) + activeDeadlineSeconds * 1_000 <= nowMs && job.spec.suspend !== true) {
    return { isSuccess: false, reason: "DeadlineExceeded", message: "Job was active longer than specified deadline" };
  }
  const reached = completions === undefined ? succeeded > 0 && active === 0 : succeeded >= completions;
  return reached ? { isSuccess: true, reason: "CompletionsReached", message: "Reached expected number of succeeded pods" } : undefined;
}

function restartsOf(pod: Pod): number {
  return [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])].reduce((sum, one) => sum + (one.restartCount ?? 0), 0);
}

function planPods({ job, pods }: JobState, active: readonly Pod[], succeeded: number, completed: ReadonlySet<number>): { readonly create: readonly number[]; readonly remove: readonly Pod[] } {
  const { completions, parallelism = 1 } = job.spec;
  const wanted = completions === undefined ? (succeeded > 0 ? active.length : parallelism) : Math.min(parallelism, Math.max(0, completions - succeeded));
  if (active.length > wanted) return { create: [], remove: [...active].sort(byExpendability).slice(0, active.length - wanted) };
  // Pods that are going away still use their place (podReplacementPolicy Failed waits for them too).
  const going = job.spec.podReplacementPolicy === "Failed" ? pods.filter((pod) => isBeingDeleted(pod) && !isEnded(pod)).length : 0;
  const missing = Math.max(0, wanted - active.length - going);
  if (!isIndexed(job)) return { create: Array.from({ length: missing }, () => -1), remove: [] };
  const taken = new Set([...completed, ...active.map(indexOf)]);
  const free: number[] = [];
  for (let index = 0; index < (completions ?? 0) && free.length < missing; index += 1) if (!taken.has(index)) free.push(index);
  return { create: free, remove: [] };
}

/** Time left before the next try after failures: 10 s, doubling to 10 min, from the last failure on. */
function backoffMs(pods: readonly Pod[], failed: number, nowMs: number): number {
  if (failed === 0) return 0;
  const lastFailureMs = Math.max(0, ...pods.filter(hasFailed).map(finishedAtMs));
  if (lastFailureMs === 0) return 0;
  return Math.max(0, lastFailureMs + Math.min(BACKOFF_FIRST_MS * 2 ** (failed - 1), BACKOFF_MAX_MS) - nowMs);
}

function finishedAtMs(pod: Pod): number {
  return Math.max(0, ...(pod.status?.containerStatuses ?? []).map((one) => (one.state?.terminated?.finishedAt === undefined ? 0 : parseTime(one.state.terminated.finishedAt))));
}

function nextLookMs({ job, nowMs }: JobState, startTime: string | undefined, backoff: number | undefined): number | undefined {
  const deadline = job.spec.activeDeadlineSeconds;
  const deadlineMs = deadline === undefined || startTime === undefined || isFinished(job) !== undefined ? undefined : parseTime(startTime) + deadline * 1_000 - nowMs;
  const candidates = [backoff, deadlineMs].filter((ms) => ms !== undefined && ms > 0) as number[];
  return candidates.length === 0 ? undefined : Math.min(...candidates);
}

export function createJobController(context: ControllerContext): Controller {
  const { api, informers, events, clock } = context;
  const expectations = createExpectations(clock);
  const podControl = createPodControl(context, expectations);
  const jobs = informers.informer<Job>(resources.jobs);
  const pods = informers.informer<Pod>(resources.pods, { indexes: { namespace: (pod) => [pod.metadata.namespace ?? ""] } });

  const reconciler = createReconciler({
    name: "job",
    context,
    async reconcile(key) {
      const job = jobs.store.get(key);
      if (job === undefined) {
        expectations.forget(key);
        return undefined;
      }
      const owned = pods.store.byIndex("namespace", job.metadata.namespace ?? "").filter((pod) => controllerOf(pod)?.uid === job.metadata.uid);
      if (isBeingDeleted(job) || (job.spec.managedBy ?? "kubernetes.io/job-controller") !== "kubernetes.io/job-controller") {
        await Promise.all(owned.filter(isEnded).map(release));
        return undefined;
      }
      if (isFinished(job) !== undefined) {
        await Promise.all(owned.map(release));
        return await expire(job);
      }
      if (!expectations.satisfied(key)) return undefined;
      const plan = planJob({ job, pods: owned, nowMs: clock.now() });
      await storeStatus(job, plan.status);
      await Promise.all(plan.release.map(release));
      if (plan.event !== undefined) events.event(withType(job, TYPE.apiVersion, TYPE.kind), plan.event.type, plan.event.reason, plan.event.message);
      await Promise.all(plan.remove.map((pod) => podControl.delete(job, TYPE, pod)));
      await slowStart(plan.create.length, (index) => createPod(job, plan.create[index] ?? -1));
      return plan.requeueAfterMs === undefined ? undefined : { requeueAfterMs: plan.requeueAfterMs };
    },
  });

  const storeStatus = async (job: Job, status: JobStatus): Promise<void> => {
    if (JSON.stringify(sorted(status)) === JSON.stringify(sorted(job.status))) return;
    await api.update(resources.jobs, { ...job, status }, { subresource: "status" });
  };

  /** J2. */
  const release = async (pod: Pod): Promise<void> => {
    if (!hasFinalizer(pod, TRACKING)) return;
    const finalizers = (pod.metadata.finalizers ?? []).filter((one) => one !== TRACKING);
    await api
      .patch(resources.pods, pod.metadata.name ?? "", pod.metadata.namespace, "merge", { metadata: { uid: pod.metadata.uid, finalizers: finalizers.length === 0 ? null : finalizers } })
      .catch(ignoreGone);
  };

  const createPod = async (job: Job, index: number): Promise<void> => {
    const { template } = job.spec;
    if (index < 0) {
      await podControl.create(job, TYPE, template, { finalizers: [TRACKING] });
      return;
    }
    const env = { name: "JOB_COMPLETION_INDEX", valueFrom: { fieldRef: { fieldPath: `metadata.labels['${INDEX}']` } } };
    const withEnv = <T extends { readonly env?: readonly { readonly name: string }[] }>(container: T): T => ({ ...container, env: [...(container.env ?? []), env] });
    await podControl.create(job, TYPE, template, {
      labels: { [INDEX]: String(index) },
      annotations: { [INDEX]: String(index) },
      finalizers: [TRACKING],
      spec: {
        hostname: `${job.metadata.name}-${index}`,
        containers: template.spec.containers.map(withEnv),
        ...(template.spec.initContainers === undefined ? {} : { initContainers: template.spec.initContainers.map(withEnv) }),
      },
    });
  };

  /** ttlSecondsAfterFinished. */
  const expire = async (job: Job): Promise<{ readonly requeueAfterMs: number } | undefined> => {
    const ttl = job.spec.ttlSecondsAfterFinished;
    const finishedAt = isFinished(job)?.lastTransitionTime;
    if (ttl === undefined || finishedAt === undefined) return undefined;
    const leftMs = parseTime(finishedAt) + ttl * 1_000 - clock.now();
    if (leftMs > 0) return { requeueAfterMs: leftMs };
    try {
      await api.delete(resources.jobs, job.metadata.name ?? "", job.metadata.namespace, { propagationPolicy: "Foreground", preconditions: { uid: job.metadata.uid ?? "" } });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    return undefined;
  };

  jobs.subscribe(onAnyChange((job) => reconciler.enqueue(objectKey(job))));
  followOwnedPods({ pods, kind: TYPE.kind, expectations, enqueue: reconciler.enqueue, owners: () => [], selectorOf: () => undefined });
  // A pod whose job is gone must not wait for a counter that nobody keeps.
  pods.subscribe(
    onAnyChange((pod) => {
      const owner = controllerOf(pod);
      if (!hasFinalizer(pod, TRACKING) || owner === undefined || !jobs.synced) return;
      const job = jobs.store.get(`${pod.metadata.namespace}/${owner.name}`);
      if (job?.metadata.uid !== owner.uid) void release(pod).catch((error: unknown) => context.log.warn({ pod: pod.metadata.name, err: error }, "a finished pod could not be released"));
    }),
  );
  jobs.subscribe({
    onDelete(job) {
      for (const pod of pods.store.byIndex("namespace", job.metadata.namespace ?? "")) {
        if (controllerOf(pod)?.uid === job.metadata.uid) void release(pod).catch((error: unknown) => context.log.warn({ pod: pod.metadata.name, err: error }, "a finished pod could not be released"));
      }
    },
  });
  return reconciler;
}
