import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createManualClock } from "@wherry/service-kit/testing";
import type { ContainerConfig, PodSandboxConfig } from "../runtime.ts";
import { EXIT_CODE_ANNOTATION, RUN_MS_ANNOTATION, createSimulatedRuntime } from "./runtime.ts";
import { createSandboxAddresses } from "./sandbox-addresses.ts";
import { interpretCommand } from "./script.ts";

const SANDBOX: PodSandboxConfig = {
  metadata: { name: "p", uid: "u", namespace: "n", attempt: 0 },
  hostname: "p",
  logDirectory: "",
  portMappings: [],
  labels: {},
  annotations: {},
  linux: {
    cgroupParent: "",
    sysctls: {},
    securityContext: {
      namespaceOptions: { network: "POD", pid: "POD", ipc: "POD" },
      privileged: false,
      supplementalGroups: [],
      readonlyRootfs: false,
    },
  },
};
const CONTAINER: ContainerConfig = {
  metadata: { name: "c", attempt: 0 },
  image: "app:1",
  command: [],
  args: [],
  workingDir: "",
  envs: [],
  mounts: [],
  devices: [],
  labels: {},
  annotations: {},
  logPath: "",
  stdin: false,
  stdinOnce: false,
  tty: false,
  linux: {
    resources: {},
    securityContext: {
      namespaceOptions: { network: "POD", pid: "POD", ipc: "POD" },
      privileged: false,
      capabilities: { add: [], drop: [] },
      supplementalGroups: [],
      readonlyRootfs: false,
      noNewPrivileges: false,
      maskedPaths: [],
      readonlyPaths: [],
    },
  },
};

describe("the simulated runtime", () => {
  test("runs a container for as long as its pod's annotations say", async () => {
    const clock = createManualClock();
    const runtime = createSimulatedRuntime({ clock });
    const sandbox = {
      ...SANDBOX,
      annotations: { [`${RUN_MS_ANNOTATION}.c`]: "5000", [EXIT_CODE_ANNOTATION]: "9" },
    };
    const sandboxId = await runtime.runPodSandbox(sandbox);
    await runtime.pullImage("app:1");
    const id = await runtime.createContainer(sandboxId, CONTAINER, sandbox);
    await runtime.startContainer(id);
    await clock.advance(4999);
    assert.equal((await runtime.containerStatus(id)).state, "RUNNING");
    await clock.advance(1);
    const status = await runtime.containerStatus(id);
    assert.deepEqual(
      [status.state, status.exitCode, (status.finishedAt - status.startedAt) / 1_000_000n],
      ["EXITED", 9, 5000n],
    );
    runtime.close();
  });

  test("does what a script says", async () => {
    const clock = createManualClock();
    const runtime = createSimulatedRuntime({
      clock,
      script: ({ config }) => ({
        runMs: 10,
        exitCode: config.metadata.attempt,
        output: [],
        copiesInput: false,
      }),
    });
    const sandboxId = await runtime.runPodSandbox(SANDBOX);
    await runtime.pullImage("app:1");
    const id = await runtime.createContainer(
      sandboxId,
      { ...CONTAINER, metadata: { name: "c", attempt: 3 } },
      SANDBOX,
    );
    await runtime.startContainer(id);
    await clock.advance(10);
    assert.equal((await runtime.containerStatus(id)).exitCode, 3);
  });

  test("refuses annotations that make no sense", async () => {
    const runtime = createSimulatedRuntime();
    const sandbox = { ...SANDBOX, annotations: { [RUN_MS_ANNOTATION]: "soon" } };
    const sandboxId = await runtime.runPodSandbox(sandbox);
    await runtime.pullImage("app:1");
    const id = await runtime.createContainer(sandboxId, CONTAINER, sandbox);
    await assert.rejects(runtime.startContainer(id), /run-ms .*whole numbers, got soon/);
  });

  test("has every image but those that are said to be missing", async () => {
    const runtime = createSimulatedRuntime();
    assert.equal(await runtime.imageStatus("missing/app:1"), undefined);
    await assert.rejects(runtime.pullImage("missing/app:1"), { code: "notFound" });
    assert.deepEqual((await runtime.imageStatus("app:1"))?.repoTags, ["docker.io/library/app:1"]);
  });

  test("gives each pod an address of its block and takes it back", async () => {
    const runtime = createSimulatedRuntime({ podCidr: "10.42.3.0/29" });
    const ids: string[] = [];
    for (let count = 0; count < 5; count += 1) ids.push(await runtime.runPodSandbox(SANDBOX));
    const ips = await Promise.all(
      ids.map(async (id) => (await runtime.podSandboxStatus(id)).ips[0]),
    );
    assert.deepEqual(ips, ["10.42.3.2", "10.42.3.3", "10.42.3.4", "10.42.3.5", "10.42.3.6"]);
    await assert.rejects(runtime.runPodSandbox(SANDBOX), { code: "resourceExhausted" });
    await runtime.stopPodSandbox(ids[2] ?? "");
    assert.deepEqual((await runtime.podSandboxStatus(await runtime.runPodSandbox(SANDBOX))).ips, [
      "10.42.3.4",
    ]);
  });
});

describe("simulated addresses", () => {
  test("come from a block that is large enough", () => {
    assert.equal(createSandboxAddresses("10.0.7.9/24").allocate(), "10.0.7.2");
    for (const cidr of ["10.0.0.0/30", "10.0.0.0", "fd00::/64", "300.0.0.0/24"])
      assert.throws(() => createSandboxAddresses(cidr), { code: "invalidArgument" }, cidr);
  });
});

describe("simulated commands", () => {
  test("are understood in a small part of shell", () => {
    assert.deepEqual(interpretCommand(["sh", "-c", "echo a; sleep 2 && echo 'b' >&2; exit 3"]), {
      runMs: 2000,
      exitCode: 3,
      copiesInput: false,
      output: [
        { stream: "stdout", text: "a\n", atMs: 0 },
        { stream: "stderr", text: "b\n", atMs: 2000 },
      ],
    });
    assert.equal(interpretCommand(["/bin/false"])?.exitCode, 1);
    assert.equal(interpretCommand(["sleep", "infinity"])?.runMs, undefined);
    assert.equal(interpretCommand(["nginx", "-g", "daemon off;"]), undefined);
  });
});
