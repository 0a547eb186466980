import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pid } from "node:process";
import { after, before, test } from "node:test";
import { claimMachine, readRunningRecord } from "./running-record.ts";

let dataDir: string;
before(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "running-record-"));
});
after(() => rm(dataDir, { recursive: true }));

test("a data folder has one holder at a time", async () => {
  const release = await claimMachine({ dataDir, withNode: false, pid });
  await assert.rejects(
    claimMachine({ dataDir, withNode: false, pid }),
    new RegExp(`another wherry \\(process ${pid}\\) uses ${dataDir}`),
  );
  await release();
  assert.equal(await readRunningRecord(dataDir), undefined);
  await (
    await claimMachine({ dataDir, withNode: false, pid })
  )();
});

test("a record counts only while its very process lives", async () => {
  const record = join(dataDir, "running.json");
  for (const stale of [{ pid, startTicks: "1" }, { pid: 2 ** 30, startTicks: "1" }, { pid }]) {
    await writeFile(record, JSON.stringify(stale));
    assert.equal(await readRunningRecord(dataDir), undefined);
  }
  await writeFile(record, '{"pid": 1');
  assert.equal(await readRunningRecord(dataDir), undefined);
});

test("a folder that cannot be written is named with the way out", async () => {
  const file = join(dataDir, "file");
  await writeFile(file, "");
  await assert.rejects(
    claimMachine({ dataDir: file, withNode: false, pid }),
    /file cannot be written \(E\w+\); check its permissions, or choose another --data-dir/,
  );
});
