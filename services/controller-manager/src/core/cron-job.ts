import { resources } from "@wherry/client";
import {
  controllerOf,
  controllerReference,
  formatTime,
  isAlreadyExists,
  keyOf,
  objectKey,
  type CronJob,
  type CronJobStatus,
  type Job,
} from "@wherry/machinery";
import {
  createReconciler,
  onAnyChange,
  soonest,
  withType,
  type Controller,
  type ControllerContext,
} from "./controller.ts";
import { CronScheduleError, parseCronSchedule, type CronSchedule } from "./cron-schedule.ts";
import { jobNameFor, planCronJob, referenceTo } from "./cron-job-plan.ts";
import { ignoreGone, sorted } from "./replica-set.ts";

const TYPE = { apiVersion: "batch/v1", kind: "CronJob" };

export function createCronJobController(context: ControllerContext): Controller {
  const { api, informers, events, clock } = context;
  const cronJobs = informers.informer<CronJob>(resources.cronJobs);
  const jobs = informers.informer<Job>(resources.jobs, {
    indexes: { controller: (job) => [controllerOf(job)?.uid ?? ""] },
  });
  /** Versions that were written and that the cache may not show yet. */
  const written = new Map<string, string>();
  const say = (one: CronJob, type: "Normal" | "Warning", reason: string, message: string): void =>
    events.event(withType(one, TYPE.apiVersion, TYPE.kind), type, reason, message);

  const reconciler = createReconciler({
    name: "cronjob",
    context,
    async reconcile(key) {
      const cronJob = cronJobs.store.get(key);
      if (cronJob === undefined) {
        written.delete(key);
        return undefined;
      }
      // A time that was served must be known to have been, or it would be served again.
      if (BigInt(cronJob.metadata.resourceVersion ?? "0") < BigInt(written.get(key) ?? "0"))
        return undefined;
      written.delete(key);
      const schedule = scheduleOf(cronJob);
      if (schedule === undefined) return undefined;
      const plan = planCronJob({
        cronJob,
        schedule,
        jobs: jobs.store.byIndex("controller", cronJob.metadata.uid ?? ""),
        nowMs: clock.now(),
      });
      for (const { type, reason, message } of plan.events) say(cronJob, type, reason, message);
      for (const job of plan.forget) await remove(cronJob, job);
      for (const job of plan.replace) await remove(cronJob, job);
      let { status } = plan;
      if (plan.startMs !== undefined) {
        const job = await start(cronJob, plan.startMs);
        const replaced = new Set(plan.replace.map((one) => one.metadata.uid));
        const active = [
          ...(status.active ?? []).filter((one) => !replaced.has(one.uid)),
          ...(job === undefined ? [] : [referenceTo(job)]),
        ];
        status = {
          ...status,
          ...(active.length === 0 ? {} : { active }),
          lastScheduleTime: formatTime(plan.startMs),
        };
      }
      await storeStatus(key, cronJob, status);
      return soonest(plan.requeueAfterMs);
    },
  });

  const scheduleOf = (cronJob: CronJob): CronSchedule | undefined => {
    const { schedule, timeZone } = cronJob.spec;
    try {
      return parseCronSchedule(schedule, timeZone);
    } catch (error) {
      if (!(error instanceof CronScheduleError)) throw error;
      if (error.code === "unknownTimeZone")
        say(
          cronJob,
          "Warning",
          "UnknownTimeZone",
          `invalid timeZone: "${timeZone}": ${error.message}`,
        );
      else
        say(
          cronJob,
          "Warning",
          "UnparseableSchedule",
          `unparseable schedule: "${schedule}" : ${error.message}`,
        );
      return undefined;
    }
  };

  /** Undefined when something else has the name already. */
  const start = async (cronJob: CronJob, scheduledMs: number): Promise<Job | undefined> => {
    const { metadata, spec } = cronJob.spec.jobTemplate;
    const name = jobNameFor(cronJob, scheduledMs);
    const namespace = cronJob.metadata.namespace ?? "";
    const job: Job = {
      apiVersion: "batch/v1",
      kind: "Job",
      metadata: {
        name,
        namespace,
        ...(metadata?.labels === undefined ? {} : { labels: metadata.labels }),
        annotations: {
          ...metadata?.annotations,
          "batch.kubernetes.io/cronjob-scheduled-timestamp": formatTime(scheduledMs),
        },
        ownerReferences: [controllerReference(cronJob, TYPE)],
      },
      spec,
    };
    try {
      const created = await api.create(resources.jobs, job);
      say(cronJob, "Normal", "SuccessfulCreate", `Created job ${name}`);
      return created;
    } catch (error) {
      if (!isAlreadyExists(error)) {
        say(cronJob, "Warning", "FailedCreate", `Error creating job: ${(error as Error).message}`);
        throw error;
      }
      const present = await api.get<Job>(resources.jobs, name, namespace);
      return controllerOf(present)?.uid === cronJob.metadata.uid ? present : undefined;
    }
  };

  const remove = async (cronJob: CronJob, job: Job): Promise<void> => {
    const { name = "", namespace, uid = "" } = job.metadata;
    await api
      .delete(resources.jobs, name, namespace, {
        propagationPolicy: "Background",
        preconditions: { uid },
      })
      .catch(ignoreGone);
    say(cronJob, "Normal", "SuccessfulDelete", `Deleted job ${name}`);
  };

  const storeStatus = async (
    key: string,
    cronJob: CronJob,
    status: CronJobStatus,
  ): Promise<void> => {
    if (JSON.stringify(sorted(status)) === JSON.stringify(sorted(cronJob.status))) return;
    const stored = await api.update(
      resources.cronJobs,
      { ...cronJob, status },
      { subresource: "status" },
    );
    written.set(key, stored.metadata.resourceVersion ?? "0");
  };

  cronJobs.subscribe(onAnyChange((cronJob) => reconciler.enqueue(objectKey(cronJob))));
  jobs.subscribe(
    onAnyChange((job) => {
      const owner = controllerOf(job);
      if (owner?.kind === TYPE.kind) reconciler.enqueue(keyOf(job.metadata.namespace, owner.name));
    }),
  );
  return reconciler;
}
