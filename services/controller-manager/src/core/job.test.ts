import assert from "node:assert/strict";
import { test } from "node:test";
import { formatTime, type Job, type Pod } from "@wherry/machinery";
import { formatIndexes, parseIndexes } from "./job-indexes.ts";
import { planJob, TRACKING } from "./job.ts";

const nowMs = Date.UTC(2026, 0, 1);
const job = (spec: Partial<Job["spec"]> = {}, status: Job["status"] = {}): Job => ({
  metadata: { name: "j", namespace: "default", uid: "job" },
  spec: { completions: 2, parallelism: 2, template: { spec: { restartPolicy: "Never", containers: [{ name: "c" }] } }, ...spec },
  status,
});
const pod = (uid: string, phase: string, changes: { tracked?: boolean; index?: number; deleting?: boolean } = {}): Pod => ({
  metadata: {
    name: uid,
    uid,
    finalizers: changes.tracked === false ? [] : [TRACKING],
    annotations: changes.index === undefined ? {} : { "batch.kubernetes.io/job-completion-index": String(changes.index) },
    ...(changes.deleting === true ? { deletionTimestamp: formatTime(nowMs) } : {}),
  },
  spec: { containers: [{ name: "c" }] },
  status: { phase },
});
const plan = (one: Job, pods: readonly Pod[] = [], atMs = nowMs) => planJob({ job: one, pods, nowMs: atMs });

test("a job starts as many pods as it may, and no more than it needs", () => {
  assert.equal(plan(job()).create.length, 2);
  assert.equal(plan(job({ parallelism: 5 })).create.length, 2);
  assert.equal(plan(job(), [pod("a", "Running")]).create.length, 1);
  assert.equal(plan(job({ suspend: true })).create.length, 0);
});

test("a finished pod is listed, released, and only then counted, once", () => {
  const first = plan(job(), [pod("a", "Succeeded"), pod("b", "Running")]);
  assert.deepEqual(first.status.uncountedTerminatedPods, { succeeded: ["a"] });
  assert.equal(first.status.succeeded, undefined);
  assert.deepEqual(first.release.map((one) => one.metadata.uid), ["a"]);
  assert.equal(first.create.length, 0);
  const again = plan(job({}, first.status), [pod("a", "Succeeded"), pod("b", "Running")]);
  assert.deepEqual(again.status.uncountedTerminatedPods, { succeeded: ["a"] });
  const counted = plan(job({}, first.status), [pod("a", "Succeeded", { tracked: false }), pod("b", "Running")]);
  assert.equal(counted.status.succeeded, 1);
  assert.deepEqual(counted.status.uncountedTerminatedPods, {});
  const once = plan(job({}, counted.status), [pod("a", "Succeeded", { tracked: false }), pod("b", "Running")]);
  assert.equal(once.status.succeeded, 1);
});

test("enough successes end it: first the criterion, then Complete when nothing is left", () => {
  const done = plan(job({}, { succeeded: 1 }), [pod("b", "Succeeded")]);
  assert.equal(done.status.conditions?.[0]?.type, "SuccessCriteriaMet");
  const complete = plan(job({}, done.status), [pod("b", "Succeeded", { tracked: false })]);
  assert.equal(complete.status.conditions?.find((one) => one.type === "Complete")?.reason, "CompletionsReached");
  assert.equal(complete.event?.message, "Job completed");
  assert.equal(complete.status.succeeded, 2);
});

test("too many failures, or too much time, end it as failed and stop what runs", () => {
  const failed = plan(job({ backoffLimit: 1 }, { failed: 1 }), [pod("a", "Failed"), pod("b", "Running")]);
  assert.equal(failed.status.conditions?.[0]?.reason, "BackoffLimitExceeded");
  assert.deepEqual(failed.remove.map((one) => one.metadata.uid), ["b"]);
  const late = plan(job({ activeDeadlineSeconds: 5 }, { startTime: formatTime(nowMs) }), [pod("a", "Running")], nowMs + 6_000);
  assert.equal(late.status.conditions?.[0]?.reason, "DeadlineExceeded");
});

test("an indexed job runs each index once", () => {
  const indexed = job({ completionMode: "Indexed", completions: 3, parallelism: 3 });
  const result = plan(indexed, [pod("a", "Succeeded", { index: 0 }), pod("b", "Running", { index: 2 })]);
  assert.deepEqual(result.create, [1]);
  assert.equal(result.status.completedIndexes, "0");
});

test("indexes are written in short form and read back", () => {
  for (const list of [[], [0], [0, 1], [0, 1, 2], [0, 2, 3, 4, 7, 8]]) assert.deepEqual([...parseIndexes(formatIndexes(list))], list);
  assert.equal(formatIndexes([0, 2, 3, 4, 7, 8]), "0,2-4,7,8");
});
