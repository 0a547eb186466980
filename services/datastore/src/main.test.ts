import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { createGrpcStore } from "@wherry/etcd-api";
import { silentLogger } from "@wherry/service-kit";

const main = fileURLToPath(new URL("./main.ts", import.meta.url));

function start(...args: string[]) {
  const child = spawn(process.execPath, [main, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  const exited = new Promise<number | null>((resolve) => {
    child.once("exit", resolve);
  });
  const ready = new Promise<string>((resolve, reject) => {
    child.stderr.on("data", (chunk: Buffer) => {
      output += chunk.toString();
      const endpoint = /up and running on (\S+)/.exec(output)?.[1];
      if (endpoint !== undefined) resolve(endpoint);
    });
    void exited.then(() => reject(new Error(output)));
  });
  ready.catch(() => {});
  return { child, ready, exited, output: () => output };
}

describe("the stand-alone datastore", { timeout: 30_000 }, () => {
  it("serves until it is asked to stop, and finds its data at the next start", async (test) => {
    const folder = await mkdtemp(join(tmpdir(), "wherry-main-"));
    test.after(() => rm(folder, { recursive: true }));
    const args = [
      "--endpoint",
      `sqlite://${join(folder, "state.db")}`,
      "--listen",
      `unix:${join(folder, "etcd.sock")}`,
    ];
    for (const [wanted, next] of [
      [undefined, "1"],
      ["1", "2"],
    ] as const) {
      const { child, ready, exited } = start(...args);
      const store = createGrpcStore({ endpoint: await ready, log: silentLogger });
      const { kvs } = await store.range({ key: Buffer.from("a") });
      assert.equal(kvs[0]?.value.toString(), wanted);
      await store.put({ key: Buffer.from("a"), value: Buffer.from(next) });
      await store.close();
      child.kill("SIGTERM");
      assert.equal(await exited, 0);
    }
  });

  it("says what is wrong and ends with the code for it", async () => {
    const wrongUse = start("--endpoint", "postgres://localhost/db");
    assert.equal(await wrongUse.exited, 2);
    assert.match(wrongUse.output(), /postgres:\/\/ is not supported; supported is sqlite:\/\/FILE/);
    const unusable = start("--endpoint", "sqlite:///dev/null/state.db", "--listen", "127.0.0.1:0");
    assert.equal(await unusable.exited, 1);
    assert.match(unusable.output(), /\/dev\/null/);
  });
});
