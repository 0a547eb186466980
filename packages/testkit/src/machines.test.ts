import assert from "node:assert/strict";
import { test } from "node:test";
import { createLab, findKubectls } from "./index.ts";

const root = process.getuid?.() === 0;

test(
  "two machines see each other and not the host's network, and nothing of them is left",
  { skip: root ? false : "needs root" },
  async () => {
    const lab = await createLab();
    const [one, two] = [await lab.addMachine("one"), await lab.addMachine("two")];
    assert.equal((await two.exec(["hostname"])).stdout.trim(), "two");
    const listener = two.spawn(
      [
        process.execPath,
        "-e",
        "require('net').createServer(s => s.end('hi')).listen(7777, () => console.log('up'))",
      ],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    await new Promise((resolve) => listener.stdout?.once("data", resolve));
    const { stdout } = await one.exec(
      [
        process.execPath,
        "-e",
        `require('net').connect(7777, '${two.ip}').on('data', d => console.log(String(d)))`,
      ],
      { timeoutMs: 10_000 },
    );
    assert.equal(stdout.trim(), "hi");
    assert.ok((await two.processes()).length > 0);
    await lab.close();
  },
);

test("each kubectl found is of another minor version", async () => {
  const minors = (await findKubectls()).map((one) => one.minor);
  assert.deepEqual(
    minors,
    [...new Set(minors)].sort((a, b) => b - a),
  );
});
