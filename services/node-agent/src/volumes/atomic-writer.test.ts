import assert from "node:assert/strict";
import { lstat, mkdir, readdir, readFile, readlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { needsRoot, temporaryFolder } from "../testing/temporary-folder.ts";
import { writeAtomically } from "./atomic-writer.ts";
import type { Payload } from "./atomic-writer.ts";
import { VolumeError } from "./volume-error.ts";

const payload = (files: Readonly<Record<string, string>>, mode = 0o644): Payload =>
  new Map(Object.entries(files).map(([path, text]) => [path, { data: Buffer.from(text), mode }]));

describe("atomic writer", () => {
  it("shows files through links and swaps all of them at once", async (t) => {
    const folder = await temporaryFolder(t);
    assert.equal(await writeAtomically(folder, payload({ a: "1", "sub/b": "2" })), true);
    assert.equal(await readFile(join(folder, "a"), "utf8"), "1");
    assert.equal(await readFile(join(folder, "sub/b"), "utf8"), "2");
    assert.equal(await readlink(join(folder, "a")), "..data/a");
    const old = await readlink(join(folder, "..data"));

    assert.equal(await writeAtomically(folder, payload({ a: "one", c: "3" })), true);
    assert.equal(await readFile(join(folder, "a"), "utf8"), "one");
    assert.deepEqual((await readdir(folder)).filter((name) => !name.startsWith("..")).toSorted(), [
      "a",
      "c",
    ]);
    assert.ok(!(await readdir(folder)).includes(old), "the old folder is gone");
  });

  it("writes nothing when the contents are there already", async (t) => {
    const folder = await temporaryFolder(t);
    await writeAtomically(folder, payload({ a: "1" }));
    const before = await readlink(join(folder, "..data"));
    assert.equal(await writeAtomically(folder, payload({ a: "1" })), false);
    assert.equal(await readlink(join(folder, "..data")), before);
  });

  it("sets the modes that were asked for, whatever the process' mask", async (t) => {
    const folder = await temporaryFolder(t);
    await writeAtomically(folder, payload({ a: "1" }, 0o666));
    assert.equal((await lstat(join(folder, "..data/a"))).mode & 0o777, 0o666);
  });

  it("gives the group of the pod access", { skip: needsRoot }, async (t) => {
    const folder = await temporaryFolder(t);
    await writeAtomically(folder, payload({ a: "1" }, 0o600), { fsGroup: 4242 });
    const stats = await lstat(join(folder, "..data/a"));
    assert.equal(stats.gid, 4242);
    assert.equal(stats.mode & 0o777, 0o640);
  });

  it("refuses paths that lead out of the volume", async (t) => {
    const folder = await temporaryFolder(t);
    for (const path of ["../x", "/x", "a/../b", "..data", ""])
      await assert.rejects(writeAtomically(folder, payload({ [path]: "1" })), VolumeError);
  });

  it("leaves files of others alone", async (t) => {
    const folder = await temporaryFolder(t);
    await mkdir(join(folder, "theirs"));
    await writeFile(join(folder, "theirs/x"), "y");
    await writeAtomically(folder, payload({ a: "1" }));
    await writeAtomically(folder, payload({ b: "1" }));
    assert.equal(await readFile(join(folder, "theirs/x"), "utf8"), "y");
  });
});
