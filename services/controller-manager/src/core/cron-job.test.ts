import assert from "node:assert/strict";
import { test } from "node:test";
import { resources } from "@wherry/client";
import { formatTime, type CronJob, type Job } from "@wherry/machinery";
import { startControllers } from "../cluster/testing/controller-setup.ts";
import { createCronJobController } from "./cron-job.ts";
import { planCronJob } from "./cron-job-plan.ts";
import { parseCronSchedule } from "./cron-schedule.ts";

const next = (schedule: string, after: string, zone?: string): string | undefined => {
  const ms = parseCronSchedule(schedule, zone).next(Date.parse(after));
  return ms === undefined ? undefined : formatTime(ms);
};

test("a schedule's next time follows its fields", () => {
  assert.equal(next("*/15 * * * *", "2026-01-01T00:14:59Z"), "2026-01-01T00:15:00Z");
  assert.equal(next("0 9-17/4 * * mon-fri", "2026-01-02T18:00:00Z"), "2026-01-05T09:00:00Z");
  assert.equal(next("30 2 29 feb *", "2026-03-01T00:00:00Z"), "2028-02-29T02:30:00Z");
  assert.equal(next("0 0 13 * 5", "2026-01-10T00:00:00Z"), "2026-01-13T00:00:00Z");
  assert.equal(next("0 0 * * 7", "2026-01-01T00:00:00Z"), "2026-01-04T00:00:00Z");
  assert.equal(next("@monthly", "2026-01-01T00:00:00Z"), "2026-02-01T00:00:00Z");
  assert.equal(next("@every 1h30m", "2026-01-01T00:00:00Z"), "2026-01-01T01:30:00Z");
  assert.equal(next("0 0 31 2 *", "2026-01-01T00:00:00Z"), undefined);
});

test("a time zone counts, with its changes of the clock", () => {
  assert.equal(next("0 8 * * *", "2026-01-01T00:00:00Z", "Europe/Berlin"), "2026-01-01T07:00:00Z");
  assert.equal(next("0 8 * * *", "2026-07-01T00:00:00Z", "Europe/Berlin"), "2026-07-01T06:00:00Z");
  // Half past two does not exist on the last Sunday of March, and comes twice on that of October.
  assert.equal(next("30 2 * * *", "2026-03-28T12:00:00Z", "Europe/Berlin"), "2026-03-30T00:30:00Z");
  assert.equal(next("30 2 * * *", "2026-10-24T12:00:00Z", "Europe/Berlin"), "2026-10-25T00:30:00Z");
  assert.throws(
    () => parseCronSchedule("* * * * *", "Mars/Olympus"),
    /unknown time zone Mars\/Olympus/,
  );
  for (const bad of [
    "* * * *",
    "60 * * * *",
    "a * * * *",
    "5-1 * * * *",
    "*/0 * * * *",
    "@every 1x",
    "1-2-3 * * * *",
  ])
    assert.throws(() => parseCronSchedule(bad), { code: "badSchedule" }, bad);
});

const created = "2026-01-01T00:00:00Z";
const nowMs = Date.parse(created);
const cron = (spec: Partial<CronJob["spec"]> = {}, status: CronJob["status"] = {}): CronJob => ({
  apiVersion: "batch/v1",
  kind: "CronJob",
  metadata: { name: "tick", namespace: "default", uid: "cron", creationTimestamp: created },
  spec: {
    schedule: "*/5 * * * *",
    jobTemplate: {
      metadata: { labels: { app: "tick" } },
      spec: { template: { spec: { containers: [] } } },
    },
    ...spec,
  },
  status,
});
const job = (name: string, end?: "Complete" | "Failed", start = created): Job => ({
  metadata: { name, uid: name },
  spec: { template: { spec: { containers: [] } } },
  status: {
    startTime: start,
    ...(end === undefined
      ? {}
      : { completionTime: start, conditions: [{ type: end, status: "True" }] }),
  },
});
const plan = (one: CronJob, jobs: readonly Job[], afterMinutes: number) =>
  planCronJob({
    cronJob: one,
    schedule: parseCronSchedule(one.spec.schedule),
    jobs,
    nowMs: nowMs + afterMinutes * 60_000,
  });

test("a job is due once for each time, the latest one if several were missed", () => {
  assert.deepEqual(
    [plan(cron(), [], 4).startMs, plan(cron(), [], 4).requeueAfterMs],
    [undefined, 60_100],
  );
  assert.equal(plan(cron(), [], 17).startMs, nowMs + 15 * 60_000);
  assert.equal(
    plan(cron({}, { lastScheduleTime: "2026-01-01T00:15:00Z" }), [], 17).startMs,
    undefined,
  );
  assert.equal(plan(cron({ suspend: true }), [], 17).startMs, undefined);
  const late = plan(cron({ startingDeadlineSeconds: 60 }), [], 17);
  assert.equal(late.startMs, undefined);
  const years = plan(cron(), [], 60 * 24 * 400 + 1);
  assert.equal(years.startMs, nowMs + 60_000 * 60 * 24 * 400);
  assert.equal(years.events[0]?.reason, "TooManyMissedTimes");
});

test("what still runs forbids the next, makes way for it, or does not matter", () => {
  const status = { active: [{ name: "a", uid: "a" }] };
  const forbidden = plan(cron({ concurrencyPolicy: "Forbid" }, status), [job("a")], 5);
  assert.deepEqual(
    [forbidden.startMs, forbidden.events[0]?.reason],
    [undefined, "JobAlreadyActive"],
  );
  const replacing = plan(cron({ concurrencyPolicy: "Replace" }, status), [job("a")], 5);
  assert.deepEqual(
    [replacing.startMs, replacing.replace.map((one) => one.metadata.name)],
    [nowMs + 300_000, ["a"]],
  );
  assert.deepEqual(plan(cron({}, status), [job("a")], 5).replace, []);
});

test("ended jobs are kept up to the limits, and the last success is remembered", () => {
  const jobs = [
    job("a", "Complete", "2026-01-01T00:01:00Z"),
    job("b", "Complete", "2026-01-01T00:02:00Z"),
    job("c", "Failed"),
    job("d", "Failed", "2026-01-01T00:03:00Z"),
  ];
  const result = plan(cron({ successfulJobsHistoryLimit: 1 }), jobs, 4);
  assert.deepEqual(
    result.forget.map((one) => one.metadata.name),
    ["a", "c"],
  );
  assert.equal(result.status.lastSuccessfulTime, "2026-01-01T00:02:00Z");
});

test("jobs are made on time and only once, however late the watches are", async () => {
  const setup = await startControllers((context) => [createCronJobController(context)], {
    watchLag: { seed: 4, maxMs: 900 },
  });
  const { api } = setup;
  await api.client.create(resources.cronJobs, cron({ schedule: "* * * * *" }));
  for (let round = 0; round < 10; round += 1) await setup.settle(20_000);
  const jobs = api.list<Job>(resources.jobs);
  assert.equal(jobs.length, 3);
  assert.equal(
    jobs[0]?.metadata.annotations?.["batch.kubernetes.io/cronjob-scheduled-timestamp"],
    "2026-01-01T00:01:00Z",
  );
  const { status } = await api.client.get<CronJob>(resources.cronJobs, "tick", "default");
  assert.deepEqual([status?.active?.length, status?.lastScheduleTime], [3, "2026-01-01T00:03:00Z"]);
  assert.equal(
    setup.events().filter((one) => one.startsWith("SuccessfulCreate: Created job tick-")).length,
    3,
  );
  await setup.stop();
});
