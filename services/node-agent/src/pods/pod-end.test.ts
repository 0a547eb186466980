import assert from "node:assert/strict";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { gunzipSync } from "node:zlib";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { Pod } from "@wherry/machinery";
import { createManualClock } from "@wherry/service-kit/testing";
import { temporaryFolder } from "../testing/temporary-folder.ts";
import { rotateLog } from "./container-logs.ts";
import type { ObservedContainer } from "./observed.ts";
import { gracePeriod } from "./pod-killer.ts";
import { terminationMessage } from "./termination-message.ts";
import { createTerminationOrder } from "./termination-order.ts";

function ended(more: Partial<ObservedContainer>): ObservedContainer {
  return {
    id: "c",
    name: "app",
    sandboxId: "s",
    state: "EXITED",
    restartCount: 0,
    hash: undefined,
    image: "",
    imageRef: "",
    createdAtMs: 0,
    startedAtMs: 0,
    finishedAtMs: 0,
    exitCode: 1,
    reason: "Error",
    message: "",
    logPath: "",
    terminationLog: undefined,
    terminationMessagePolicy: "File",
    pid: undefined,
    ...more,
  };
}

describe("termination message", () => {
  it("is the end of the termination log", async (t) => {
    const file = join(await temporaryFolder(t), "log");
    await writeFile(file, `${"x".repeat(5_000)}last words`);
    const message = await terminationMessage(ended({ terminationLog: file }));
    assert.equal(message?.length, 4_096);
    assert.ok(message?.endsWith("last words"));
  });

  it("falls back to the output only for a failure, and only by policy", async (t) => {
    const folder = await temporaryFolder(t);
    const log = join(folder, "0.log");
    await writeFile(
      log,
      "2026-01-01T00:00:00Z stdout F one\n2026-01-01T00:00:00Z stderr P tw\n2026-01-01T00:00:00Z stderr F o\n",
    );
    const policy = { logPath: log, terminationMessagePolicy: "FallbackToLogsOnError" };
    assert.equal(await terminationMessage(ended(policy)), "one\ntwo\n");
    assert.equal(
      await terminationMessage(ended({ ...policy, exitCode: 0, reason: "Completed" })),
      undefined,
    );
    assert.equal(await terminationMessage(ended({ logPath: log })), undefined);
  });
});

describe("grace period", () => {
  const pod: Pod = { metadata: {}, spec: { containers: [], terminationGracePeriodSeconds: 40 } };
  const app = {
    spec: { name: "app", livenessProbe: { terminationGracePeriodSeconds: 5 } },
    role: "main",
  } as const;

  it("is the deletion's, a failed probe's, the pod's, or 2 s", () => {
    assert.equal(
      gracePeriod({ ...pod, metadata: { deletionGracePeriodSeconds: 0 } }, app, "unknown"),
      0,
    );
    assert.equal(gracePeriod(pod, app, "livenessProbe"), 5);
    assert.equal(gracePeriod(pod, app, "unknown"), 40);
    assert.equal(gracePeriod({ metadata: {}, spec: { containers: [] } }, app, "livenessProbe"), 2);
  });
});

describe("termination order", () => {
  const pod: Pod = {
    metadata: {},
    spec: {
      initContainers: [
        { name: "s1", restartPolicy: "Always" },
        { name: "s2", restartPolicy: "Always" },
      ],
      containers: [{ name: "app" }],
    },
  };

  it("lets sidecars wait for main containers and for later sidecars", async () => {
    const clock = createManualClock();
    const order = createTerminationOrder(pod, ["s1", "s2", "app"], clock);
    const turns: string[] = [];
    for (const name of ["s1", "s2", "app"])
      void order.waitForTurn(name, 60_000).then(() => turns.push(name));
    await clock.advance(0);
    assert.deepEqual(turns, ["app"]);
    order.ended("app");
    await clock.advance(0);
    assert.deepEqual(turns, ["app", "s2"]);
    order.ended("s2");
    await clock.advance(0);
    assert.deepEqual(turns, ["app", "s2", "s1"]);
  });

  it("does not wait longer than the grace period", async () => {
    const clock = createManualClock();
    const order = createTerminationOrder(pod, ["s1", "app"], clock);
    const waited = order.waitForTurn("s1", 10_000);
    await clock.advance(10_000);
    assert.equal(await waited, 10_000);
  });
});

describe("log rotation", () => {
  it("renames, reopens and compresses, and keeps as many files as allowed", async (t) => {
    const folder = join(await temporaryFolder(t), "app");
    await mkdir(folder);
    const log = join(folder, "0.log");
    const limits = { bytesMax: 10, filesMax: 3 };
    const reopen = (): Promise<void> => writeFile(log, "");
    await writeFile(log, "short");
    assert.equal(await rotateLog(log, limits, reopen, 0), false);
    for (let index = 1; index <= 4; index += 1) {
      await writeFile(log, `contents number ${index}`);
      assert.equal(await rotateLog(log, limits, reopen, Date.UTC(2026, 0, 1, 0, 0, index)), true);
    }
    const names = (await readdir(folder)).toSorted();
    assert.deepEqual(names, ["0.log", "0.log.20260101-000003.gz", "0.log.20260101-000004"]);
    assert.equal(
      gunzipSync(await readFile(join(folder, names[1] ?? ""))).toString(),
      "contents number 3",
    );
  });

  it("puts the file back when the runtime cannot reopen it", async (t) => {
    const log = join(await temporaryFolder(t), "0.log");
    await writeFile(log, "a long line of text");
    await assert.rejects(
      rotateLog(log, { bytesMax: 1, filesMax: 3 }, () => Promise.reject(new Error("no")), 0),
      /no/u,
    );
    assert.equal(await readFile(log, "utf8"), "a long line of text");
  });
});
