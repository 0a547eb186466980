import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { resources } from "@wherry/client";
import { createMemoryApi } from "@wherry/client/testing";
import type { MemoryApi } from "@wherry/client/testing";
import { createSimulatedRuntime } from "@wherry/cri-api";
import type { ContainerRuntime, SimulatedRuntimeOptions } from "@wherry/cri-api";
import type { CoreEvent, KubeObject, Pod } from "@wherry/machinery";
import { createNullMetrics, silentLogger } from "@wherry/service-kit";
import { createManualClock } from "@wherry/service-kit/testing";
import type { ManualClock } from "@wherry/service-kit/testing";
import { createNodeAgent } from "../agent.ts";
import type { NodeAgent } from "../agent.ts";
import { nodeAgentConfig } from "../config.ts";

export const nodeName = "node-1";

/** A whole node agent on a simulated runtime and an API server in memory, in time that stands still until it is moved. */
export interface AgentHarness {
  readonly api: MemoryApi;
  readonly runtime: ContainerRuntime;
  readonly clock: ManualClock;
  readonly folder: string;
  agent: NodeAgent;
  /** Stops the agent and starts another on the same runtime, API and folders. */
  restart(): Promise<void>;
  pod(name: string): Pod | undefined;
  /** Lets work run, without moving time, until the condition holds. */
  until(condition: () => boolean, what: string): Promise<void>;
  /** Moves time in small steps until the condition holds. */
  passUntil(condition: () => boolean, what: string, limitMs?: number): Promise<void>;
  events(reason?: string): readonly CoreEvent[];
}

export interface HarnessOptions {
  readonly runtime?: Omit<SimulatedRuntimeOptions, "clock">;
  readonly config?: Readonly<Record<string, unknown>>;
  readonly seed?: readonly KubeObject[];
  /** Given runtime in place of a simulated one. */
  readonly wrapRuntime?: (runtime: ContainerRuntime) => ContainerRuntime;
}

const patienceMs = 10_000;
/** Real time given to file work in each step. */
const fileWorkMs = 4;

export async function createAgentHarness(
  t: TestContext,
  options: HarnessOptions = {},
): Promise<AgentHarness> {
  const folder = await mkdtemp(join(tmpdir(), "wherry-node-agent-"));
  const clock = createManualClock();
  const simulated = createSimulatedRuntime({ clock, ...options.runtime });
  const runtime = options.wrapRuntime?.(simulated) ?? simulated;
  const api = createMemoryApi({ clock });
  const namespaces = ["default", "kube-system", "kube-node-lease"].map((name): KubeObject => ({
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name },
  }));
  const account: KubeObject = {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: { name: "default", namespace: "default" },
  };
  api.seed(...namespaces, account, ...(options.seed ?? []));
  const config = nodeAgentConfig.parse({
    nodeName,
    nodeIps: ["192.0.2.10"],
    kubeletRoot: join(folder, "kubelet"),
    podLogsRoot: join(folder, "log/pods"),
    containerLogsRoot: join(folder, "log/containers"),
    mounts: "none",
    cgroups: "none",
    resolvConf: "",
    capacity: { cpuMilli: 4_000, memoryBytes: 8 * 1024 ** 3, storageBytes: 100 * 1024 ** 3 },
    ...options.config,
  });
  const build = (): NodeAgent =>
    createNodeAgent(config, {
      api: api.client,
      runtime,
      clock,
      log: silentLogger,
      metrics: createNullMetrics(),
    });
  const never = new AbortController().signal;

  const harness: AgentHarness = {
    api,
    runtime,
    clock,
    folder,
    agent: build(),
    async restart() {
      await harness.agent.stop(never);
      harness.agent = build();
      await harness.agent.start(never);
    },
    pod: (name) => api.get<Pod>(resources.pods, name, "default"),
    async until(condition, what) {
      const endMs = performance.now() + patienceMs;
      while (!condition()) {
        if (performance.now() > endMs) throw new Error(`waited in vain for: ${what}`);
        await new Promise<void>((resolve) => {
          setImmediate(resolve);
        });
      }
    },
    async passUntil(condition, what, limitMs = 600_000) {
      const endMs = clock.monotonic() + limitMs;
      while (!condition()) {
        if (clock.monotonic() > endMs) throw new Error(`time passed in vain for: ${what}`);
        await clock.advance(500);
        // File work takes real time, however still the clock stands.
        const turnEndMs = performance.now() + fileWorkMs;
        while (!condition() && performance.now() < turnEndMs) {
          await new Promise<void>((resolve) => {
            setImmediate(resolve);
          });
        }
      }
    },
    events: (reason) =>
      api
        .list<CoreEvent>(resources.events, "default")
        .filter((one) => reason === undefined || one.reason === reason),
  };
  t.after(async () => {
    await harness.agent.stop(AbortSignal.abort());
    simulated.close();
    await rm(folder, { recursive: true, force: true });
  });
  await harness.agent.start(never);
  return harness;
}

/** A pod bound to the harness' node. */
export function boundPod(
  name: string,
  spec: Partial<Pod["spec"]> = {},
  metadata: Partial<Pod["metadata"]> = {},
): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", uid: `uid-${name}`, generation: 1, ...metadata },
    spec: {
      nodeName,
      restartPolicy: "Always",
      terminationGracePeriodSeconds: 30,
      serviceAccountName: "default",
      containers: [
        {
          name: "app",
          image: "busybox:1",
          imagePullPolicy: "IfNotPresent",
          terminationMessagePath: "/dev/termination-log",
          terminationMessagePolicy: "File",
        },
      ],
      ...spec,
    },
    status: { phase: "Pending" },
  };
}
