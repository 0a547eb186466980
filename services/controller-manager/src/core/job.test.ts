import assert from "node:assert/strict";
import { test } from "node:test";
import { formatTime, type Job, type Pod } from "@wherry/machinery";
import { formatIndexes, parseIndexes } from "./job-indexes.ts";
import { planJob } from "./job-plan.ts";
import { TRACKING } from "./job-pods.ts";

const nowMs = Date.UTC(2026, 0, 1);
const job = (spec: Partial<Job["spec"]> = {}, status: Job["status"] = {}): Job => ({
  metadata: { name: "j", namespace: "default", uid: "job" },
  spec: {
    completions: 2,
    parallelism: 2,
    template: { spec: { restartPolicy: "Never", containers: [{ name: "c" }] } },
    ...spec,
  },
  status,
});
const pod = (
  uid: string,
  phase: string,
  changes: { tracked?: boolean; index?: number; deleting?: boolean } = {},
): Pod => ({
  metadata: {
    name: uid,
    uid,
    finalizers: changes.tracked === false ? [] : [TRACKING],
    annotations:
      changes.index === undefined
        ? {}
        : { "batch.kubernetes.io/job-completion-index": String(changes.index) },
    ...(changes.deleting === true ? { deletionTimestamp: formatTime(nowMs) } : {}),
  },
  spec: { containers: [{ name: "c" }] },
  status: { phase },
});
const plan = (one: Job, pods: readonly Pod[] = [], atMs = nowMs) =>
  planJob({ job: one, pods, nowMs: atMs });

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
  assert.deepEqual(
    first.release.map((one) => one.metadata.uid),
    ["a"],
  );
  assert.equal(first.create.length, 0);
  const again = plan(job({}, first.status), [pod("a", "Succeeded"), pod("b", "Running")]);
  assert.deepEqual(again.status.uncountedTerminatedPods, { succeeded: ["a"] });
  const counted = plan(job({}, first.status), [
    pod("a", "Succeeded", { tracked: false }),
    pod("b", "Running"),
  ]);
  assert.equal(counted.status.succeeded, 1);
  assert.deepEqual(counted.status.uncountedTerminatedPods, {});
  const once = plan(job({}, counted.status), [
    pod("a", "Succeeded", { tracked: false }),
    pod("b", "Running"),
  ]);
  assert.equal(once.status.succeeded, 1);
});

test("enough successes end it: first the criterion, then Complete when nothing is left", () => {
  const done = plan(job({}, { succeeded: 1 }), [pod("b", "Succeeded")]);
  assert.equal(done.status.conditions?.[0]?.type, "SuccessCriteriaMet");
  const complete = plan(job({}, done.status), [pod("b", "Succeeded", { tracked: false })]);
  assert.equal(
    complete.status.conditions?.find((one) => one.type === "Complete")?.reason,
    "CompletionsReached",
  );
  assert.equal(complete.events[0]?.message, "Job completed");
  assert.equal(complete.status.succeeded, 2);
});

test("too many failures, or too much time, end it as failed and stop what runs", () => {
  const failed = plan(job({ backoffLimit: 1 }, { failed: 1 }), [
    pod("a", "Failed"),
    pod("b", "Running"),
  ]);
  assert.equal(failed.status.conditions?.[0]?.reason, "BackoffLimitExceeded");
  assert.deepEqual(
    failed.remove.map((one) => one.metadata.uid),
    ["b"],
  );
  const late = plan(
    job({ activeDeadlineSeconds: 5 }, { startTime: formatTime(nowMs) }),
    [pod("a", "Running")],
    nowMs + 6_000,
  );
  assert.equal(late.status.conditions?.[0]?.reason, "DeadlineExceeded");
});

test("an indexed job runs each index once", () => {
  const indexed = job({ completionMode: "Indexed", completions: 3, parallelism: 3 });
  const result = plan(indexed, [
    pod("a", "Succeeded", { index: 0 }),
    pod("b", "Running", { index: 2 }),
  ]);
  assert.deepEqual(result.create, [{ index: 1 }]);
  assert.equal(result.status.completedIndexes, "0");
});

test("indexes are written in short form and read back", () => {
  for (const list of [[], [0], [0, 1], [0, 1, 2], [0, 2, 3, 4, 7, 8]])
    assert.deepEqual([...parseIndexes(formatIndexes(list))], list);
  assert.equal(formatIndexes([0, 2, 3, 4, 7, 8]), "0,2-4,7,8");
});

test("a pod that is deleted before it ran has failed, unless only failed pods are replaced", () => {
  assert.deepEqual(
    plan(job(), [pod("a", "Pending", { deleting: true })]).status.uncountedTerminatedPods,
    { failed: ["a"] },
  );
  const patient = plan(job({ podReplacementPolicy: "Failed" }), [
    pod("a", "Pending", { deleting: true }),
  ]);
  assert.deepEqual(patient.status.uncountedTerminatedPods, {});
  assert.equal(patient.create.length, 1);
});

test("what is left running counts as failed when the job fails, and not at all when it has succeeded", () => {
  const failing = plan(job({ backoffLimit: 0 }), [pod("a", "Failed"), pod("b", "Running")]);
  assert.deepEqual(failing.status.uncountedTerminatedPods, { failed: ["a", "b"] });
  const enough = job({
    completionMode: "Indexed",
    successPolicy: { rules: [{ succeededIndexes: "0" }] },
  });
  const succeeding = plan(enough, [
    pod("a", "Succeeded", { index: 0 }),
    pod("b", "Running", { index: 1 }),
  ]);
  assert.deepEqual(
    succeeding.status.conditions?.map((one) => [one.type, one.reason, one.message]),
    [["SuccessCriteriaMet", "SuccessPolicy", "Matched rules at index 0"]],
  );
  assert.deepEqual(succeeding.status.uncountedTerminatedPods, {});
  assert.deepEqual([succeeding.remove.length, succeeding.release.length], [1, 2]);
});

test("a failure policy ignores, counts or ends the job by exit code or condition", () => {
  const failed = (exitCode: number): Pod => ({
    ...pod("a", "Failed"),
    status: {
      phase: "Failed",
      containerStatuses: [
        {
          name: "c",
          ready: false,
          restartCount: 0,
          image: "",
          imageID: "",
          state: { terminated: { exitCode } },
        },
      ],
    },
  });
  const policy = job({
    podFailurePolicy: {
      rules: [
        { action: "FailJob", onExitCodes: { operator: "In", values: [42] } },
        { action: "Ignore", onPodConditions: [{ type: "DisruptionTarget" }] },
      ],
    },
  });
  const ended = plan(policy, [failed(42)]).status.conditions?.[0];
  assert.deepEqual(
    [ended?.type, ended?.reason, ended?.message],
    [
      "FailureTarget",
      "PodFailurePolicy",
      "Container c for pod a failed with exit code 42 matching FailJob rule at index 0",
    ],
  );
  assert.deepEqual(plan(policy, [failed(1)]).status.uncountedTerminatedPods, { failed: ["a"] });
  const disrupted: Pod = {
    ...pod("a", "Failed"),
    status: { phase: "Failed", conditions: [{ type: "DisruptionTarget", status: "True" }] },
  };
  const ignored = plan(policy, [disrupted]);
  assert.deepEqual(ignored.status.uncountedTerminatedPods, {});
  assert.equal(ignored.release.length, 1);
});

test("an index with its own backoff limit fails by itself, and its pod stays until the next one knows the count", () => {
  const perIndex = job({
    completionMode: "Indexed",
    completions: 2,
    parallelism: 2,
    backoffLimit: 100,
    backoffLimitPerIndex: 1,
  });
  const held = plan(
    perIndex,
    [pod("a", "Failed", { index: 0 }), pod("b", "Running", { index: 1 })],
    nowMs + 60_000,
  );
  assert.deepEqual(held.create, [{ index: 0, failures: { counted: 1, ignored: 0 } }]);
  assert.deepEqual(held.release, []);
  const second = { ...pod("c", "Failed", { index: 0 }) };
  const counted: Pod = {
    ...second,
    metadata: {
      ...second.metadata,
      annotations: {
        ...second.metadata.annotations,
        "batch.kubernetes.io/job-index-failure-count": "1",
      },
    },
  };
  const failed = plan(perIndex, [
    pod("a", "Failed", { index: 0 }),
    counted,
    pod("b", "Succeeded", { index: 1 }),
  ]);
  assert.equal(failed.status.failedIndexes, "0");
  assert.deepEqual(
    failed.status.conditions?.map((one) => [one.type, one.reason]),
    [["FailureTarget", "FailedIndexes"]],
  );
});

test("failures are followed by growing pauses", () => {
  const ended = (uid: string, atMs: number): Pod => ({
    ...pod(uid, "Failed", { tracked: false }),
    metadata: { uid, name: uid, creationTimestamp: formatTime(atMs) },
  });
  const first = plan(job({}, { failed: 1 }), [ended("a", nowMs)], nowMs + 4_000);
  assert.deepEqual([first.create.length, first.requeueAfterMs], [0, 6_000]);
  const second = plan(
    job({}, { failed: 2 }),
    [ended("a", nowMs), ended("b", nowMs + 11_000)],
    nowMs + 12_000,
  );
  assert.deepEqual([second.create.length, second.requeueAfterMs], [0, 19_000]);
  assert.equal(plan(job({}, { failed: 1 }), [ended("a", nowMs)], nowMs + 10_000).create.length, 2);
});

test("a suspended job stops its pods, and counts its time anew when it goes on", () => {
  const suspended = plan(
    job({ suspend: true }, { startTime: formatTime(nowMs) }),
    [pod("a", "Running")],
    nowMs + 5_000,
  );
  assert.deepEqual(
    suspended.remove.map((one) => one.metadata.uid),
    ["a"],
  );
  assert.deepEqual(
    suspended.events.map((one) => one.reason),
    ["Suspended"],
  );
  const resumed = plan(job({ activeDeadlineSeconds: 60 }, suspended.status), [], nowMs + 50_000);
  assert.equal(resumed.status.startTime, formatTime(nowMs + 50_000));
  assert.deepEqual([resumed.create.length, resumed.events[0]?.message], [2, "Job resumed"]);
});
