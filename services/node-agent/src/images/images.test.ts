import assert from "node:assert/strict";
import { utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { Image } from "@wherry/cri-api";
import type { Secret } from "@wherry/machinery";
import { silentLogger } from "@wherry/service-kit";
import { temporaryFolder } from "../testing/temporary-folder.ts";
import { bytesOverThreshold, chooseImages } from "./image-collection.ts";
import { preloadImages } from "./image-preload.ts";
import { applyDefaultTag, parseImageReference } from "./image-reference.ts";
import { credentialsFor } from "./pull-secrets.ts";

describe("image references", () => {
  const digest = `sha256:${"a".repeat(64)}`;
  const table: readonly [string, string, string | undefined, string | undefined][] = [
    ["busybox", "docker.io/library/busybox", undefined, undefined],
    ["user/app:1", "docker.io/user/app", "1", undefined],
    ["registry:5000/app", "registry:5000/app", undefined, undefined],
    ["localhost/app:x", "localhost/app", "x", undefined],
    [`ghcr.io/a/b@${digest}`, "ghcr.io/a/b", undefined, digest],
    [`quay.io/a/b:1@${digest}`, "quay.io/a/b", "1", digest],
  ];
  for (const [text, repository, tag, wantedDigest] of table) {
    it(`reads ${text}`, () =>
      assert.deepEqual(parseImageReference(text), { repository, tag, digest: wantedDigest }));
  }

  it("get :latest only when they name neither tag nor digest", () => {
    assert.equal(applyDefaultTag("busybox"), "busybox:latest");
    assert.equal(applyDefaultTag("registry:5000/app"), "registry:5000/app:latest");
    assert.equal(applyDefaultTag("busybox:1"), "busybox:1");
  });

  it("that are not valid are refused", () => {
    for (const text of ["", "Upper", "a b", "a:", "@x", "http://x"])
      assert.throws(() => parseImageReference(text), /invalid reference format/u);
  });
});

describe("pull secrets", () => {
  const secret = (auths: object, key = ".dockerconfigjson"): Secret => ({
    metadata: {},
    data: {
      [key]: Buffer.from(JSON.stringify(key === ".dockercfg" ? auths : { auths })).toString(
        "base64",
      ),
    },
  });

  it("match by registry, the most specific path first", () => {
    const auth = Buffer.from("u:p:w").toString("base64");
    const secrets = [
      secret({ "ghcr.io": { auth } }),
      secret({ "https://ghcr.io/team": { username: "t", password: "x" } }),
      secret({ "quay.io": { auth } }),
    ];
    const found = credentialsFor("ghcr.io/team/app:1", secrets);
    assert.deepEqual(
      found.map((one) => [one.username, one.password]),
      [
        ["t", "x"],
        ["u", "p:w"],
      ],
    );
  });

  it("know Docker Hub by its old address, stars, and the old form", () => {
    assert.equal(
      credentialsFor("busybox", [
        secret({ "https://index.docker.io/v1/": { username: "d", password: "x" } }),
      ]).length,
      1,
    );
    assert.equal(
      credentialsFor("eu.example.com/app", [
        secret({ "*.example.com": { username: "d", password: "x" } }, ".dockercfg"),
      ]).length,
      1,
    );
    assert.equal(
      credentialsFor("a.eu.example.com/app", [
        secret({ "*.example.com": { username: "d", password: "x" } }),
      ]).length,
      0,
    );
  });

  it("that cannot be read are passed over", () => {
    assert.deepEqual(
      credentialsFor("busybox", [{ metadata: {}, data: { ".dockerconfigjson": "bm90IGpzb24=" } }]),
      [],
    );
  });
});

describe("image preload", () => {
  it("imports archives once, and again when they change or their images are gone", async (t) => {
    const folder = await temporaryFolder(t);
    const imports: string[] = [];
    const present = new Set<string>();
    const runtime = {
      importImages: async (file: string) => {
        imports.push(file);
        if (file.includes("broken")) throw new Error("not a tar");
        present.add("app:1");
        return ["app:1"];
      },
      imageStatus: async (reference: string) =>
        present.has(reference) ? ({ id: reference } as Image) : undefined,
    };
    await writeFile(join(folder, "a.tar"), "1");
    await writeFile(join(folder, "broken.tar.gz"), "1");
    await writeFile(join(folder, "notes.txt"), "1");
    const run = async (): Promise<readonly string[]> => {
      imports.length = 0;
      await preloadImages(folder, runtime, silentLogger);
      return imports.map((file) => file.slice(folder.length + 1));
    };
    assert.deepEqual(await run(), ["a.tar", "broken.tar.gz"]);
    assert.deepEqual(await run(), ["broken.tar.gz"]);
    await utimes(join(folder, "a.tar"), 1, 1);
    assert.deepEqual(await run(), ["a.tar", "broken.tar.gz"]);
    present.clear();
    assert.deepEqual(await run(), ["a.tar", "broken.tar.gz"]);
  });

  it("does nothing without a folder", async () => {
    assert.deepEqual(
      await preloadImages(
        "/nonexistent/images",
        { importImages: async () => [], imageStatus: async () => undefined },
        silentLogger,
      ),
      [],
    );
  });
});

describe("image collection", () => {
  const image = (id: string, size: number, more: Partial<Image> = {}): Image => ({
    id,
    size,
    repoTags: [],
    repoDigests: [],
    pinned: false,
    ...more,
  });

  it("frees from the high to the low threshold", () => {
    assert.equal(bytesOverThreshold(1_000, 200, { highPercent: 85, lowPercent: 80 }), 0);
    assert.equal(bytesOverThreshold(1_000, 100, { highPercent: 85, lowPercent: 80 }), 100);
  });

  it("takes the least recently used, and leaves what is in use, pinned or young", () => {
    const uses = [
      { image: image("used", 50), firstSeenMs: 0, lastUsedMs: 1 },
      { image: image("pinned", 50, { pinned: true }), firstSeenMs: 0, lastUsedMs: 0 },
      { image: image("young", 50), firstSeenMs: 990_000, lastUsedMs: 0 },
      { image: image("recent", 50), firstSeenMs: 0, lastUsedMs: 900 },
      { image: image("old", 50), firstSeenMs: 0, lastUsedMs: 100 },
    ];
    const ids = (bytes: number): readonly string[] =>
      chooseImages(uses, new Set(["used"]), bytes, 1_000_000, 120_000).map((one) => one.id);
    assert.deepEqual(ids(50), ["old"]);
    assert.deepEqual(ids(500), ["old", "recent"]);
  });
});
