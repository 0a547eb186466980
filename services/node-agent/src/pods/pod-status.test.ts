import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { formatTime } from "@wherry/machinery";
import type { Pod } from "@wherry/machinery";
import type { ObservedContainer, ObservedPod } from "./observed.ts";
import { podPhase } from "./pod-phase.ts";
import { generatePodStatus, podStatusPatch, same } from "./pod-status.ts";
import type { PodStatusInputs } from "./pod-status.ts";
import type { ApiContainerStatus, PodStatus } from "./pod-types.ts";

const startedMs = Date.UTC(2026, 0, 1, 10);

function podOf(spec: Partial<Pod["spec"]> = {}, more: Partial<Pod> = {}): Pod {
  return {
    metadata: { name: "p", namespace: "default", uid: "u", generation: 3 },
    spec: { containers: [{ name: "app", image: "busybox:1" }], restartPolicy: "Always", ...spec },
    ...more,
  };
}

function instance(more: Partial<ObservedContainer> = {}): ObservedContainer {
  return {
    id: "c1",
    name: "app",
    sandboxId: "s1",
    state: "RUNNING",
    restartCount: 0,
    hash: undefined,
    image: "docker.io/library/busybox:1",
    imageRef: "sha256:1",
    createdAtMs: startedMs,
    startedAtMs: startedMs,
    finishedAtMs: 0,
    exitCode: 0,
    reason: "",
    message: "",
    logPath: "",
    terminationLog: undefined,
    terminationMessagePolicy: "",
    pid: undefined,
    ...more,
  };
}

function observedOf(...containers: readonly ObservedContainer[]): ObservedPod {
  return {
    sandboxes: [
      {
        id: "s1",
        attempt: 0,
        ready: true,
        createdAtMs: startedMs,
        ips: ["10.42.0.9"],
        network: "POD",
      },
    ],
    containers,
  };
}

function statusOf(more: Partial<PodStatusInputs>): PodStatus {
  return generatePodStatus({
    pod: podOf(),
    observed: observedOf(),
    previous: {},
    ending: false,
    failures: () => undefined,
    started: () => true,
    ready: () => true,
    terminationMessage: () => undefined,
    formatTime,
    hostIps: ["192.0.2.1"],
    startTime: formatTime(startedMs),
    now: formatTime(startedMs + 60_000),
    ...more,
  });
}

describe("pod status", () => {
  it("shows a container that was not made yet as being created", () => {
    const status = statusOf({ observed: { sandboxes: [], containers: [] } });
    assert.equal(status.phase, "Pending");
    assert.deepEqual(status.containerStatuses?.[0]?.state, {
      waiting: { reason: "ContainerCreating" },
    });
    assert.equal(
      status.conditions?.find((one) => one.type === "PodReadyToStartContainers")?.status,
      "False",
    );
    assert.equal(
      status.conditions?.find((one) => one.type === "Ready")?.message,
      "containers with unready status: [app]",
    );
  });

  it("shows main containers as initialising while init containers run", () => {
    const pod = podOf({ initContainers: [{ name: "setup", image: "i" }] });
    const status = statusOf({ pod, observed: observedOf(instance({ name: "setup" })) });
    assert.equal(status.containerStatuses?.[0]?.state?.waiting?.reason, "PodInitializing");
    const initialized = status.conditions?.find((one) => one.type === "Initialized");
    assert.equal(initialized?.reason, "ContainersNotInitialized");
    assert.equal(initialized?.message, "containers with incomplete status: [setup]");
    assert.equal(status.phase, "Pending");
  });

  it("keeps the time of a condition that did not change", () => {
    const first = statusOf({ observed: observedOf(instance()), now: formatTime(startedMs) });
    const second = statusOf({
      observed: observedOf(instance()),
      previous: first,
      now: formatTime(startedMs + 3_600_000),
    });
    assert.deepEqual(second.conditions, first.conditions);
  });

  it("gives conditions and status the generation they were made from", () => {
    const status = statusOf({ observed: observedOf(instance()) });
    assert.equal(status.observedGeneration, 3);
    assert.ok(status.conditions?.every((one) => one.observedGeneration === 3));
  });

  it("shows the previous instance's end as the last state", () => {
    const old = instance({
      id: "c0",
      state: "EXITED",
      exitCode: 2,
      finishedAtMs: startedMs,
      reason: "Error",
    });
    const status = statusOf({ observed: observedOf(instance({ restartCount: 1 }), old) });
    assert.equal(status.containerStatuses?.[0]?.restartCount, 1);
    assert.equal(status.containerStatuses?.[0]?.lastState?.terminated?.exitCode, 2);
  });

  it("shows a held-up restart as waiting and the end as last state", () => {
    const ended = instance({
      state: "EXITED",
      exitCode: 1,
      finishedAtMs: startedMs,
      reason: "Error",
    });
    const status = statusOf({
      observed: observedOf(ended),
      failures: () => ({ reason: "CrashLoopBackOff", message: "back-off" }),
    });
    assert.deepEqual(status.containerStatuses?.[0]?.state?.waiting, {
      reason: "CrashLoopBackOff",
      message: "back-off",
    });
    assert.equal(status.containerStatuses?.[0]?.lastState?.terminated?.exitCode, 1);
    assert.equal(status.phase, "Running");
  });

  it("tells of a container that ran and is gone", () => {
    const previous: PodStatus = {
      containerStatuses: [
        {
          name: "app",
          image: "busybox:1",
          imageID: "",
          ready: true,
          restartCount: 0,
          containerID: "containerd://lost",
          state: { running: { startedAt: formatTime(startedMs) } },
        },
      ],
    };
    const status = statusOf({ previous, observed: observedOf() });
    const container = status.containerStatuses?.[0];
    assert.equal(container?.lastState?.terminated?.reason, "ContainerStatusUnknown");
    assert.equal(container?.lastState?.terminated?.exitCode, 137);
    assert.equal(container?.restartCount, 1);
  });

  it("keeps conditions of others and readiness waits for the pod's gates", () => {
    const pod = podOf(
      { readinessGates: [{ conditionType: "example.com/gate" }] },
      { status: { conditions: [{ type: "example.com/gate", status: "False" }] } },
    );
    const status = statusOf({ pod, observed: observedOf(instance()) });
    assert.ok(status.conditions?.some((one) => one.type === "example.com/gate"));
    const ready = status.conditions?.find((one) => one.type === "Ready");
    assert.equal(ready?.reason, "ReadinessGatesNotReady");
    assert.equal(
      ready?.message,
      'the status of pod readiness gate "example.com/gate" is not "True", but False',
    );
  });

  it("never leaves a final phase", () => {
    const pod = podOf({}, { status: { phase: "Succeeded" } });
    assert.equal(statusOf({ pod, observed: observedOf(instance()) }).phase, "Succeeded");
  });

  it("fails a pod that ends before it ran its course", () => {
    assert.equal(statusOf({ ending: true, observed: observedOf() }).phase, "Failed");
    const done = instance({ state: "EXITED", exitCode: 0, finishedAtMs: startedMs });
    assert.equal(statusOf({ ending: true, observed: observedOf(done) }).phase, "Succeeded");
  });

  it("keeps the address of a pod whose sandbox is gone", () => {
    const previous: PodStatus = { podIP: "10.42.0.9", podIPs: [{ ip: "10.42.0.9" }] };
    assert.equal(
      statusOf({ previous, observed: { sandboxes: [], containers: [] } }).podIP,
      "10.42.0.9",
    );
  });

  it("gives pods on the host's network the host's addresses", () => {
    assert.equal(statusOf({ pod: podOf({ hostNetwork: true }) }).podIP, "192.0.2.1");
  });
});

describe("pod phase", () => {
  const running: ApiContainerStatus = {
    name: "",
    image: "",
    imageID: "",
    ready: true,
    restartCount: 0,
    started: true,
    state: { running: {} },
  };
  const ended = (exitCode: number): ApiContainerStatus => ({
    ...running,
    ready: false,
    started: false,
    state: { terminated: { exitCode } },
  });
  const waiting: ApiContainerStatus = {
    ...running,
    ready: false,
    started: false,
    state: { waiting: {} },
  };
  const table: readonly [
    what: string,
    spec: Partial<Pod["spec"]>,
    statuses: Readonly<Record<string, ApiContainerStatus>>,
    phase: string,
  ][] = [
    ["nothing known", {}, {}, "Pending"],
    ["waiting", {}, { app: waiting }, "Pending"],
    ["running", {}, { app: running }, "Running"],
    ["ended, always restarted", {}, { app: ended(1) }, "Running"],
    [
      "ended well, restarted on failure",
      { restartPolicy: "OnFailure" },
      { app: ended(0) },
      "Succeeded",
    ],
    ["failed, restarted on failure", { restartPolicy: "OnFailure" }, { app: ended(1) }, "Running"],
    ["failed, never restarted", { restartPolicy: "Never" }, { app: ended(1) }, "Failed"],
    [
      "init failed for good",
      { restartPolicy: "Never", initContainers: [{ name: "init" }] },
      { init: ended(1), app: waiting },
      "Failed",
    ],
    [
      "init failed, restarted",
      { initContainers: [{ name: "init" }] },
      { init: ended(1), app: waiting },
      "Pending",
    ],
    [
      "init done, main running",
      { initContainers: [{ name: "init" }] },
      { init: ended(0), app: running },
      "Running",
    ],
    [
      "sidecar restarting beside a running main",
      { initContainers: [{ name: "side", restartPolicy: "Always" }] },
      { side: ended(1), app: running },
      "Running",
    ],
    [
      "sidecar still running after the main is done",
      { restartPolicy: "Never", initContainers: [{ name: "side", restartPolicy: "Always" }] },
      { side: running, app: ended(0) },
      "Running",
    ],
    [
      "sidecar and main done",
      { restartPolicy: "Never", initContainers: [{ name: "side", restartPolicy: "Always" }] },
      { side: ended(137), app: ended(0) },
      "Succeeded",
    ],
  ];
  for (const [what, spec, statuses, phase] of table) {
    it(`is ${phase}: ${what}`, () => {
      const list = Object.entries(statuses).map(([name, status]) => ({ ...status, name }));
      assert.equal(podPhase(podOf(spec), list, false), phase);
    });
  }
});

describe("pod status patch", () => {
  it("is empty when nothing differs, whatever the order of keys", () => {
    assert.equal(
      podStatusPatch({ phase: "Running", podIP: "1" }, { podIP: "1", phase: "Running" }),
      undefined,
    );
  });

  it("holds changed conditions only, and takes away their old reasons", () => {
    const from: PodStatus = {
      conditions: [
        { type: "Ready", status: "False", reason: "X", message: "y" },
        { type: "PodScheduled", status: "True" },
      ],
    };
    const to: PodStatus = {
      conditions: [
        { type: "Ready", status: "True" },
        { type: "PodScheduled", status: "True" },
      ],
    };
    assert.deepEqual(podStatusPatch(from, to), {
      conditions: [{ type: "Ready", status: "True", reason: null, message: null }],
    });
  });

  it("replaces addresses as a whole and removes what is gone", () => {
    const patch = podStatusPatch(
      { podIP: "1", podIPs: [{ ip: "1" }], reason: "Gone" },
      { podIP: "2", podIPs: [{ ip: "2" }] },
    );
    assert.deepEqual(patch, {
      podIP: "2",
      podIPs: [{ $patch: "replace" }, { ip: "2" }],
      reason: null,
    });
  });

  it("leaves fields of others alone", () => {
    assert.equal(podStatusPatch({ nominatedNodeName: "x" }, {}), undefined);
  });

  it("counts null and absent as the same", () => {
    assert.ok(same({ a: null, b: [1, { c: 2 }] }, { b: [1, { c: 2 }] }));
    assert.ok(!same({ a: [1, 2] }, { a: [1] }));
  });
});
