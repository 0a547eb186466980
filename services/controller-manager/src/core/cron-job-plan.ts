import {
  formatTime,
  isBeingDeleted,
  parseTime,
  type CronJob,
  type CronJobStatus,
  type Job,
  type ObjectReference,
} from "@wherry/machinery";
import type { CronSchedule } from "./cron-schedule.ts";
import type { JobEvent } from "./job-plan.ts";
import { isFinished } from "./job-plan.ts";

export interface CronState {
  readonly cronJob: CronJob;
  readonly schedule: CronSchedule;
  /** Those that the cron job owns. */
  readonly jobs: readonly Job[];
  readonly nowMs: number;
}

export interface CronPlan {
  /** The scheduled time that a job is to be made for. */
  readonly startMs: number | undefined;
  /** Running jobs that make way for it. */
  readonly replace: readonly Job[];
  /** Ended jobs beyond the history limits. */
  readonly forget: readonly Job[];
  /** Without the job that is about to be made. */
  readonly status: CronJobStatus;
  readonly events: readonly JobEvent[];
  readonly requeueAfterMs: number | undefined;
}

/** More missed times than this are worth a warning: the clock may be wrong, or the deadline too long. */
const MISSED_MAX = 100;
/** A little later than the schedule, so that a clock that ticks unevenly does not come too early. */
const LATE_MS = 100;

/** Pure: which job is due, which are in the way, and which may be forgotten. */
export function planCronJob({ cronJob, schedule, jobs, nowMs }: CronState): CronPlan {
  const { spec } = cronJob;
  const events: JobEvent[] = [];
  const running = jobs.filter((job) => isFinished(job) === undefined);
  const listed = cronJob.status?.active ?? [];
  for (const job of jobs) {
    const end = isFinished(job);
    if (end !== undefined && listed.some((one) => one.uid === job.metadata.uid))
      events.push({
        type: "Normal",
        reason: "SawCompletedJob",
        message: `Saw completed job: ${job.metadata.name}, condition: ${end.type}`,
      });
    if (end === undefined && !listed.some((one) => one.uid === job.metadata.uid))
      events.push({
        type: "Warning",
        reason: "UnexpectedJob",
        message: `Saw a job that the controller did not create or forgot: ${job.metadata.name}`,
      });
  }
  for (const one of listed)
    if (!jobs.some((job) => job.metadata.uid === one.uid))
      events.push({
        type: "Normal",
        reason: "MissingJob",
        message: `Active job went missing: ${one.name}`,
      });
  const lastSuccess = jobs
    .filter(
      (job) => isFinished(job)?.type === "Complete" && job.status?.completionTime !== undefined,
    )
    .map((job) => parseTime(job.status?.completionTime ?? ""))
    .reduce(
      (latest, time) => Math.max(latest, time),
      cronJob.status?.lastSuccessfulTime === undefined
        ? 0
        : parseTime(cronJob.status.lastSuccessfulTime),
    );
  const status: CronJobStatus = {
    ...(running.length === 0 ? {} : { active: running.map(referenceTo) }),
    ...(cronJob.status?.lastScheduleTime === undefined
      ? {}
      : { lastScheduleTime: cronJob.status.lastScheduleTime }),
    ...(lastSuccess === 0 ? {} : { lastSuccessfulTime: formatTime(lastSuccess) }),
  };
  const plan = (startMs?: number, replace: readonly Job[] = [], willRequeue = true): CronPlan => {
    const next = willRequeue ? schedule.next(nowMs) : undefined;
    return {
      startMs,
      replace,
      forget: surplus(cronJob, jobs),
      status,
      events,
      requeueAfterMs: next === undefined ? undefined : next - nowMs + LATE_MS,
    };
  };
  if (isBeingDeleted(cronJob) || spec.suspend === true) return plan(undefined, [], false);
  const { dueMs, missed } = lastDue(cronJob, schedule, nowMs);
  if (dueMs === undefined) return plan();
  if (missed > MISSED_MAX) {
    events.push({
      type: "Warning",
      reason: "TooManyMissedTimes",
      message: `too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew`,
    });
  }
  if (
    spec.startingDeadlineSeconds !== undefined &&
    dueMs + spec.startingDeadlineSeconds * 1_000 < nowMs
  ) {
    events.push({
      type: "Warning",
      reason: "MissSchedule",
      message: `Missed scheduled time to start a job: ${new Date(dueMs).toUTCString()}`,
    });
    return plan();
  }
  if (jobs.some((job) => job.metadata.name === jobNameFor(cronJob, dueMs))) return plan();
  if (spec.concurrencyPolicy === "Forbid" && running.length > 0) {
    events.push({
      type: "Normal",
      reason: "JobAlreadyActive",
      message:
        "Not starting job because prior execution is running and concurrency policy is Forbid",
    });
    return plan();
  }
  return plan(
    dueMs,
    spec.concurrencyPolicy === "Replace" ? running.filter((job) => !isBeingDeleted(job)) : [],
  );
}

/** One scheduled time gives one name, so that no time is served twice. */
export function jobNameFor(cronJob: CronJob, scheduledMs: number): string {
  return `${cronJob.metadata.name}-${Math.floor(scheduledMs / 60_000)}`;
}

export function referenceTo(job: Job): ObjectReference {
  const { name = "", namespace = "", uid = "", resourceVersion } = job.metadata;
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    name,
    namespace,
    uid,
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
  };
}

/** The latest time that has come since the last one that was served; earlier ones are given up. */
function lastDue(
  cronJob: CronJob,
  schedule: CronSchedule,
  nowMs: number,
): { readonly dueMs: number | undefined; readonly missed: number } {
  const served = cronJob.status?.lastScheduleTime ?? cronJob.metadata.creationTimestamp;
  let fromMs = served === undefined || served === null ? nowMs : parseTime(served);
  const deadline = cronJob.spec.startingDeadlineSeconds;
  if (deadline !== undefined) fromMs = Math.max(fromMs, nowMs - deadline * 1_000);
  let dueMs: number | undefined;
  let missed = 0;
  let next = schedule.next(fromMs);
  while (next !== undefined && next <= nowMs) {
    dueMs = next;
    missed += 1;
    // Far behind there is no use in visiting every single time: leap to the last few.
    const following = schedule.next(next);
    if (missed > MISSED_MAX && following !== undefined) {
      const stepMs = following - next;
      const leapMs = Math.floor((nowMs - next) / stepMs - 2) * stepMs;
      next = leapMs > stepMs ? schedule.next(next + leapMs) : following;
    } else next = following;
  }
  return { dueMs, missed };
}

function surplus(cronJob: CronJob, jobs: readonly Job[]): Job[] {
  const oldestFirst = [...jobs].sort((a, b) => startedMs(a) - startedMs(b));
  const beyond = (type: string, limit: number): Job[] => {
    const ended = oldestFirst.filter(
      (job) => isFinished(job)?.type === type && !isBeingDeleted(job),
    );
    return ended.slice(0, Math.max(0, ended.length - limit));
  };
  return [
    ...beyond("Complete", cronJob.spec.successfulJobsHistoryLimit ?? 3),
    ...beyond("Failed", cronJob.spec.failedJobsHistoryLimit ?? 1),
  ];
}

function startedMs(job: Job): number {
  return parseTime(
    job.status?.startTime ?? job.metadata.creationTimestamp ?? "1970-01-01T00:00:00Z",
  );
}
