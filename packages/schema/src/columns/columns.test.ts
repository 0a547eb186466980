import assert from "node:assert/strict";
import { test } from "node:test";
import { builtinResources } from "../builtin-resources.ts";
import {
  asKubeObject,
  createdFrom,
  goldenTime,
  readGolden,
  resourceOfPath,
  withPlaceholders,
} from "../testdata/golden.ts";
import { treesAt, type Tree } from "../tree.ts";
import { humanDuration } from "./human-duration.ts";
import { podRow } from "./pod-row.ts";

for (const record of readGolden("tables")) {
  const body = record.setup?.at(-1)?.body;
  if (record.status !== 200 || typeof body !== "object") continue;
  test(`prints ${record.id} as a v1.36.2 server does`, () => {
    const { definition } = resourceOfPath(record.request.path);
    const columns = definition.columns.map(({ name, type, format, priority }) => ({
      name,
      type,
      format,
      priority,
    }));
    assert.deepEqual(columns, record.body?.["columnDefinitions"]);
    const created = createdFrom(definition, body);
    (created.metadata as Tree)["creationTimestamp"] = new Date(goldenTime - 5000).toISOString();
    const cells = withPlaceholders(definition.row(asKubeObject(created), goldenTime));
    const expected = treesAt(record.body, "rows")[0]?.["cells"] as unknown[];
    assert.equal(cells.length, expected.length);
    for (const [index, cell] of expected.entries()) {
      // Times differ from run to run.
      if (cell === "<age>" || cell === "<time>") continue;
      assert.deepEqual(cells[index], cell, `column ${index}`);
    }
  });
}

test("every resource has as many cells as columns", () => {
  for (const definition of builtinResources()) {
    const row = definition.row({ metadata: { name: "x" } }, goldenTime);
    assert.equal(row.length, definition.columns.length, definition.kind);
  }
});

test("ages are rounded as kubectl shows them", () => {
  const second = 1000;
  const hour = 3600 * second;
  const expected: readonly (readonly [number, string])[] = [
    [-500, "0s"],
    [-2 * second, "<invalid>"],
    [119 * second, "119s"],
    [120 * second, "2m"],
    [125 * second, "2m5s"],
    [600 * second, "10m"],
    [179 * 60 * second, "179m"],
    [3 * hour, "3h"],
    [3.5 * hour, "3h30m"],
    [47 * hour, "47h"],
    [50 * hour, "2d2h"],
    [8 * 24 * hour, "8d"],
    [729 * 24 * hour, "729d"],
    [800 * 24 * hour, "2y70d"],
    [9 * 365 * 24 * hour, "9y"],
  ];
  for (const [ms, text] of expected) assert.equal(humanDuration(ms), text, String(ms));
});

const pod = (status: Tree, spec: Tree = {}): Tree => ({
  metadata: { name: "p", creationTimestamp: "2026-11-20T09:59:00Z" },
  spec: { containers: [{ name: "a" }, { name: "b" }], ...spec },
  status,
});
const statusOf = (tree: Tree): unknown => podRow(tree, goldenTime)[2];

test("a pod's status is the reason of the container that explains it", () => {
  assert.equal(statusOf(pod({ phase: "Pending" })), "Pending");
  assert.equal(statusOf(pod({ phase: "Failed", reason: "Evicted" })), "Evicted");
  assert.equal(
    statusOf(
      pod({
        phase: "Running",
        containerStatuses: [{ name: "a", state: { waiting: { reason: "CrashLoopBackOff" } } }],
      }),
    ),
    "CrashLoopBackOff",
  );
  assert.equal(
    statusOf(
      pod({
        phase: "Failed",
        containerStatuses: [{ name: "a", state: { terminated: { exitCode: 3 } } }],
      }),
    ),
    "ExitCode:3",
  );
  const gated = pod({
    phase: "Pending",
    conditions: [{ type: "PodScheduled", status: "False", reason: "SchedulingGated" }],
  });
  assert.equal(statusOf(gated), "SchedulingGated");
  const deleted = pod({ phase: "Running" });
  (deleted["metadata"] as Tree)["deletionTimestamp"] = "2026-11-20T10:00:00Z";
  assert.equal(statusOf(deleted), "Terminating");
});

test("a pod that initializes says how far it is", () => {
  const spec = { initContainers: [{ name: "i1" }, { name: "i2" }] };
  const status = {
    phase: "Pending",
    initContainerStatuses: [
      { name: "i1", state: { terminated: { exitCode: 0 } } },
      { name: "i2", state: { running: {} } },
    ],
  };
  assert.equal(statusOf(pod(status, spec)), "Init:1/2");
});

test("restarts tell when the last one was", () => {
  const row = podRow(
    pod({
      phase: "Running",
      containerStatuses: [
        {
          name: "a",
          ready: true,
          restartCount: 2,
          state: { running: {} },
          lastState: { terminated: { finishedAt: "2026-11-20T09:55:00Z" } },
        },
        { name: "b", ready: true, restartCount: 0, state: { running: {} } },
      ],
    }),
    goldenTime,
  );
  assert.deepEqual(row.slice(1, 5), ["2/2", "Running", "2 (5m ago)", "60s"]);
});
