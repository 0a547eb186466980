import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { findNodeTools } from "./node-tools.ts";

let dataDir: string;
const place = async (folder: string, ...names: readonly string[]): Promise<void> => {
  await mkdir(join(dataDir, folder), { recursive: true });
  for (const name of names) await writeFile(join(dataDir, folder, name), "", { mode: 0o755 });
};
before(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "node-tools-"));
  await place("bin", "containerd", "crun");
  await place("bin/cni", "bridge", "host-local", "loopback");
  await place("path", "nft", "ip", "conntrack");
});
after(() => rm(dataDir, { recursive: true }));

const options = () => ({
  dataDir,
  path: join(dataDir, "path"),
  managesContainerd: true,
  managesNetwork: true,
});

test("what lies in the data folder comes first", () => {
  assert.deepEqual(findNodeTools(options()), { cniBinDir: join(dataDir, "bin/cni") });
});

test("a network that someone else manages needs no plugins", () => {
  assert.deepEqual(findNodeTools({ ...options(), managesNetwork: false }), {
    cniBinDir: undefined,
  });
});

test("everything that is missing is named at once, with its package", async () => {
  assert.throws(
    () => findNodeTools({ ...options(), path: "" }),
    /not found on this machine: nft; ip; conntrack\. Install it \(Debian and Ubuntu: apt-get install nftables iproute2 conntrack\)$/,
  );
  await chmod(join(dataDir, "path/nft"), 0o644);
  assert.throws(() => findNodeTools(options()), /: nft\. Install it .*apt-get install nftables/);
});
