import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { readWatch } from "@wherry/etcd-api/testing";
import { createNullMetrics, silentLogger, systemClock } from "@wherry/service-kit";
import { datastoreConfig } from "../config.ts";
import { createDatastore } from "../datastore.ts";

/** Rounds of killing and opening again, on one file. */
const ROUNDS = 4;
const LINES_PER_ROUND = 300;

describe("a datastore killed under load", () => {
  it(
    "has every acknowledged write afterwards, at the revision that was told",
    { timeout: 60_000 },
    async (test) => {
      const folder = await mkdtemp(join(tmpdir(), "wherry-crash-"));
      test.after(() => rm(folder, { recursive: true }));
      const file = join(folder, "state.db");
      let lastRevision = 1;
      for (let round = 0; round < ROUNDS; round += 1) {
        const acknowledged = await writeUntilKilled(file, LINES_PER_ROUND + round * 37);
        const revisions = [...acknowledged.keys()];
        assert.ok(Math.min(...revisions) > lastRevision, "a revision is never used twice");
        lastRevision = await assertAllThere(file, acknowledged, lastRevision);
      }
    },
  );
});

/** Gives what was acknowledged: revision -> "key value". */
async function writeUntilKilled(file: string, lines: number): Promise<Map<number, string>> {
  const script = fileURLToPath(new URL("../testing/crash-writer.ts", import.meta.url));
  const child = spawn(process.execPath, [script, file], { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  let count = 0;
  for await (const chunk of child.stdout) {
    text += String(chunk);
    count += String(chunk).split("\n").length - 1;
    if (count >= lines) child.kill("SIGKILL");
  }
  const whole = text.split("\n").slice(0, -1);
  return new Map(
    whole.map((line) => {
      const [revision = "", key = "", value = ""] = line.split(" ");
      return [Number(revision), `${key} ${value}`];
    }),
  );
}

async function assertAllThere(
  file: string,
  acknowledged: ReadonlyMap<number, string>,
  from: number,
): Promise<number> {
  const datastore = createDatastore(datastoreConfig.parse({ endpoint: `sqlite://${file}` }), {
    clock: systemClock,
    log: silentLogger,
    metrics: createNullMetrics(),
  });
  await datastore.start(new AbortController().signal);
  const { store } = datastore;
  const { revision } = store;
  const watch = readWatch(
    store.watch({ key: Buffer.from("\0"), rangeEnd: Buffer.from("\0"), startRevision: from + 1 }),
  );
  const events = await watch.events(revision - from);
  watch.cancel();
  await datastore.stop(AbortSignal.timeout(5_000));
  const found = new Map(
    events.map(({ kv }) => [kv.modRevision, `${kv.key.toString()} ${kv.value.toString()}`]),
  );
  assert.equal(found.size, revision - from, "one event a revision, without gaps");
  for (const [at, written] of acknowledged)
    assert.equal(found.get(at), written, `acknowledged at revision ${at}`);
  return revision;
}
