import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { planImport } from "../oci/import-plan.ts";
import { scanArchive } from "../oci/archive.ts";
import { hostArchitecture } from "../testing/busybox.ts";
import { PAUSE_IMAGE_REFERENCE, createPauseImage } from "./image.ts";
import { PAUSE_ARCHITECTURES, createPauseProgram, type PauseArchitecture } from "./program.ts";

/** e_machine and word size, from the ELF specification's registry. */
const MACHINES: Readonly<Record<PauseArchitecture, readonly [number, number]>> = {
  amd64: [62, 2],
  arm64: [183, 2],
  arm: [40, 1],
  riscv64: [243, 2],
};

describe("the pause program", () => {
  for (const architecture of PAUSE_ARCHITECTURES) {
    test(`is a static executable for ${architecture} with one segment that covers it`, () => {
      const elf = createPauseProgram(architecture);
      const [machine, wordClass] = MACHINES[architecture];
      assert.deepEqual([...elf.subarray(0, 6)], [0x7f, 0x45, 0x4c, 0x46, wordClass, 1]);
      assert.equal(elf.readUInt16LE(16), 2);
      assert.equal(elf.readUInt16LE(18), machine);
      const is64 = wordClass === 2;
      const entry = is64 ? Number(elf.readBigUInt64LE(24)) : elf.readUInt32LE(24);
      const header = is64 ? 64 : 52;
      const address = is64
        ? Number(elf.readBigUInt64LE(header + 16))
        : elf.readUInt32LE(header + 8);
      const size = is64 ? Number(elf.readBigUInt64LE(header + 32)) : elf.readUInt32LE(header + 16);
      const flags = is64 ? elf.readUInt32LE(header + 4) : elf.readUInt32LE(header + 24);
      assert.equal(elf.readUInt32LE(header), 1);
      assert.equal(size, elf.length);
      assert.equal(flags, 5);
      assert.ok(entry > address && entry < address + size);
    });
  }

  const architecture = PAUSE_ARCHITECTURES.find((candidate) => candidate === hostArchitecture());
  test(
    `runs here (${hostArchitecture()}) until it gets SIGTERM, and then ends with 0`,
    { skip: architecture === undefined },
    async (context) => {
      const folder = await mkdtemp(join(tmpdir(), "wherry-pause-"));
      context.after(() => rm(folder, { recursive: true, force: true }));
      const file = join(folder, "pause");
      await writeFile(file, createPauseProgram(architecture ?? "amd64"));
      await chmod(file, 0o755);
      const child = spawn(file, { stdio: "ignore" });
      const ended = once(child, "exit");
      context.after(() => child.kill("SIGKILL"));
      await once(child, "spawn");
      await untilWaiting(child.pid ?? 0);
      child.kill("SIGTERM");
      assert.deepEqual(await ended, [0, null]);
    },
  );
});

describe("the pause image", () => {
  test("is the same bytes every time", async () => {
    assert.ok((await createPauseImage()).equals(await createPauseImage()));
  });

  test("holds a manifest for each architecture under its reference", async (context) => {
    const folder = await mkdtemp(join(tmpdir(), "wherry-pause-"));
    context.after(() => rm(folder, { recursive: true, force: true }));
    const file = join(folder, "pause.tar");
    await writeFile(file, await createPauseImage());
    const listing = await scanArchive(file);
    const plan = planImport(file, listing);
    assert.deepEqual(
      plan.images.map((image) => image.reference),
      [PAUSE_IMAGE_REFERENCE],
    );
    const index = JSON.parse(
      listing
        .get(`blobs/${plan.images[0]?.target.digest.replace(":", "/")}`)
        ?.document?.toString() ?? "{}",
    ) as { manifests: { platform: { architecture: string } }[] };
    assert.deepEqual(
      index.manifests.map((manifest) => manifest.platform.architecture),
      PAUSE_ARCHITECTURES,
    );
    assert.equal(plan.blobs.size, 3 * PAUSE_ARCHITECTURES.length + 1);
  });
});

/** Until the program ignores SIGCHLD and sleeps, which it does nowhere but where it waits for its signals; earlier ones would kill it. */
async function untilWaiting(pid: number): Promise<void> {
  for (let tries = 0; tries < 500; tries += 1) {
    const status = await readFile(`/proc/${pid}/status`, "utf8");
    if (/^State:\s*S/m.test(status) && /^SigIgn:\s*0*10000$/m.test(status)) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error("the program does not wait for its signals");
}
