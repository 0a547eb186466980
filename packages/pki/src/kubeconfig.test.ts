import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { buildKubeconfig, KubeconfigError, loadKubeconfig } from "./index.ts";

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "kubeconfig-"));
});
after(() => rm(folder, { recursive: true }));

test("what is built can be loaded", async () => {
  const file = join(folder, "a.yaml");
  await writeFile(
    file,
    buildKubeconfig({
      server: "https://127.0.0.1:6443",
      caPem: "CA",
      certPem: "CERT",
      keyPem: "KEY",
    }),
  );
  assert.deepEqual(await loadKubeconfig(file), {
    server: "https://127.0.0.1:6443",
    insecureSkipTlsVerify: false,
    caPem: "CA",
    certPem: "CERT",
    keyPem: "KEY",
  });
});

test("relative certificate files are read beside the kubeconfig", async () => {
  await writeFile(join(folder, "ca.pem"), "FILECA");
  const file = join(folder, "b.yaml");
  await writeFile(
    file,
    "current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\nclusters: [{name: c, cluster: {server: 'https://h', certificate-authority: ca.pem}}]\nusers: [{name: u, user: {token: t}}]\n",
  );
  const access = await loadKubeconfig(file);
  assert.equal(access.caPem, "FILECA");
  assert.equal(access.token, "t");
});

test("each thing that can be wrong is named with the file", async () => {
  const cases: [content: string | undefined, expected: RegExp][] = [
    [undefined, /cannot be read \(ENOENT\)/],
    ["{", /not valid YAML/],
    ["kind: Config", /no current-context/],
    ["current-context: x", /contexts has no entry named "x"/],
    [
      "current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\nclusters: [{name: c}]\nusers: [{name: u}]",
      /no server URL/,
    ],
    [
      "current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\nclusters: [{name: c, cluster: {server: h}}]\nusers: [{name: u, user: {exec: {}}}]",
      /"exec" is not supported/,
    ],
  ];
  for (const [index, [content, expected]] of cases.entries()) {
    const file = join(folder, `bad-${index}.yaml`);
    if (content !== undefined) await writeFile(file, content);
    await assert.rejects(
      loadKubeconfig(file),
      (error: unknown) =>
        error instanceof KubeconfigError &&
        expected.test(error.message) &&
        error.message.includes(file),
    );
  }
});
