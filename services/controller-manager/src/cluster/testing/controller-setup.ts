import { createEventRecorder, createInformerFactory, resources } from "@wherry/client";
import { createMemoryApi, type MemoryApi } from "@wherry/client/testing";
import type { CoreEvent, KubeObject, Node, Pod, Service } from "@wherry/machinery";
import { silentLogger } from "@wherry/service-kit";
import { createManualClock, type ManualClock } from "@wherry/service-kit/testing";
import type { Controller, ControllerContext } from "../../core/controller.ts";

export interface ControllerSetup {
  readonly api: MemoryApi;
  readonly clock: ManualClock;
  /** Lets everything that is ready run; `ms` moves time on meanwhile. */
  settle(ms?: number): Promise<void>;
  /** Reason and message of every event so far. */
  events(): readonly string[];
  stop(): Promise<void>;
}

export interface ControllerSetupOptions {
  readonly seed?: readonly KubeObject[];
  readonly watchLag?: { readonly seed: number; readonly maxMs: number };
}

/** Controllers on an API in memory, started and in sync. */
export async function startControllers(
  create: (context: ControllerContext, api: MemoryApi) => readonly Controller[],
  options: ControllerSetupOptions = {},
): Promise<ControllerSetup> {
  const clock = createManualClock();
  const api = createMemoryApi({
    clock,
    ...(options.watchLag === undefined ? {} : { watchLag: options.watchLag }),
  });
  api.seed(...(options.seed ?? []));
  const informers = createInformerFactory({
    client: api.client,
    clock,
    log: silentLogger,
    random: () => 0.5,
  });
  const events = createEventRecorder({
    client: api.client,
    clock,
    component: "test",
    log: silentLogger,
  });
  const controllers = create({ api: api.client, informers, events, clock, log: silentLogger }, api);
  const stop = new AbortController();
  informers.start();
  const synced = informers.whenSynced();
  await clock.advance(0);
  await synced;
  const running = Promise.all(controllers.map((controller) => controller.run(stop.signal)));
  const settle = async (ms = 0): Promise<void> => {
    for (let round = 0; round < 10; round += 1) await clock.advance(ms / 10);
  };
  await settle(options.watchLag?.maxMs ?? 0);
  return {
    api,
    clock,
    settle,
    events: () =>
      api.list<CoreEvent>(resources.events).map((event) => `${event.reason}: ${event.message}`),
    async stop() {
      stop.abort();
      await clock.advance(0);
      await running;
      events.stop();
      await informers.stop();
    },
  };
}

export function testNamespace(name: string): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name },
    spec: { finalizers: ["kubernetes"] },
    status: { phase: "Active" },
  } as KubeObject;
}

export function testNode(name: string, changes: Partial<Node> = {}): Node {
  const conditions = [
    {
      type: "Ready",
      status: "True",
      reason: "KubeletReady",
      lastHeartbeatTime: "2026-01-01T00:00:00Z",
      lastTransitionTime: "2026-01-01T00:00:00Z",
    },
  ];
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name },
    spec: {},
    status: { conditions },
    ...changes,
  };
}

export function testPod(
  name: string,
  changes: {
    readonly ip?: string;
    readonly ready?: boolean;
    readonly labels?: Record<string, string>;
    readonly spec?: Partial<Pod["spec"]>;
    readonly phase?: string;
    readonly metadata?: Partial<Pod["metadata"]>;
  } = {},
): Pod {
  const {
    ip,
    ready = true,
    labels = { app: "web" },
    spec = {},
    phase = "Running",
    metadata = {},
  } = changes;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", labels, ...metadata },
    spec: {
      nodeName: "n1",
      containers: [{ name: "c", image: "i", ports: [{ name: "http", containerPort: 8080 }] }],
      ...spec,
    },
    status: {
      phase,
      ...(ip === undefined ? {} : { podIP: ip, podIPs: [{ ip }] }),
      conditions: [
        {
          type: "Ready",
          status: ready ? "True" : "False",
          lastTransitionTime: "2026-01-01T00:00:05Z",
        },
      ],
    },
  };
}

export function testService(
  name: string,
  changes: Partial<Service["spec"]> = {},
  metadata: Partial<Service["metadata"]> = {},
): Service {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "default", ...metadata },
    spec: {
      clusterIP: "10.43.0.9",
      ipFamilies: ["IPv4"],
      selector: { app: "web" },
      ports: [{ port: 80, targetPort: "http", protocol: "TCP" }],
      ...changes,
    },
  };
}
