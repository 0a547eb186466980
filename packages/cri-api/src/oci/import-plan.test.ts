import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { RuntimeError } from "../runtime.ts";
import { scanArchive, readArchive } from "./archive.ts";
import { buildOciImage, buildOciIndex } from "./image-builder.ts";
import { normalizeReference } from "./image-spec.ts";
import { planImport, type ImportPlan } from "./import-plan.ts";
import { buildTar } from "./tar-writer.ts";

describe("image archives", () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "wherry-archive-"));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const planOf = async (archive: Buffer): Promise<ImportPlan> => {
    const file = join(folder, "image.tar");
    await writeFile(file, archive);
    return planImport(file, await scanArchive(file));
  };
  const digestOf = (content: string | Buffer): string =>
    `sha256:${createHash("sha256").update(content).digest("hex")}`;
  const image = (reference: string): Promise<Buffer> =>
    buildOciImage({
      reference,
      files: [{ path: "hello", content: "world" }],
      config: { cmd: ["/hello"] },
      platform: { architecture: "amd64" },
    });

  test("are read as OCI layouts, plain, gzipped and with zstd", async () => {
    const archive = await image("wherry.local/hello:1");
    const plan = await planOf(archive);
    assert.deepEqual(
      plan.images.map(({ reference }) => reference),
      ["wherry.local/hello:1"],
    );
    assert.equal(plan.blobs.size, 4);
    for (const compressed of [gzipSync(archive), zstdCompressSync(archive)])
      assert.deepEqual((await planOf(compressed)).blobs, plan.blobs);
  });

  test("link every manifest to its parts for the garbage collector", async () => {
    const { blobs, images } = await planOf(await image("wherry.local/hello:1"));
    const index = blobs.get(images[0]?.target.digest ?? "");
    const manifest = blobs.get(index?.labels["containerd.io/gc.ref.content.m.0"] ?? "");
    assert.ok(blobs.has(manifest?.labels["containerd.io/gc.ref.content.config"] ?? ""));
    assert.ok(blobs.has(manifest?.labels["containerd.io/gc.ref.content.l.0"] ?? ""));
  });

  test("may lack platforms of their index, but not parts of a manifest", async () => {
    const platform = (architecture: string) => ({
      platform: { architecture },
      files: [{ path: "x", content: architecture }],
      config: {},
    });
    const full = join(folder, "full.tar");
    await writeFile(
      full,
      await buildOciIndex("wherry.local/multi:1", [platform("amd64"), platform("arm64")]),
    );
    const entries: { path: string; content: Buffer }[] = [];
    await readArchive(full, async (path, content) => {
      const chunks: Buffer[] = [];
      for await (const chunk of content) chunks.push(chunk);
      entries.push({ path, content: Buffer.concat(chunks) });
    });
    const manifests = entries.filter(({ content }) => content.includes('"layers":[{'));
    const [first, second] = manifests;
    const onlySecond = await planOf(await buildTar(entries.filter((entry) => entry !== first)));
    const index = onlySecond.blobs.get(onlySecond.images[0]?.target.digest ?? "");
    assert.deepEqual(index?.labels, {
      "containerd.io/gc.ref.content.m.1": digestOf(second?.content ?? ""),
    });
    await assert.rejects(
      planOf(await buildTar(entries.filter((entry) => !manifests.includes(entry)))),
      /is incomplete/,
    );
    const layer = (
      JSON.parse(first?.content.toString() ?? "{}") as { layers: { digest: string }[] }
    ).layers[0]?.digest.replace(":", "/");
    await assert.rejects(
      planOf(await buildTar(entries.filter((entry) => entry.path !== `blobs/${layer}`))),
      /is incomplete: blobs\/sha256/,
    );
  });

  test("are read as docker save writes them, links between layers included", async () => {
    const layer = await buildTar([{ path: "hello", content: "world" }]);
    const config = JSON.stringify({
      architecture: "amd64",
      os: "linux",
      rootfs: { type: "layers", diff_ids: [digestOf(layer), digestOf(layer)] },
    });
    const plan = await planOf(
      await buildTar([
        { path: "aaa/layer.tar", content: layer },
        { path: "bbb/layer.tar", linkTo: "../aaa/layer.tar" },
        { path: "config.json", content: config },
        {
          path: "manifest.json",
          content: JSON.stringify([
            {
              Config: "config.json",
              RepoTags: ["busybox:1", "example.com/x/busybox:2"],
              Layers: ["aaa/layer.tar", "bbb/layer.tar"],
            },
          ]),
        },
      ]),
    );
    assert.deepEqual(
      plan.images.map(({ reference }) => reference),
      ["docker.io/library/busybox:1", "example.com/x/busybox:2"],
    );
    const manifest = plan.blobs.get(plan.images[0]?.target.digest ?? "");
    assert.equal(manifest?.labels["containerd.io/gc.ref.content.config"], digestOf(config));
    assert.equal(manifest?.labels["containerd.io/gc.ref.content.l.1"], digestOf(layer));
    assert.ok(plan.blobs.has(digestOf(layer)));
  });

  test("are refused with the file's name when they hold no named image or are no archive", async () => {
    await assert.rejects(
      planOf(await buildTar([{ path: "readme", content: "x" }])),
      (error: unknown) =>
        error instanceof RuntimeError && /image\.tar holds no named image/.test(error.message),
    );
    await assert.rejects(
      planOf(Buffer.alloc(4096, "x")),
      /image\.tar cannot be read as a tar archive/,
    );
    await assert.rejects(
      planOf(gzipSync(await image("a/b:1")).subarray(0, 400)),
      /image\.tar cannot be read as a tar archive/,
    );
  });
});

describe("image references", () => {
  test("get their registry, library and tag as Docker adds them", () => {
    for (const [short, full] of [
      ["busybox", "docker.io/library/busybox:latest"],
      ["busybox:1", "docker.io/library/busybox:1"],
      ["user/app", "docker.io/user/app:latest"],
      ["localhost/app", "localhost/app:latest"],
      ["registry:5000/app:2", "registry:5000/app:2"],
      ["ghcr.io/a/b@sha256:00", "ghcr.io/a/b@sha256:00"],
    ] as const) {
      assert.equal(normalizeReference(short), full);
    }
  });
});
