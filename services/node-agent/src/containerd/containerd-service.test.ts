import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { kill } from "node:process";
import { describe, test, type TestContext } from "node:test";
import { createContainerdRuntime } from "@wherry/cri-api";
import { containerdUnavailable } from "@wherry/cri-api/testing";
import { silentLogger, systemClock } from "@wherry/service-kit";
import { containerdConfig, type ContainerdSettings } from "./config-toml.ts";
import { ContainerdError } from "./containerd-error.ts";
import { createContainerdService, type ContainerdService } from "./containerd-service.ts";
import type { ContainerdConfig } from "./containerd-settings.ts";
import { hasCapability, isSharedMount } from "./host-facts.ts";
import { readProcessRecord } from "./process-record.ts";
import { findPrograms, parseVersion } from "./programs.ts";
import { recordFile, terminateContainerd } from "./terminate.ts";

const settings: ContainerdSettings = {
  version: parseVersion(
    "containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3",
  ),
  root: "/data/root",
  state: "/run/state",
  socket: "/run/state/c.sock",
  sandboxImage: "wherry.local/pause:1",
  snapshotter: "overlayfs",
  cniBinDirs: ["/usr/lib/cni"],
  cniConfDir: "/data/cni.d",
  registryConfigDir: "/data/certs.d",
  runtimes: { runc: "/usr/sbin/runc" },
  defaultRuntime: "runc",
  systemdCgroup: false,
  disableAppArmor: true,
  restrictOomScore: true,
};

describe("containerd's configuration", () => {
  test("has form 2 for 1.x and form 3 for 2.x", () => {
    const old = containerdConfig(settings);
    assert.match(old, /^version = 2$/m);
    assert.match(
      old,
      /\[plugins\."io\.containerd\.grpc\.v1\.cri"\.cni\]\nbin_dir = "\/usr\/lib\/cni"/,
    );
    assert.match(old, /sandbox_image = "wherry.local\/pause:1"/);
    assert.match(
      old,
      /runtimes\.runc\.options\]\nSystemdCgroup = false\nBinaryName = "\/usr\/sbin\/runc"\nRoot = "\/run\/state\/runc"/,
    );
    const current = containerdConfig({ ...settings, version: parseVersion("containerd v2.1.9") });
    assert.match(current, /^version = 3$/m);
    assert.match(current, /pinned_images\]\nsandbox = "wherry.local\/pause:1"/);
    assert.match(current, /bin_dirs = \["\/usr\/lib\/cni"\]/);
  });

  test("spares OOM scores where they may not be changed", () => {
    assert.match(containerdConfig(settings), /^oom_score = 0$/m);
    assert.match(containerdConfig({ ...settings, restrictOomScore: false }), /^oom_score = -999$/m);
  });
});

describe("what the host allows", () => {
  test("is read from the process's capabilities and mounts", () => {
    assert.equal(hasCapability("Name:\tx\nCapEff:\t000001fffeffffff\n", 24n), false);
    assert.equal(hasCapability("CapEff:\t000001ffffffffff\n", 24n), true);
    assert.equal(
      isSharedMount(
        "1 0 8:1 / / rw shared:1 - ext4 /dev/sda rw\n2 1 0:4 / /proc rw - proc proc rw\n",
        "/",
      ),
      true,
    );
    assert.equal(isSharedMount("1 0 8:1 / / rw - ext4 /dev/sda rw\n", "/"), false);
  });

  test("must include containerd and runc, in a version that is supported", async (context) => {
    const empty = await temporaryFolder(context);
    await assert.rejects(
      findPrograms([empty]),
      (error: unknown) =>
        error instanceof ContainerdError &&
        error.code === "notInstalled" &&
        /containerd and runc not found in .*apt-get install containerd runc/.test(error.message),
    );
    assert.throws(() => parseVersion("containerd v1.5.9"), /1\.6 or newer/);
  });
});

const skip = containerdUnavailable();

describe(
  `managed containerd${skip === undefined ? "" : ` (skipped: ${skip})`}`,
  { skip: skip ?? false },
  () => {
    test("outlives its service and is adopted by the next one", async (context) => {
      const host = await createHost(context);
      const { config } = host;
      const first = await host.start();
      const before = await readProcessRecord(recordFile(config.stateDir));
      assert.ok(await answers(first.socket));
      await first.stop(AbortSignal.timeout(1000));
      await first.done;
      assert.ok(await answers(first.socket));
      await host.start();
      assert.deepEqual(await readProcessRecord(recordFile(config.stateDir)), before);
      assert.ok((await stat(join(config.dataDir, "agent/containerd/containerd.log"))).size > 0);
    });

    test("is replaced when its configuration has changed", async (context) => {
      const host = await createHost(context);
      const { config } = host;
      const first = await host.start();
      const before = await readProcessRecord(recordFile(config.stateDir));
      await first.stop(AbortSignal.timeout(1000));
      await host.start({ snapshotter: "native" });
      assert.notEqual((await readProcessRecord(recordFile(config.stateDir)))?.pid, before?.pid);
    });

    test("is started again when it dies", async (context) => {
      const host = await createHost(context);
      const { config } = host;
      const service = await host.start();
      const before = await readProcessRecord(recordFile(config.stateDir));
      kill(before?.pid ?? 0, "SIGKILL");
      for (;;) {
        const record = await readProcessRecord(recordFile(config.stateDir));
        if (record !== undefined && record.pid !== before?.pid && (await answers(service.socket)))
          break;
        await systemClock.sleep(20);
      }
      assert.deepEqual(service.health(), { status: "ok" });
    });

    test("is not started where another server holds the socket", async (context) => {
      const host = await createHost(context);
      const { config } = host;
      const service = await host.start();
      await service.stop(AbortSignal.timeout(1000));
      const record = await readFile(recordFile(config.stateDir));
      await rm(recordFile(config.stateDir));
      const other = createContainerdService(config, { log: silentLogger });
      await assert.rejects(
        other.start(AbortSignal.timeout(10_000)),
        (error: unknown) => error instanceof ContainerdError && error.code === "socketInUse",
      );
      await writeFile(recordFile(config.stateDir), record);
    });

    test("tells why it does not start", async (context) => {
      const host = await createHost(context);
      const { config } = host;
      const service = createContainerdService(
        { ...config, socket: join(config.stateDir, "x".repeat(120)) },
        { log: silentLogger },
      );
      await assert.rejects(
        service.start(AbortSignal.timeout(20_000)),
        /containerd ended while starting, .*containerd\.log ends with:\n.*socket path too long/s,
      );
    });

    test("ends when it is told to, and only then", async (context) => {
      const host = await createHost(context);
      const { config } = host;
      const service = await host.start();
      await service.stop(AbortSignal.timeout(1000));
      await terminateContainerd(config.stateDir, systemClock);
      assert.equal(await readProcessRecord(recordFile(config.stateDir)), undefined);
      assert.equal(await answers(service.socket), false);
      await terminateContainerd(config.stateDir, systemClock);
    });
  },
);

async function temporaryFolder(context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "wherry-mc-"));
  context.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

interface Host {
  readonly config: ContainerdConfig & { readonly stateDir: string };
  /** Started and, at the test's end, stopped. */
  start(change?: Partial<ContainerdConfig>): Promise<ContainerdService>;
}

async function createHost(context: TestContext): Promise<Host> {
  const folder = await mkdtemp(join(tmpdir(), "wherry-mc-"));
  const config = { dataDir: join(folder, "data"), stateDir: join(folder, "run") };
  const services: ContainerdService[] = [];
  // One hook for all, because the order matters: a service would start again what is ended, and the folder holds the record of it.
  context.after(async () => {
    for (const service of services) await service.stop(AbortSignal.timeout(1000));
    await terminateContainerd(config.stateDir, systemClock);
    await rm(folder, { recursive: true, force: true });
  });
  return {
    config,
    async start(change = {}) {
      const service = createContainerdService({ ...config, ...change }, { log: silentLogger });
      services.push(service);
      await service.start(AbortSignal.timeout(30_000));
      return service;
    },
  };
}

async function answers(socket: string): Promise<boolean> {
  const runtime = createContainerdRuntime({ socket, log: silentLogger });
  try {
    return (await runtime.status()).runtimeReady;
  } catch {
    return false;
  } finally {
    runtime.close();
  }
}
