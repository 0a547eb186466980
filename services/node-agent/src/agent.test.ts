import assert from "node:assert/strict";
import { duplexPair } from "node:stream";
import { describe, it } from "node:test";
import { resources } from "@wherry/client";
import type { Lease, Node, Pod } from "@wherry/machinery";
import { boundPod, createAgentHarness, nodeName } from "./testing/agent-harness.ts";
import type { AgentHarness } from "./testing/agent-harness.ts";

const running = (harness: AgentHarness, name: string) => (): boolean =>
  harness.pod(name)?.status?.phase === "Running";

describe("node agent", () => {
  it("registers a ready node and renews its lease", async (t) => {
    const harness = await createAgentHarness(t, {
      config: {
        nodeLabels: { zone: "a" },
        nodeTaints: [{ key: "dedicated", value: "x", effect: "NoSchedule" }],
      },
    });
    const node = harness.api.get<Node>(resources.nodes, nodeName);
    assert.equal(node?.metadata.labels?.["kubernetes.io/hostname"], nodeName);
    assert.equal(node?.metadata.labels?.["node.kubernetes.io/instance-type"], "k3s");
    assert.equal(node?.metadata.labels?.["zone"], "a");
    assert.deepEqual(node?.spec.taints, [{ key: "dedicated", value: "x", effect: "NoSchedule" }]);
    assert.equal(node?.status?.capacity?.["cpu"], "4");
    assert.equal(node?.status?.capacity?.["pods"], "110");
    assert.equal(node?.status?.nodeInfo?.kubeletVersion, "v1.36.2+wherry1");
    const ready = node?.status?.conditions?.find((one) => one.type === "Ready");
    assert.equal(ready?.status, "True");
    assert.equal(ready?.message, "kubelet is posting ready status");

    const lease = (): Lease | undefined =>
      harness.api.get<Lease>(resources.leases, nodeName, "kube-node-lease");
    await harness.until(() => lease() !== undefined, "a lease");
    assert.equal(lease()?.spec.leaseDurationSeconds, 40);
    const first = lease()?.spec.renewTime;
    await harness.clock.advance(10_000);
    await harness.until(() => lease()?.spec.renewTime !== first, "a renewed lease");
  });

  it("is silent while nothing happens, save for the lease", async (t) => {
    const harness = await createAgentHarness(t);
    await harness.clock.advance(20_000);
    const before = harness.api.requests.length;
    await harness.clock.advance(100_000);
    const since = harness.api.requests.slice(before).filter((one) => !one.includes("/leases/"));
    assert.deepEqual(since, []);
  });

  it("brings a pod to Running and Ready, with upstream's events", async (t) => {
    const harness = await createAgentHarness(t);
    harness.api.seed(
      boundPod("web", {
        containers: [{ name: "app", image: "busybox:1", imagePullPolicy: "Always" }],
      }),
    );
    await harness.until(running(harness, "web"), "Running");
    const status = harness.pod("web")?.status;
    assert.deepEqual(
      status?.conditions?.map((one) => [one.type, one.status]),
      [
        ["PodReadyToStartContainers", "True"],
        ["Initialized", "True"],
        ["Ready", "True"],
        ["ContainersReady", "True"],
        ["PodScheduled", "True"],
      ],
    );
    const container = status?.containerStatuses?.[0];
    assert.match(container?.containerID ?? "", /^containerd:\/\/.+/u);
    assert.equal(container?.restartCount, 0);
    assert.equal(container?.started, true);
    assert.equal(status?.hostIP, "192.0.2.10");
    assert.equal(status?.qosClass, "BestEffort");
    assert.match(status?.podIP ?? "", /^10\.88\./u);
    await harness.until(() => harness.events("Started").length > 0, "events");
    assert.deepEqual(
      harness
        .events()
        .filter((one) => one.involvedObject.kind === "Pod")
        .map((one) => `${one.reason}: ${one.message}`)
        .map((text) => text.replace(/in \S+ \(\S+ including waiting\)/u, "in T")),
      [
        'Pulling: Pulling image "busybox:1"',
        'Pulled: Successfully pulled image "busybox:1" in T. Image size: 1048576 bytes.',
        "Created: Container created",
        "Started: Container started",
      ],
    );
    assert.equal(harness.events("Started")[0]?.involvedObject.fieldPath, "spec.containers{app}");
  });

  it("runs init containers one by one before the main container", async (t) => {
    const order: string[] = [];
    const harness = await createAgentHarness(t, {
      runtime: {
        script: ({ config }) => {
          order.push(config.metadata.name);
          return config.metadata.name.startsWith("init")
            ? { runMs: 1_000, exitCode: 0, output: [], copiesInput: false }
            : undefined;
        },
      },
    });
    harness.api.seed(
      boundPod("staged", {
        initContainers: [
          { name: "init-1", image: "a" },
          { name: "init-2", image: "b" },
        ],
      }),
    );
    await harness.until(() => order.length === 1, "the first init container");
    const waiting = harness.pod("staged")?.status?.containerStatuses?.[0]?.state?.waiting?.reason;
    assert.equal(waiting, "PodInitializing");
    await harness.passUntil(running(harness, "staged"), "Running");
    assert.deepEqual(order, ["init-1", "init-2", "app"]);
  });

  it("starts a sidecar before the main container and ends it after", async (t) => {
    const stops: string[] = [];
    const harness = await createAgentHarness(t, {
      wrapRuntime: (runtime) => ({
        ...runtime,
        stopContainer: async (id, seconds) => {
          stops.push((await runtime.containerStatus(id)).metadata.name);
          return runtime.stopContainer(id, seconds);
        },
      }),
    });
    harness.api.seed(
      boundPod("proxied", {
        initContainers: [{ name: "proxy", image: "p", restartPolicy: "Always" }],
      }),
    );
    await harness.until(running(harness, "proxied"), "Running");
    assert.equal(harness.pod("proxied")?.status?.initContainerStatuses?.[0]?.started, true);
    await harness.api.client.delete(resources.pods, "proxied", "default");
    await harness.passUntil(() => harness.pod("proxied") === undefined, "deletion");
    assert.deepEqual(stops, ["app", "proxy"]);
  });

  it("backs off a crashing container with upstream's messages", async (t) => {
    const harness = await createAgentHarness(t, {
      runtime: { script: () => ({ runMs: 1_000, exitCode: 1, output: [], copiesInput: false }) },
    });
    harness.api.seed(boundPod("crash"));
    const waiting = (): { readonly reason?: string; readonly message?: string } | undefined =>
      harness.pod("crash")?.status?.containerStatuses?.[0]?.state?.waiting;
    await harness.passUntil(() => waiting()?.reason === "CrashLoopBackOff", "CrashLoopBackOff");
    assert.equal(
      waiting()?.message,
      "back-off 10s restarting failed container=app pod=crash_default(uid-crash)",
    );
    assert.equal(harness.pod("crash")?.status?.containerStatuses?.[0]?.restartCount, 1);
    assert.equal(harness.pod("crash")?.status?.phase, "Running");
    assert.equal(
      harness.pod("crash")?.status?.containerStatuses?.[0]?.lastState?.terminated?.exitCode,
      1,
    );
    await harness.passUntil(
      () => waiting()?.message?.startsWith("back-off 20s") === true,
      "a longer back-off",
    );
    assert.equal(
      harness.events("BackOff")[0]?.message,
      "Back-off restarting failed container app in pod crash_default(uid-crash)",
    );
  });

  it("ends a pod that has run its course", async (t) => {
    const harness = await createAgentHarness(t, {
      runtime: { script: () => ({ runMs: 2_000, exitCode: 0, output: [], copiesInput: false }) },
    });
    harness.api.seed(boundPod("job", { restartPolicy: "Never" }));
    await harness.passUntil(() => harness.pod("job")?.status?.phase === "Succeeded", "Succeeded");
    const status = harness.pod("job")?.status;
    assert.equal(status?.containerStatuses?.[0]?.state?.terminated?.reason, "Completed");
    assert.equal(status?.conditions?.find((one) => one.type === "Ready")?.reason, "PodCompleted");
  });

  it("deletes a pod with its grace period and leaves nothing behind", async (t) => {
    const graces: number[] = [];
    const harness = await createAgentHarness(t, {
      wrapRuntime: (runtime) => ({
        ...runtime,
        stopContainer: (id, seconds) => {
          graces.push(seconds);
          return runtime.stopContainer(id, seconds);
        },
      }),
    });
    harness.api.seed(boundPod("gone"));
    await harness.until(running(harness, "gone"), "Running");
    await harness.api.client.delete(resources.pods, "gone", "default", { gracePeriodSeconds: 7 });
    await harness.passUntil(() => harness.pod("gone") === undefined, "deletion");
    assert.deepEqual(graces, [7]);
    const killing = (): boolean => harness.events("Killing").length > 0;
    await harness.until(killing, "a Killing event");
    assert.equal(harness.events("Killing")[0]?.message, "Stopping container app");
    let left = -1;
    for (let turn = 0; turn < 1_000 && left !== 0; turn += 1) {
      left =
        (await harness.runtime.listPodSandboxes()).length +
        (await harness.runtime.listContainers()).length;
      await harness.clock.advance(10);
    }
    assert.equal(left, 0);
  });

  it("adopts running pods after a restart and does not touch them", async (t) => {
    const harness = await createAgentHarness(t);
    harness.api.seed(boundPod("keep"));
    await harness.until(running(harness, "keep"), "Running");
    const before = harness.pod("keep")?.status;
    await harness.restart();
    await harness.clock.advance(5_000);
    const after = harness.pod("keep")?.status;
    assert.equal(
      after?.containerStatuses?.[0]?.containerID,
      before?.containerStatuses?.[0]?.containerID,
    );
    assert.equal(after?.containerStatuses?.[0]?.restartCount, 0);
    assert.equal(after?.startTime, before?.startTime);
    assert.equal((await harness.runtime.listContainers()).length, 1);
  });

  it("ends pods that the API does not know any more after a restart", async (t) => {
    const harness = await createAgentHarness(t);
    harness.api.seed(boundPod("orphan"));
    await harness.until(running(harness, "orphan"), "Running");
    await harness.agent.stop(new AbortController().signal);
    await harness.api.client.delete(resources.pods, "orphan", "default", { gracePeriodSeconds: 0 });
    await harness.restart();
    let left = -1;
    for (let turn = 0; turn < 1_000 && left !== 0; turn += 1) {
      left = (await harness.runtime.listPodSandboxes()).length;
      await harness.clock.advance(10);
    }
    assert.equal(left, 0);
  });

  it("shows failed pulls as ErrImagePull, then ImagePullBackOff", async (t) => {
    const harness = await createAgentHarness(t);
    harness.api.seed(
      boundPod("nopull", {
        containers: [{ name: "app", image: "missing/thing:1", imagePullPolicy: "Always" }],
      }),
    );
    const reason = (): string | undefined =>
      harness.pod("nopull")?.status?.containerStatuses?.[0]?.state?.waiting?.reason;
    await harness.until(() => reason() === "ErrImagePull", "ErrImagePull");
    await harness.passUntil(() => reason() === "ImagePullBackOff", "ImagePullBackOff");
    assert.match(
      harness.pod("nopull")?.status?.containerStatuses?.[0]?.state?.waiting?.message ?? "",
      /^Back-off pulling image "missing\/thing:1": ErrImagePull: /u,
    );
    assert.equal(harness.pod("nopull")?.status?.phase, "Pending");
  });

  it("tells of a configMap that is missing and starts once it is there", async (t) => {
    const harness = await createAgentHarness(t);
    harness.api.seed(
      boundPod("cfg", {
        containers: [
          {
            name: "app",
            image: "busybox:1",
            env: [{ name: "A", valueFrom: { configMapKeyRef: { name: "settings", key: "a" } } }],
          },
        ],
      }),
    );
    const waiting = (): { readonly reason?: string; readonly message?: string } | undefined =>
      harness.pod("cfg")?.status?.containerStatuses?.[0]?.state?.waiting;
    await harness.until(
      () => waiting()?.reason === "CreateContainerConfigError",
      "CreateContainerConfigError",
    );
    assert.equal(waiting()?.message, 'configmap "settings" not found');
    harness.api.seed({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "settings", namespace: "default" },
      data: { a: "1" },
    } as never);
    await harness.until(running(harness, "cfg"), "Running");
  });

  it("refuses a pod that does not fit", async (t) => {
    const harness = await createAgentHarness(t);
    harness.api.seed(
      boundPod("big", {
        containers: [{ name: "app", image: "busybox:1", resources: { requests: { cpu: "64" } } }],
      }),
    );
    await harness.until(() => harness.pod("big")?.status?.phase === "Failed", "refusal");
    assert.equal(harness.pod("big")?.status?.reason, "OutOfcpu");
    assert.equal(
      harness.pod("big")?.status?.message,
      "Pod was rejected: Node didn't have enough resource: cpu, requested: 64000, used: 0, capacity: 4000",
    );
  });

  it("restarts a container whose liveness probe fails", async (t) => {
    const harness = await createAgentHarness(t, {
      runtime: { execScript: () => ({ runMs: 0, exitCode: 1, output: [], copiesInput: false }) },
    });
    const probe = {
      exec: { command: ["check"] },
      periodSeconds: 5,
      failureThreshold: 2,
      timeoutSeconds: 1,
      successThreshold: 1,
    };
    harness.api.seed(
      boundPod("sick", { containers: [{ name: "app", image: "busybox:1", livenessProbe: probe }] }),
    );
    await harness.until(running(harness, "sick"), "Running");
    await harness.passUntil(
      () => harness.pod("sick")?.status?.containerStatuses?.[0]?.restartCount === 1,
      "a restart",
    );
    assert.ok(harness.events("Unhealthy").length > 0);
    assert.ok(
      harness
        .events("Killing")
        .some((one) => one.message === "Container app failed liveness probe, will be restarted"),
    );
  });

  it("holds readiness until its probe passes", async (t) => {
    let healthy = false;
    const harness = await createAgentHarness(t, {
      runtime: {
        execScript: () => ({ runMs: 0, exitCode: healthy ? 0 : 1, output: [], copiesInput: false }),
      },
    });
    const probe = { exec: { command: ["check"] }, periodSeconds: 1 };
    harness.api.seed(
      boundPod("slow", {
        containers: [{ name: "app", image: "busybox:1", readinessProbe: probe }],
      }),
    );
    await harness.until(running(harness, "slow"), "Running");
    const ready = (): string | undefined =>
      harness.pod("slow")?.status?.conditions?.find((one) => one.type === "Ready")?.status;
    await harness.clock.advance(3_000);
    assert.equal(ready(), "False");
    assert.equal(
      harness.pod("slow")?.status?.conditions?.find((one) => one.type === "Ready")?.message,
      "containers with unready status: [app]",
    );
    healthy = true;
    await harness.passUntil(() => ready() === "True", "Ready");
  });

  it("ends a pod at its deadline", async (t) => {
    const harness = await createAgentHarness(t);
    harness.api.seed(boundPod("late", { activeDeadlineSeconds: 20 }));
    await harness.until(running(harness, "late"), "Running");
    await harness.passUntil(() => harness.pod("late")?.status?.phase === "Failed", "the deadline");
    assert.equal(harness.pod("late")?.status?.reason, "DeadlineExceeded");
  });

  it("recreates a sandbox that was lost and runs init containers again", async (t) => {
    const order: string[] = [];
    const harness = await createAgentHarness(t, {
      runtime: {
        script: ({ config }) => {
          order.push(config.metadata.name);
          return config.metadata.name === "init"
            ? { runMs: 100, exitCode: 0, output: [], copiesInput: false }
            : undefined;
        },
      },
    });
    harness.api.seed(boundPod("moved", { initContainers: [{ name: "init", image: "i" }] }));
    await harness.passUntil(running(harness, "moved"), "Running");
    const [sandbox] = await harness.runtime.listPodSandboxes();
    await harness.runtime.stopPodSandbox(sandbox?.id ?? "");
    await harness.passUntil(() => order.length === 4, "a second life");
    assert.deepEqual(order, ["init", "app", "init", "app"]);
    await harness.passUntil(
      () => harness.pod("moved")?.status?.containerStatuses?.[0]?.restartCount === 1,
      "a restart counted",
    );
    assert.ok(harness.events("SandboxChanged").length > 0);
  });

  it("reports a pod's status again when someone overwrote it", async (t) => {
    const harness = await createAgentHarness(t);
    harness.api.seed(boundPod("edited"));
    await harness.until(running(harness, "edited"), "Running");
    await harness.api.client.patch<Pod>(
      resources.pods,
      "edited",
      "default",
      "merge",
      { status: { phase: "Pending", podIP: "203.0.113.1" } },
      { subresource: "status" },
    );
    await harness.until(
      () => harness.pod("edited")?.status?.phase === "Running",
      "the true status",
    );
    assert.match(harness.pod("edited")?.status?.podIP ?? "", /^10\.88\./u);
  });

  it("ends a container whose postStart hook failed, without telling why in the event", async (t) => {
    const harness = await createAgentHarness(t, {
      runtime: { execScript: () => ({ runMs: 0, exitCode: 9, output: [], copiesInput: false }) },
    });
    const lifecycle = { postStart: { exec: { command: ["secret-setup"] } } };
    harness.api.seed(
      boundPod("hook", {
        restartPolicy: "Never",
        containers: [{ name: "app", image: "busybox:1", lifecycle }],
      }),
    );
    await harness.passUntil(() => harness.pod("hook")?.status?.phase === "Failed", "Failed");
    assert.equal(harness.events("FailedPostStartHook")[0]?.message, "PostStartHook failed");
    assert.equal(harness.events("Killing")[0]?.message, "FailedPostStartHook");
  });

  it("does not show a container as running before its postStart hook has ended", async (t) => {
    const harness = await createAgentHarness(t);
    const lifecycle = { postStart: { sleep: { seconds: 5 } } };
    harness.api.seed(
      boundPod("slow-hook", { containers: [{ name: "app", image: "busybox:1", lifecycle }] }),
    );
    await harness.until(() => harness.events("Started").length > 0, "the start");
    await harness.clock.advance(4_000);
    assert.equal(
      harness.pod("slow-hook")?.status?.containerStatuses?.[0]?.state?.waiting?.reason,
      "ContainerCreating",
    );
    await harness.passUntil(running(harness, "slow-hook"), "Running");
  });

  it("takes the time of a preStop hook off the grace period", async (t) => {
    const graces: number[] = [];
    const harness = await createAgentHarness(t, {
      wrapRuntime: (runtime) => ({
        ...runtime,
        stopContainer: (id, seconds) => {
          graces.push(seconds);
          return runtime.stopContainer(id, seconds);
        },
      }),
    });
    const lifecycle = { preStop: { sleep: { seconds: 12 } } };
    harness.api.seed(
      boundPod("polite", { containers: [{ name: "app", image: "busybox:1", lifecycle }] }),
    );
    await harness.until(running(harness, "polite"), "Running");
    await harness.api.client.delete(resources.pods, "polite", "default", {
      gracePeriodSeconds: 30,
    });
    await harness.passUntil(() => harness.pod("polite") === undefined, "deletion");
    assert.deepEqual(graces, [18]);
  });

  it("cuts a grace period short when the deletion is repeated with a shorter one", async (t) => {
    const graces: number[] = [];
    const harness = await createAgentHarness(t, {
      wrapRuntime: (runtime) => ({
        ...runtime,
        stopContainer: (id, seconds) => {
          graces.push(seconds);
          return runtime.stopContainer(id, seconds);
        },
      }),
    });
    const lifecycle = { preStop: { sleep: { seconds: 3_000 } } };
    harness.api.seed(
      boundPod("stubborn", { containers: [{ name: "app", image: "busybox:1", lifecycle }] }),
    );
    await harness.until(running(harness, "stubborn"), "Running");
    await harness.api.client.delete(resources.pods, "stubborn", "default", {
      gracePeriodSeconds: 3_600,
    });
    await harness.until(() => harness.events("Killing").length > 0, "the killing");
    await harness.api.client.delete(resources.pods, "stubborn", "default", {
      gracePeriodSeconds: 5,
    });
    await harness.passUntil(() => harness.pod("stubborn") === undefined, "deletion", 60_000);
    assert.equal(Math.max(...graces), 5);
  });

  it("restarts a container whose image was changed, and counts it", async (t) => {
    const harness = await createAgentHarness(t);
    harness.api.seed(boundPod("upgraded"));
    await harness.until(running(harness, "upgraded"), "Running");
    await harness.api.client.patch<Pod>(resources.pods, "upgraded", "default", "strategic", {
      metadata: { generation: 2 },
      spec: { containers: [{ name: "app", image: "busybox:2" }] },
    });
    await harness.passUntil(
      () => harness.pod("upgraded")?.status?.containerStatuses?.[0]?.restartCount === 1,
      "a restart",
    );
    await harness.passUntil(
      () =>
        harness.pod("upgraded")?.status?.containerStatuses?.[0]?.image?.endsWith("busybox:2") ===
        true,
      "the new image",
    );
  });

  it("takes a pod's static parts off a node whose agent was away while the pod was deleted", async (t) => {
    const harness = await createAgentHarness(t);
    harness.api.seed(boundPod("away"));
    await harness.until(running(harness, "away"), "Running");
    await harness.agent.stop(new AbortController().signal);
    await harness.api.client.delete(resources.pods, "away", "default", { gracePeriodSeconds: 30 });
    assert.notEqual(harness.pod("away"), undefined);
    await harness.restart();
    await harness.passUntil(() => harness.pod("away") === undefined, "deletion");
  });

  it("writes the newest status after the API server was away", async (t) => {
    const harness = await createAgentHarness(t);
    const restore = harness.api.intercept((request) =>
      request.method === "PATCH" && request.path.includes("/pods/")
        ? new Error("connection refused")
        : undefined,
    );
    harness.api.seed(boundPod("offline"));
    await harness.until(() => harness.events("Started").length > 0, "the start");
    assert.equal(harness.pod("offline")?.status?.phase, "Pending");
    restore();
    await harness.passUntil(running(harness, "offline"), "Running", 60_000);
  });

  it("serves the kubelet's API on a stream that it is handed", async (t) => {
    const harness = await createAgentHarness(t);
    harness.api.seed(boundPod("listed"));
    await harness.until(running(harness, "listed"), "Running");
    const [near, far] = duplexPair();
    harness.agent.accept(far);
    near.write("GET /pods HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n");
    const chunks: Buffer[] = [];
    for await (const chunk of near) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    assert.match(text, /^HTTP\/1\.1 200 /u);
    assert.ok(text.includes('"name":"listed"'));
  });

  it("sees the end of a container whose event came before the runtime's own list knew", async (t) => {
    let hidden = 0;
    const harness = await createAgentHarness(t, {
      runtime: {
        script: () => ({ runMs: 1_000, exitCode: 0, output: [], copiesInput: false }),
      },
      wrapRuntime: (runtime) => ({
        ...runtime,
        containerStatus: async (id) => {
          const status = await runtime.containerStatus(id);
          if (status.state !== "EXITED" || hidden >= 3) return status;
          hidden += 1;
          return { ...status, state: "RUNNING", finishedAt: 0n };
        },
      }),
    });
    harness.api.seed(boundPod("brief", { restartPolicy: "Never" }));
    await harness.passUntil(
      () => harness.pod("brief")?.status?.phase === "Succeeded",
      "Succeeded",
      10_000,
    );
    assert.equal(hidden, 3);
  });
});
