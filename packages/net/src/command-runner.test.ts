import assert from "node:assert/strict";
import { test } from "node:test";
import { createCommandRunner, runChecked, runJson } from "./command-runner.ts";

test("a command's output, exit code and input are carried", async () => {
  const run = createCommandRunner();
  assert.deepEqual(
    await run.run(["sh", "-c", "cat; echo bad >&2; exit 3"], { input: ["a", "b"] }),
    { exitCode: 3, stdout: "ab", stderr: "bad\n" },
  );
  await assert.rejects(runChecked(run, ["sh", "-c", "echo why >&2; exit 1"]), {
    code: "command-failed",
    message: /ended with code 1: why/,
  });
  assert.deepEqual(await runJson(run, ["echo", '{"a":1}']), { a: 1 });
  assert.deepEqual(await runJson(run, ["true"]), []);
  await assert.rejects(runJson(run, ["echo", "{"]), { code: "malformed" });
});

test("a program that does not exist is named", async () => {
  await assert.rejects(createCommandRunner().run(["no-such-program-here"]), {
    code: "command-not-found",
    message: /no-such-program-here/,
  });
});

test("a program that takes too long, or is aborted, is killed", async () => {
  const run = createCommandRunner();
  await assert.rejects(run.run(["sleep", "60"], { timeoutMs: 20 }), { code: "command-timed-out" });
  const stop = new AbortController();
  const running = run.run(["sleep", "60"], { signal: stop.signal });
  stop.abort();
  await assert.rejects(running, { code: "command-aborted" });
});

test("a program that does not read its input still gives its exit code", async () => {
  const result = await createCommandRunner().run(["sh", "-c", "exit 4"], {
    input: ["x".repeat(1 << 20), "y"],
  });
  assert.equal(result.exitCode, 4);
});

test("commands beyond the bounds wait or are refused", async () => {
  const run = createCommandRunner({ runningMax: 1, waitingMax: 1 });
  const first = run.run(["true"]);
  const second = run.run(["true"]);
  await assert.rejects(run.run(["true"]), { code: "overloaded" });
  assert.equal((await first).exitCode + (await second).exitCode, 0);
});
