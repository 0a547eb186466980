/**
 * What to do for a job, decided on plain data. A pod carries a finalizer until it has been counted, so that none is forgotten or counted twice:
 * J1. An ended pod is first noted in the status: its uid in `uncountedTerminatedPods`, or its index in `completedIndexes`.
 * J2. Only when that is stored its finalizer is removed.
 * J3. Only when the finalizer is gone the uid leaves the list and the counter rises.
 * J4. A job ends in two steps (KEP-3998): SuccessCriteriaMet or FailureTarget, then, when no pod runs or is left uncounted, Complete or Failed.
 */
import {
  formatTime,
  parseTime,
  type Job,
  type JobCondition,
  type JobStatus,
  type Pod,
  type SuccessPolicy,
} from "@wherry/machinery";
import { matchFailurePolicy } from "./job-failure-policy.ts";
import { formatIndexes, parseIndexes } from "./job-indexes.ts";
import {
  backoffLeftMs,
  countsAsFailure,
  hasFailed,
  hasSucceeded,
  ignoredFailuresOf,
  indexBackoffLeftMs,
  indexFailuresOf,
  indexOf,
  isIndexed,
  isPerIndex,
  isTerminating,
  isTracked,
  replacesFailedOnly,
  restartsOf,
} from "./job-pods.ts";
import { isActive, isReady, mostExpendableFirst } from "./pod-control.ts";

export interface JobState {
  readonly job: Job;
  readonly pods: readonly Pod[];
  readonly nowMs: number;
}

export interface NewPod {
  /** -1 for a job without indexes. */
  readonly index: number;
  /** Earlier failures of the index; absent unless they are counted by index. */
  readonly failures?: { readonly counted: number; readonly ignored: number };
}

export interface JobEvent {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}

export interface JobPlan {
  readonly status: JobStatus;
  readonly create: readonly NewPod[];
  /** Their finalizer goes first: what they might become is not counted any more. */
  readonly remove: readonly Pod[];
  /** Pods whose finalizer may go once the status is stored. */
  readonly release: readonly Pod[];
  readonly requeueAfterMs: number | undefined;
  readonly events: readonly JobEvent[];
}

/** Uids in the status at a time; further pods wait for their turn. */
const UNCOUNTED_MAX = 500;
/** Pods made in one go. */
const CREATE_MAX = 500;

export function isFinished(job: Job): JobCondition | undefined {
  return job.status?.conditions?.find(
    (one) => (one.type === "Complete" || one.type === "Failed") && one.status === "True",
  );
}

/** Pure: counts, decides, and says what to create and remove. */
export function planJob(state: JobState): JobPlan {
  const { job, pods, nowMs } = state;
  const conditions = createConditions(job, formatTime(nowMs));
  const events: JobEvent[] = [];
  const active = pods.filter(isActive);
  const indexes = countIndexes(state);
  const counted = countReleased(state);
  const suspended = job.spec.suspend === true;

  let startTime = job.status?.startTime ?? (suspended ? undefined : formatTime(nowMs));
  if (!conditions.isEnding()) {
    const verdict = judge(state, {
      succeeded: counted.succeeded,
      failures: counted.failed,
      active: active.length,
      startTime,
      indexes,
    });
    if (verdict !== undefined)
      conditions.set(
        verdict.isSuccess ? "SuccessCriteriaMet" : "FailureTarget",
        verdict.reason,
        verdict.message,
      );
  }
  const ending = conditions.ending();
  const noted = noteEnded(state, counted.listed, indexes, ending);
  const left = noted.uncounted.succeeded.length + noted.uncounted.failed.length;
  const terminating = pods.filter(isTerminating).length;
  let completionTime = job.status?.completionTime;
  if (ending !== undefined && active.length + terminating + left === 0 && !noted.isFull) {
    const { reason = "", message = "" } = ending;
    const isSuccess = ending.type === "SuccessCriteriaMet";
    conditions.set(isSuccess ? "Complete" : "Failed", reason, message);
    if (isSuccess) completionTime = formatTime(nowMs);
    events.push(
      isSuccess
        ? { type: "Normal", reason: "Completed", message: "Job completed" }
        : { type: "Warning", reason, message },
    );
  }
  if (
    ending === undefined &&
    suspended &&
    conditions.set("Suspended", "JobSuspended", "Job suspended")
  )
    events.push({ type: "Normal", reason: "Suspended", message: "Job suspended" });
  if (
    ending === undefined &&
    !suspended &&
    conditions.has("Suspended") &&
    conditions.set("Suspended", "JobResumed", "Job resumed", "False")
  ) {
    events.push({ type: "Normal", reason: "Resumed", message: "Job resumed" });
    // The deadline counts from when it runs again.
    startTime = formatTime(nowMs);
  }

  const work: Work =
    ending !== undefined || suspended
      ? { create: [], remove: active, waitMs: undefined }
      : planPods(state, active, counted.succeeded, indexes);
  const succeeded = isIndexed(job) ? indexes.completed.size : counted.storedSucceeded;
  const status: JobStatus = {
    ...(startTime === undefined ? {} : { startTime }),
    ...(completionTime === undefined ? {} : { completionTime }),
    ...(active.length === 0 ? {} : { active: active.length }),
    ready: active.filter(isReady).length,
    terminating,
    ...(succeeded === 0 ? {} : { succeeded }),
    ...(counted.storedFailed === 0 ? {} : { failed: counted.storedFailed }),
    uncountedTerminatedPods: withoutEmpty(noted.uncounted),
    ...(indexes.completed.size === 0 ? {} : { completedIndexes: formatIndexes(indexes.completed) }),
    ...(isPerIndex(job) ? { failedIndexes: formatIndexes(indexes.failed) } : {}),
    ...(conditions.all().length === 0 ? {} : { conditions: conditions.all() }),
  };
  const deadlineMs =
    ending !== undefined || suspended ? undefined : deadlineLeftMs(job, startTime, nowMs);
  const waits = [work.waitMs, deadlineMs].filter((ms) => ms !== undefined);
  return {
    status,
    create: work.create,
    remove: work.remove,
    release: noted.release,
    requeueAfterMs: waits.length === 0 ? undefined : Math.min(...waits),
    events,
  };
}

interface Uncounted {
  readonly succeeded: readonly string[];
  readonly failed: readonly string[];
}

function withoutEmpty({ succeeded, failed }: Uncounted): Partial<Uncounted> {
  return {
    ...(succeeded.length === 0 ? {} : { succeeded }),
    ...(failed.length === 0 ? {} : { failed }),
  };
}

interface Counted {
  /** What the status will say. */
  readonly storedSucceeded: number;
  readonly storedFailed: number;
  /** Uids that stay listed. */
  readonly listed: Uncounted;
  /** All that is known, listed and new ones included. */
  readonly succeeded: number;
  readonly failed: number;
}

/** J3, and what there is beyond the counters. */
function countReleased({ job, pods }: JobState): Counted {
  const old = job.status ?? {};
  const tracked = new Set(pods.filter(isTracked).map(uidOf));
  const before: Uncounted = {
    succeeded: old.uncountedTerminatedPods?.succeeded ?? [],
    failed: old.uncountedTerminatedPods?.failed ?? [],
  };
  const listed = {
    succeeded: before.succeeded.filter((uid) => tracked.has(uid)),
    failed: before.failed.filter((uid) => tracked.has(uid)),
  };
  const storedSucceeded = (old.succeeded ?? 0) + before.succeeded.length - listed.succeeded.length;
  const storedFailed = (old.failed ?? 0) + before.failed.length - listed.failed.length;
  const fresh = pods.filter(
    (pod) =>
      isTracked(pod) &&
      !listed.succeeded.includes(uidOf(pod)) &&
      !listed.failed.includes(uidOf(pod)),
  );
  return {
    storedSucceeded,
    storedFailed,
    listed,
    succeeded: storedSucceeded + listed.succeeded.length + fresh.filter(hasSucceeded).length,
    failed:
      storedFailed +
      listed.failed.length +
      fresh.filter((pod) => hasFailed(job, pod) && countsAsFailure(job, pod)).length,
  };
}

interface Indexes {
  readonly completed: ReadonlySet<number>;
  /** Indexes that have used up their own backoff limit. */
  readonly failed: ReadonlySet<number>;
  /** The latest failed pod of each index. */
  readonly lastFailed: ReadonlyMap<number, Pod>;
}

function countIndexes({ job, pods }: JobState): Indexes {
  const completed = new Set<number>();
  const failed = new Set<number>();
  const lastFailed = new Map<number, Pod>();
  if (!isIndexed(job)) return { completed, failed, lastFailed };
  const isValid = (index: number): boolean => index >= 0 && index < (job.spec.completions ?? 0);
  for (const index of parseIndexes(job.status?.completedIndexes))
    if (isValid(index)) completed.add(index);
  for (const pod of pods)
    if (hasSucceeded(pod) && isTracked(pod) && isValid(indexOf(pod))) completed.add(indexOf(pod));
  if (!isPerIndex(job)) return { completed, failed, lastFailed };
  for (const index of parseIndexes(job.status?.failedIndexes))
    if (isValid(index)) failed.add(index);
  for (const pod of pods) {
    const index = indexOf(pod);
    if (!hasFailed(job, pod) || !isValid(index) || completed.has(index)) continue;
    const last = lastFailed.get(index);
    if (last === undefined || triesOf(last) < triesOf(pod)) lastFailed.set(index, pod);
    if (isTracked(pod) && failsIndex(job, pod)) failed.add(index);
  }
  return { completed, failed, lastFailed };
}

const triesOf = (pod: Pod): number => indexFailuresOf(pod) + ignoredFailuresOf(pod);

function failsIndex(job: Job, pod: Pod): boolean {
  const action = matchFailurePolicy(job.spec.podFailurePolicy, pod)?.action;
  return (
    action === "FailIndex" ||
    (action !== "Ignore" && indexFailuresOf(pod) >= (job.spec.backoffLimitPerIndex ?? 0))
  );
}

interface Noted {
  readonly uncounted: Uncounted;
  readonly release: readonly Pod[];
  /** Some ended pods wait until there is room in the list. */
  readonly isFull: boolean;
}

/** J1. */
function noteEnded(
  { job, pods }: JobState,
  listed: Uncounted,
  indexes: Indexes,
  ending: JobCondition | undefined,
): Noted {
  const succeeded = [...listed.succeeded];
  const failed = [...listed.failed];
  const release: Pod[] = [];
  let isFull = false;
  for (const pod of pods) {
    if (!isTracked(pod)) continue;
    const uid = uidOf(pod);
    const isFailure = hasFailed(job, pod);
    const isListed = succeeded.includes(uid) || failed.includes(uid);
    if (
      !isListed &&
      ending === undefined &&
      !hasSucceeded(pod) &&
      (!isFailure || carriesCount(job, pods, pod, indexes))
    )
      continue;
    if (!isListed && succeeded.length + failed.length >= UNCOUNTED_MAX) {
      isFull = true;
      continue;
    }
    release.push(pod);
    if (isListed) continue;
    if (hasSucceeded(pod)) {
      // An index cannot be counted twice; it needs no list.
      if (!isIndexed(job)) succeeded.push(uid);
    } else if ((isFailure || ending?.type === "FailureTarget") && countsAsFailure(job, pod))
      failed.push(uid);
  }
  return { uncounted: { succeeded, failed }, release, isFull };
}

/** The failed pod that alone knows how often its index has failed, until its successor knows it. */
function carriesCount(
  job: Job,
  pods: readonly Pod[],
  pod: Pod,
  { completed, failed, lastFailed }: Indexes,
): boolean {
  const index = indexOf(pod);
  if (!isPerIndex(job) || index < 0 || completed.has(index) || failed.has(index)) return false;
  return (
    lastFailed.get(index) === pod &&
    !pods.some((one) => indexOf(one) === index && triesOf(one) > triesOf(pod))
  );
}

interface Verdict {
  readonly isSuccess: boolean;
  readonly reason: string;
  readonly message: string;
}

interface Facts {
  readonly succeeded: number;
  readonly failures: number;
  readonly active: number;
  readonly startTime: string | undefined;
  readonly indexes: Indexes;
}

function judge(
  { job, pods, nowMs }: JobState,
  { succeeded, failures, active, startTime, indexes }: Facts,
): Verdict | undefined {
  const { completions, backoffLimit = 6, maxFailedIndexes } = job.spec;
  const failure = (reason: string, message: string): Verdict => ({
    isSuccess: false,
    reason,
    message,
  });
  for (const pod of job.spec.podFailurePolicy === undefined ? [] : pods) {
    const match =
      isTracked(pod) && hasFailed(job, pod)
        ? matchFailurePolicy(job.spec.podFailurePolicy, pod)
        : undefined;
    if (match?.action === "FailJob") return failure("PodFailurePolicy", match.message);
  }
  if (failures > backoffLimit || restartsExceed(job, pods, backoffLimit))
    return failure("BackoffLimitExceeded", "Job has reached the specified backoff limit");
  if (job.spec.suspend !== true && deadlineLeftMs(job, startTime, nowMs) === 0)
    return failure("DeadlineExceeded", "Job was active longer than specified deadline");
  if (isPerIndex(job)) {
    const { completed, failed } = indexes;
    if (maxFailedIndexes !== undefined && failed.size > maxFailedIndexes)
      return failure(
        "MaxFailedIndexesExceeded",
        "Job has exceeded the specified maximal number of failed indexes",
      );
    if (failed.size > 0 && failed.size + completed.size >= (completions ?? 0))
      return failure("FailedIndexes", "Job has failed indexes");
  }
  const rule = isIndexed(job)
    ? metSuccessRule(job.spec.successPolicy, indexes.completed)
    : undefined;
  if (rule !== undefined)
    return { isSuccess: true, reason: "SuccessPolicy", message: `Matched rules at index ${rule}` };
  const done = isIndexed(job) ? indexes.completed.size : succeeded;
  const reached = completions === undefined ? done > 0 && active === 0 : done >= completions;
  return reached
    ? {
        isSuccess: true,
        reason: "CompletionsReached",
        message: "Reached expected number of succeeded pods",
      }
    : undefined;
}

/** Containers that are restarted in place use up the limit too. */
function restartsExceed(job: Job, pods: readonly Pod[], backoffLimit: number): boolean {
  if (job.spec.template.spec.restartPolicy !== "OnFailure") return false;
  const restarts = pods
    .filter((pod) => pod.status?.phase === "Running" || pod.status?.phase === "Pending")
    .reduce((sum, pod) => sum + restartsOf(pod), 0);
  return restarts > 0 && restarts >= backoffLimit;
}

function metSuccessRule(
  policy: SuccessPolicy | undefined,
  completed: ReadonlySet<number>,
): number | undefined {
  const rules = policy?.rules ?? [];
  const met = rules.findIndex(({ succeededIndexes, succeededCount }) => {
    const asked = succeededIndexes === undefined ? completed : parseIndexes(succeededIndexes);
    const done = [...asked].filter((index) => completed.has(index)).length;
    return succeededCount === undefined
      ? succeededIndexes !== undefined && done === asked.size
      : done >= succeededCount;
  });
  return met < 0 ? undefined : met;
}

/** 0 when it is over; undefined without a deadline. */
function deadlineLeftMs(
  job: Job,
  startTime: string | undefined,
  nowMs: number,
): number | undefined {
  const deadline = job.spec.activeDeadlineSeconds;
  return deadline === undefined || startTime === undefined
    ? undefined
    : Math.max(0, parseTime(startTime) + deadline * 1_000 - nowMs);
}

interface Work {
  readonly create: readonly NewPod[];
  readonly remove: readonly Pod[];
  /** When pods may be made that a back-off holds now. */
  readonly waitMs: number | undefined;
}

function planPods(
  state: JobState,
  active: readonly Pod[],
  succeeded: number,
  indexes: Indexes,
): Work {
  const { job, pods, nowMs } = state;
  const { completions, parallelism = 1 } = job.spec;
  const useful = isIndexed(job) ? onePerIndex(job, active, indexes) : active;
  const done = isIndexed(job) ? indexes.completed.size + indexes.failed.size : succeeded;
  const wanted =
    completions === undefined
      ? succeeded > 0
        ? useful.length
        : parallelism
      : Math.min(parallelism, Math.max(0, completions - done));
  const extra = active.filter((pod) => !useful.includes(pod));
  if (useful.length > wanted)
    return {
      create: [],
      remove: [...extra, ...mostExpendableFirst(useful).slice(0, useful.length - wanted)],
      waitMs: undefined,
    };
  if (extra.length > 0) return { create: [], remove: extra, waitMs: undefined };
  const going = replacesFailedOnly(job) ? pods.filter(isTerminating) : [];
  const missing = Math.min(wanted - useful.length - going.length, CREATE_MAX);
  if (missing <= 0) return { create: [], remove: [], waitMs: undefined };
  if (isPerIndex(job))
    return planIndexes(state, indexes, new Set([...useful, ...going].map(indexOf)), missing);
  const waitMs = backoffLeftMs(job, pods, nowMs);
  if (waitMs > 0) return { create: [], remove: [], waitMs };
  if (!isIndexed(job))
    return {
      create: Array.from({ length: missing }, () => ({ index: -1 })),
      remove: [],
      waitMs: undefined,
    };
  const taken = new Set([...indexes.completed, ...[...useful, ...going].map(indexOf)]);
  return {
    create: firstFree(completions ?? 0, taken, missing).map((index) => ({ index })),
    remove: [],
    waitMs: undefined,
  };
}

/** Every index waits for itself after a failure. */
function planIndexes(
  { job, nowMs }: JobState,
  { completed, failed, lastFailed }: Indexes,
  busy: ReadonlySet<number>,
  missing: number,
): Work {
  const create: NewPod[] = [];
  let waitMs: number | undefined;
  const taken = new Set([...completed, ...failed, ...busy]);
  for (const index of firstFree(job.spec.completions ?? 0, taken, Number.POSITIVE_INFINITY)) {
    if (create.length >= missing) break;
    const last = lastFailed.get(index);
    const leftMs = last === undefined ? 0 : indexBackoffLeftMs(last, nowMs);
    if (leftMs > 0) waitMs = Math.min(waitMs ?? leftMs, leftMs);
    else if (last === undefined) create.push({ index, failures: { counted: 0, ignored: 0 } });
    else {
      const counts = countsAsFailure(job, last);
      create.push({
        index,
        failures: {
          counted: indexFailuresOf(last) + (counts ? 1 : 0),
          ignored: ignoredFailuresOf(last) + (counts ? 0 : 1),
        },
      });
    }
  }
  return { create, remove: [], waitMs };
}

function firstFree(completions: number, taken: ReadonlySet<number>, max: number): number[] {
  const free: number[] = [];
  for (let index = 0; index < completions && free.length < max; index += 1)
    if (!taken.has(index)) free.push(index);
  return free;
}

/** Leaves out pods that do what another does, or what is done or no longer asked for. */
function onePerIndex(job: Job, active: readonly Pod[], { completed, failed }: Indexes): Pod[] {
  const seen = new Set<number>();
  return active.filter((pod) => {
    const index = indexOf(pod);
    const isUseful =
      index >= 0 &&
      index < (job.spec.completions ?? 0) &&
      !completed.has(index) &&
      !failed.has(index) &&
      !seen.has(index);
    seen.add(index);
    return isUseful;
  });
}

const uidOf = (pod: Pod): string => pod.metadata.uid ?? "";

interface Conditions {
  all(): readonly JobCondition[];
  has(type: string): boolean;
  isEnding(): boolean;
  ending(): JobCondition | undefined;
  /** True when it was not so before. */
  set(type: string, reason: string, message: string, status?: string): boolean;
}

function createConditions(job: Job, now: string): Conditions {
  const all = [...(job.status?.conditions ?? [])];
  const find = (type: string): JobCondition | undefined =>
    all.find((one) => one.type === type && one.status === "True");
  const ending = (): JobCondition | undefined =>
    find("SuccessCriteriaMet") ?? find("FailureTarget");
  return {
    all: () => all,
    has: (type) => find(type) !== undefined,
    isEnding: () => ending() !== undefined,
    ending,
    set(type, reason, message, status = "True") {
      const at = all.findIndex((one) => one.type === type);
      if (all[at]?.status === status) return false;
      const next: JobCondition = {
        type,
        status,
        reason,
        message,
        lastProbeTime: now,
        lastTransitionTime: now,
      };
      if (at < 0) all.push(next);
      else all[at] = next;
      return true;
    },
  };
}
