import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { caHash, parseToken, subjectOf } from "@wherry/pki";
import { ensureClusterFiles, type ClusterFilesOptions } from "./cluster-files.ts";

let dataDir: string;
before(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "cluster-files-"));
});
after(() => rm(dataDir, { recursive: true }));

const options = (changes: Partial<ClusterFilesOptions> = {}): ClusterFilesOptions => ({
  dataDir,
  clusterDomain: "cluster.local",
  serverNames: ["node-a"],
  serverIps: ["10.0.0.1"],
  apiserverServiceIp: "10.43.0.1",
  token: undefined,
  agentToken: undefined,
  nowMs: Date.now(),
  ...changes,
});

test("a second start finds everything as it was", async () => {
  const first = await ensureClusterFiles(options());
  const second = await ensureClusterFiles(options());
  assert.deepEqual(second, first);
  assert.deepEqual(subjectOf(new X509Certificate(first.admin.certPem)), {
    commonName: "system:admin",
    organizations: ["system:masters"],
  });
  assert.equal((await stat(join(dataDir, "server/tls/client-admin.key"))).mode & 0o777, 0o600);
  const token = parseToken(await readFile(join(dataDir, "server/node-token"), "utf8"));
  assert.equal(token.caHash, caHash(first.serverCa.certPem));
});

test("a new name and an ageing leaf lead to a new certificate, and only for that leaf", async () => {
  const first = await ensureClusterFiles(options());
  const renamed = await ensureClusterFiles(options({ serverNames: ["node-a", "other"] }));
  assert.notEqual(renamed.serving.certPem, first.serving.certPem);
  assert.equal(renamed.admin.certPem, first.admin.certPem);
  const later = await ensureClusterFiles(options({ nowMs: Date.now() + 300 * 86_400_000 }));
  assert.notEqual(later.admin.certPem, first.admin.certPem);
  assert.equal(later.serverCa.certPem, first.serverCa.certPem);
});

test("a given token replaces the stored one, an agent token stands apart", async () => {
  const files = await ensureClusterFiles(options({ token: "s3cret", agentToken: "agents-only" }));
  assert.match(files.serverToken, /^K10[0-9a-f]{64}::server:s3cret$/);
  assert.match(files.agentToken, /^K10[0-9a-f]{64}::node:agents-only$/);
});
