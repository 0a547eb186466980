import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { lstat, mkdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { ConfigMap, Pod, Secret } from "@wherry/machinery";
import { silentLogger } from "@wherry/service-kit";
import { createManualClock } from "@wherry/service-kit/testing";
import type { PodFacts } from "../pods/field-reference.ts";
import { needsRoot, temporaryFolder } from "../testing/temporary-folder.ts";
import { prepareHostPath } from "./host-path.ts";
import { createNoMounter, createSystemMounter, mountPointsBelow } from "./mounter.ts";
import type { Mounter } from "./mounter.ts";
import { applyFsGroup } from "./ownership.ts";
import { volumePayload } from "./payload.ts";
import { referencesOf } from "./references.ts";
import { bindSubPath, splitSubPath } from "./sub-path.ts";
import { createVolumeManager } from "./volume-manager.ts";
import type { VolumeManager } from "./volume-manager.ts";

const facts: PodFacts = { podIps: ["10.42.0.3"], hostIps: ["192.0.2.1"], allocatable: {} };
/** Mount namespaces may be forbidden even to root. */
const needsMounts =
  needsRoot === false && spawnSync("unshare", ["-m", "true"]).status === 0
    ? false
    : "needs root and mounts";

function podOf(volumes: NonNullable<Pod["spec"]["volumes"]>, spec: Partial<Pod["spec"]> = {}): Pod {
  return {
    metadata: { name: "p", namespace: "ns", uid: "u1", labels: { a: "1", b: "x" } },
    spec: { containers: [{ name: "app" }], serviceAccountName: "sa", volumes, ...spec },
  };
}

interface Objects {
  readonly configMaps: Map<string, ConfigMap>;
  readonly secrets: Map<string, Secret>;
  readonly tokens: string[];
}

function objects(): Objects {
  return {
    configMaps: new Map([
      [
        "settings",
        {
          metadata: { name: "settings" },
          data: { a: "1", b: "2" },
          binaryData: { raw: Buffer.from([0, 255]).toString("base64") },
        },
      ],
    ]),
    secrets: new Map([
      [
        "login",
        { metadata: { name: "login" }, data: { user: Buffer.from("me").toString("base64") } },
      ],
    ]),
    tokens: ["token-1", "token-2"],
  };
}

function managerIn(
  folder: string,
  known: Objects,
  mounter: Mounter = createNoMounter(),
  dueMs: { value: number | undefined } = { value: undefined },
  onDue: () => void = () => {},
): { readonly manager: VolumeManager; readonly clock: ReturnType<typeof createManualClock> } {
  const clock = createManualClock();
  const manager = createVolumeManager({
    kubeletRoot: folder,
    mounter,
    references: {
      configMap: async (_, name) => known.configMaps.get(name),
      secret: async (_, name) => known.secrets.get(name),
      retain: () => {},
      release: () => {},
      stop: () => {},
    },
    tokens: {
      get: async () => known.tokens.shift() ?? "spent",
      refreshAtMs: () => dueMs.value,
      release: () => {},
    },
    clock,
    log: silentLogger,
    onRefreshDue: onDue,
  });
  return { manager, clock };
}

describe("volume contents", () => {
  const sources = (known: Objects) => ({
    configMap: async (name: string) => known.configMaps.get(name),
    secret: async (name: string) => known.secrets.get(name),
    token: async () => "t",
    facts: () => facts,
  });
  const texts = async (
    volume: NonNullable<Pod["spec"]["volumes"]>[number],
  ): Promise<Readonly<Record<string, string>>> => {
    const payload = await volumePayload(podOf([]), volume, sources(objects()));
    return Object.fromEntries(
      [...(payload ?? [])].map(([path, file]) => [path, Buffer.from(file.data).toString("latin1")]),
    );
  };

  it("are all keys of a configMap, or the items that are named", async () => {
    assert.deepEqual(await texts({ name: "v", configMap: { name: "settings" } }), {
      a: "1",
      b: "2",
      raw: "\u0000\u00ff",
    });
    assert.deepEqual(
      await texts({
        name: "v",
        configMap: { name: "settings", items: [{ key: "a", path: "deep/a.txt" }] },
      }),
      { "deep/a.txt": "1" },
    );
  });

  it("name what is missing, unless it is optional", async () => {
    await assert.rejects(
      texts({ name: "v", configMap: { name: "none" } }),
      /^VolumeError: configmap "none" not found$/u,
    );
    await assert.rejects(
      texts({ name: "v", secret: { secretName: "login", items: [{ key: "x", path: "x" }] } }),
      /references non-existent secret key: x/u,
    );
    assert.deepEqual(
      await texts({ name: "v", secret: { secretName: "none", optional: true } }),
      {},
    );
  });

  it("are the pod's own fields, maps as quoted lines", async () => {
    assert.deepEqual(
      await texts({
        name: "v",
        downwardAPI: { items: [{ path: "labels", fieldRef: { fieldPath: "metadata.labels" } }] },
      }),
      { labels: 'a="1"\nb="x"' },
    );
  });

  it("are gathered from all sources of a projected volume", async () => {
    const projected = {
      sources: [
        { serviceAccountToken: { path: "token" } },
        { configMap: { name: "settings", items: [{ key: "a", path: "ca.crt" }] } },
        {
          downwardAPI: {
            items: [{ path: "namespace", fieldRef: { fieldPath: "metadata.namespace" } }],
          },
        },
      ],
    };
    assert.deepEqual(await texts({ name: "v", projected }), {
      token: "t",
      "ca.crt": "1",
      namespace: "ns",
    });
  });

  it("keep a token for the one user of the pod", async () => {
    const pod = podOf([], { securityContext: { runAsUser: 1000 } });
    const payload = await volumePayload(
      pod,
      { name: "v", projected: { sources: [{ serviceAccountToken: { path: "token" } }] } },
      sources(objects()),
    );
    assert.deepEqual([payload?.get("token")?.mode, payload?.get("token")?.uid], [0o600, 1000]);
  });

  it("come from objects that are found by name in the whole pod", () => {
    const pod = podOf(
      [
        { name: "a", configMap: { name: "c1" } },
        { name: "b", projected: { sources: [{ secret: { name: "s1" } }] } },
      ],
      {
        containers: [
          {
            name: "app",
            envFrom: [{ secretRef: { name: "s2" } }],
            env: [{ name: "X", valueFrom: { configMapKeyRef: { name: "c2", key: "k" } } }],
          },
        ],
        imagePullSecrets: [{ name: "s3" }],
      },
    );
    assert.deepEqual(
      referencesOf(pod).map((one) => `${one.kind}/${one.name}`),
      ["Secret/s2", "ConfigMap/c2", "ConfigMap/c1", "Secret/s1", "Secret/s3"],
    );
  });
});

describe("volume manager", () => {
  it("makes volumes in the kubelet's layout and removes them again", async (t) => {
    const folder = await temporaryFolder(t);
    const { manager } = managerIn(folder, objects());
    const pod = podOf([
      { name: "cfg", configMap: { name: "settings" } },
      { name: "tmp", emptyDir: {} },
    ]);
    const ready = await manager.setUp(pod, facts);
    assert.deepEqual(
      ready.map((one) => [one.name, one.hostPath, one.readOnly]),
      [
        ["cfg", join(folder, "pods/u1/volumes/kubernetes.io~configmap/cfg"), true],
        ["tmp", join(folder, "pods/u1/volumes/kubernetes.io~empty-dir/tmp"), false],
      ],
    );
    assert.equal((await stat(ready[1]?.hostPath ?? "")).mode & 0o777, 0o777);
    await writeFile(join(ready[1]?.hostPath ?? "", "kept"), "x");
    await manager.setUp(pod, facts);
    assert.equal(await readFile(join(ready[1]?.hostPath ?? "", "kept"), "utf8"), "x");
    await manager.tearDown("u1");
    await manager.remove("u1");
    await assert.rejects(stat(join(folder, "pods/u1")));
  });

  it("names the volume that failed as upstream's event does", async (t) => {
    const { manager } = managerIn(await temporaryFolder(t), objects());
    await assert.rejects(
      manager.setUp(podOf([{ name: "cfg", configMap: { name: "none" } }]), facts),
      /MountVolume\.SetUp failed for volume "cfg" : configmap "none" not found/u,
    );
    await assert.rejects(
      manager.setUp(podOf([{ name: "d", persistentVolumeClaim: { claimName: "c" } }]), facts),
      /persistentvolumeclaim "c": persistent volumes are not supported by this version/u,
    );
    await assert.rejects(
      manager.setUp(podOf([{ name: "n", nfs: { server: "s", path: "/" } }]), facts),
      /volumes of kind nfs are not supported by this version/u,
    );
  });

  it("rewrites contents on refresh and keeps the old ones when an object is gone", async (t) => {
    const folder = await temporaryFolder(t);
    const known = objects();
    const { manager } = managerIn(folder, known);
    const pod = podOf([{ name: "cfg", configMap: { name: "settings" } }]);
    const file = join(folder, "pods/u1/volumes/kubernetes.io~configmap/cfg/a");
    await manager.setUp(pod, facts);
    known.configMaps.set("settings", { metadata: {}, data: { a: "new" } });
    await manager.refresh(pod, facts);
    assert.equal(await readFile(file, "utf8"), "new");
    known.configMaps.clear();
    await manager.refresh(pod, facts);
    assert.equal(await readFile(file, "utf8"), "new");
  });

  it("asks for a refresh when a token is due", async (t) => {
    const due = { value: undefined as number | undefined };
    let asked = 0;
    const { manager, clock } = managerIn(
      await temporaryFolder(t),
      objects(),
      createNoMounter(),
      due,
      () => {
        asked += 1;
      },
    );
    due.value = clock.now() + 2_880_000;
    await manager.setUp(
      podOf([{ name: "v", projected: { sources: [{ serviceAccountToken: { path: "token" } }] } }]),
      facts,
    );
    await clock.advance(2_879_000);
    assert.equal(asked, 0);
    await clock.advance(1_000);
    assert.equal(asked, 1);
    manager.stop();
  });

  it("keeps secrets in memory and unmounts them", { skip: needsMounts }, async (t) => {
    const mounter = createSystemMounter();
    const folder = await temporaryFolder(t, mounter);
    const { manager } = managerIn(folder, objects(), mounter);
    const [secret, memory] = await manager.setUp(
      podOf([
        { name: "s", secret: { secretName: "login" } },
        { name: "m", emptyDir: { medium: "Memory", sizeLimit: "1Mi" } },
      ]),
      facts,
    );
    assert.equal(await mounter.isMounted(secret?.hostPath ?? ""), true);
    assert.equal(await mounter.isMounted(memory?.hostPath ?? ""), true);
    assert.equal(await readFile(join(secret?.hostPath ?? "", "user"), "utf8"), "me");
    await assert.rejects(
      writeFile(join(memory?.hostPath ?? "", "big"), Buffer.alloc(2 << 20)),
      /ENOSPC/u,
    );
    await manager.tearDown("u1");
    assert.deepEqual(await mounter.mountsBelow(folder), []);
  });
});

describe("hostPath", () => {
  it("is checked against its type, in upstream's words", async (t) => {
    const folder = await temporaryFolder(t);
    await writeFile(join(folder, "file"), "");
    await prepareHostPath(join(folder, "absent"), "");
    await prepareHostPath(join(folder, "file"), "File");
    await assert.rejects(
      prepareHostPath(join(folder, "file"), "Directory"),
      new RegExp(`hostPath type check failed: ${folder}/file is not a directory`, "u"),
    );
    await assert.rejects(
      prepareHostPath(join(folder, "absent"), "Socket"),
      /is not a socket file/u,
    );
    await assert.rejects(prepareHostPath(folder, "CharDevice"), /is not a character device/u);
    await prepareHostPath("/dev/null", "CharDevice");
  });

  it("is created for the types that ask for it", async (t) => {
    const folder = await temporaryFolder(t);
    await prepareHostPath(join(folder, "a/b"), "DirectoryOrCreate");
    assert.ok((await stat(join(folder, "a/b"))).isDirectory());
    await prepareHostPath(join(folder, "f"), "FileOrCreate");
    assert.ok((await stat(join(folder, "f"))).isFile());
  });
});

describe("mount points", () => {
  it("are found below a folder, deepest first, with escapes undone", () => {
    const text = [
      "1 0 0:1 / /a rw - x x rw",
      String.raw`2 1 0:1 / /a/b\040c rw - x x rw`,
      "3 1 0:1 / /ab rw - x x rw",
    ].join("\n");
    assert.deepEqual(mountPointsBelow(text, "/a"), ["/a/b c", "/a"]);
  });
});

describe("subPath", () => {
  it("must stay inside its volume", () => {
    assert.deepEqual(splitSubPath("a//./b/"), ["a", "b"]);
    assert.throws(() => splitSubPath("/a"), /must be a relative path/u);
    assert.throws(() => splitSubPath("a/../b"), /must not contain ".."/u);
  });

  it(
    "binds a file or a folder that it makes, and refuses links that lead out",
    { skip: needsMounts },
    async (t) => {
      const mounter = createSystemMounter();
      const folder = await temporaryFolder(t, mounter);
      const volumePath = join(folder, "volume");
      await mkdir(volumePath);
      await writeFile(join(volumePath, "f"), "text");
      await symlink("f", join(volumePath, "inner"));
      await symlink("/etc", join(volumePath, "outer"));
      const bind = (subPath: string, name: string): Promise<string> =>
        bindSubPath(
          { volumePath, subPath, target: join(folder, "targets", name), mode: 0o750 },
          mounter,
        );

      assert.equal(await readFile(await bind("f", "0"), "utf8"), "text");
      assert.equal(await readFile(await bind("inner", "1"), "utf8"), "text");
      assert.ok((await lstat(await bind("new/deep", "2"))).isDirectory());
      assert.ok((await lstat(join(volumePath, "new/deep"))).isDirectory());
      await assert.rejects(bind("outer/passwd", "3"), /leads out of its volume/u);
      await writeFile(join(volumePath, "f"), "other");
      assert.equal(await readFile(await bind("f", "0"), "utf8"), "other");
    },
  );
});

describe("fsGroup", () => {
  it(
    "gives a group the whole tree, or leaves it when its root is right",
    { skip: needsRoot },
    async (t) => {
      const folder = await temporaryFolder(t);
      await mkdir(join(folder, "d"));
      await writeFile(join(folder, "d/f"), "", { mode: 0o600 });
      await applyFsGroup(folder, 4242, "Always", false);
      assert.equal((await stat(join(folder, "d"))).mode & 0o2070, 0o2070);
      assert.deepEqual(
        [(await stat(join(folder, "d/f"))).gid, (await stat(join(folder, "d/f"))).mode & 0o777],
        [4242, 0o660],
      );
      await writeFile(join(folder, "late"), "");
      await applyFsGroup(folder, 4242, "OnRootMismatch", false);
      assert.equal((await stat(join(folder, "late"))).mode & 0o020, 0);
    },
  );
});
