import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { resources } from "@wherry/client";
import { createMemoryApi } from "@wherry/client/testing";
import type { KubeObject, Node, Pod } from "@wherry/machinery";
import { createNullMetrics, parseConfig, silentLogger } from "@wherry/service-kit";
import { createManualClock } from "@wherry/service-kit/testing";
import {
  buildNodeInfo,
  createScheduler,
  defaultFilters,
  defaultScores,
  placePod,
  schedulerConfig,
} from "./index.ts";

const node = (
  name: string,
  changes: { cpu?: string; labels?: Record<string, string>; spec?: Node["spec"] } = {},
): Node => ({
  apiVersion: "v1",
  kind: "Node",
  metadata: { name, labels: { "kubernetes.io/hostname": name, ...changes.labels } },
  spec: changes.spec ?? {},
  status: { allocatable: { cpu: changes.cpu ?? "2", memory: "4Gi", pods: "10" } },
});
const pod = (name: string, spec: Partial<Pod["spec"]> = {}, cpu = "500m"): Pod => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace: "default" },
  spec: {
    schedulerName: "default-scheduler",
    containers: [{ name: "c", image: "i", resources: { requests: { cpu } } }],
    ...spec,
  },
  status: { phase: "Pending" },
});
const profile = { filters: defaultFilters, scores: defaultScores };
const place = (one: Pod, nodes: readonly Node[]) =>
  placePod(
    one,
    nodes.map((each) => buildNodeInfo(each, new Map())),
    profile,
    () => 0,
  );

test("a pod goes where it may and fits, to the emptiest of them", () => {
  assert.deepEqual(place(pod("p"), [node("small", { cpu: "600m" }), node("big", { cpu: "8" })]), {
    kind: "placed",
    node: "big",
  });
  const tainted = node("tainted", {
    cpu: "64",
    spec: { taints: [{ key: "k", value: "v", effect: "NoSchedule" }] },
  });
  assert.deepEqual(place(pod("p"), [tainted, node("plain")]), { kind: "placed", node: "plain" });
  const tolerating = pod("p", {
    tolerations: [{ key: "k", operator: "Exists" }],
    nodeSelector: { "kubernetes.io/hostname": "tainted" },
  });
  assert.deepEqual(place(tolerating, [tainted, node("plain")]), {
    kind: "placed",
    node: "tainted",
  });
});

test("why a pod does not fit is counted by reason, in upstream's words", () => {
  const nodes = [
    node("a"),
    node("b", { spec: { unschedulable: true } }),
    node("c", { spec: { taints: [{ key: "k", value: "v", effect: "NoExecute" }] } }),
  ];
  const result = place(pod("p", {}, "64"), nodes);
  assert.equal(
    result.kind === "unfit" && result.message,
    "0/3 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint {k: v}, 1 node(s) were unschedulable. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.",
  );
  const selective = place(pod("p", { nodeSelector: { disk: "ssd" } }), [node("a")]);
  assert.match(
    selective.kind === "unfit" ? selective.message : "",
    /1 node\(s\) didn't match Pod's node affinity\/selector/,
  );
  const none = place(pod("p"), []);
  assert.equal(none.kind === "unfit" && none.message, "no nodes available to schedule pods");
});

test("node affinity terms, preferred affinity and host ports count", () => {
  const ssd = node("ssd", { labels: { disk: "ssd", size: "9" } });
  const required = (operator: string, values: string[]) =>
    pod("p", {
      affinity: {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: {
            nodeSelectorTerms: [{ matchExpressions: [{ key: "size", operator, values }] }],
          },
        },
      },
    });
  assert.equal(place(required("Gt", ["8"]), [ssd, node("a")]).kind, "placed");
  assert.equal(place(required("Lt", ["8"]), [ssd, node("a")]).kind, "unfit");
  const preferring = pod("p", {
    affinity: {
      nodeAffinity: {
        preferredDuringSchedulingIgnoredDuringExecution: [
          {
            weight: 100,
            preference: { matchExpressions: [{ key: "disk", operator: "In", values: ["ssd"] }] },
          },
        ],
      },
    },
  });
  assert.deepEqual(place(preferring, [node("a"), ssd]), { kind: "placed", node: "ssd" });
  const ported = pod("p", {
    containers: [{ name: "c", image: "i", ports: [{ containerPort: 80, hostPort: 80 }] }],
  });
  const busy = buildNodeInfo(node("a"), new Map([["default/q", ported]]));
  const result = placePod(ported, [busy], profile, () => 0);
  assert.match(
    result.kind === "unfit" ? result.message : "",
    /didn't have free ports for the requested pod ports/,
  );
});

test("init containers and sidecars count as upstream adds them up", () => {
  const container = (name: string, cpu: string, restartPolicy?: string) => ({
    name,
    image: "i",
    resources: { requests: { cpu } },
    ...(restartPolicy === undefined ? {} : { restartPolicy }),
  });
  const one = pod("p", {
    initContainers: [container("side", "500m", "Always"), container("init", "1600m")],
    containers: [container("main", "1")],
  });
  // max(main 1 + sidecar 0.5, init 1.6 + sidecar 0.5) = 2.1 cores.
  assert.equal(place(one, [node("a", { cpu: "2" })]).kind, "unfit");
  assert.equal(place(one, [node("a", { cpu: "2100m" })]).kind, "placed");
});

test("no sequence of pods overcommits a node, and a pod is refused only if no node has room (naive twin)", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 }),
      fc.array(fc.integer({ min: 1, max: 30 }), { maxLength: 25 }),
      (cores, asks) => {
        const nodes = cores.map((count, index) => node(`n${index}`, { cpu: String(count) }));
        const placed = nodes.map(() => new Map<string, Pod>());
        const free = cores.map((count) => count * 10);
        for (const [index, tenths] of asks.entries()) {
          const one = pod(`p${index}`, {}, `${tenths * 100}m`);
          const result = placePod(
            one,
            nodes.map((each, at) => buildNodeInfo(each, placed[at] ?? new Map())),
            profile,
            () => 0.5,
          );
          const room = free.some((left, at) => left >= tenths && (placed[at]?.size ?? 0) < 10);
          assert.equal(result.kind === "placed", room);
          if (result.kind !== "placed") continue;
          const at = Number(result.node.slice(1));
          placed[at]?.set(one.metadata.name ?? "", one);
          free[at] = (free[at] ?? 0) - tenths;
          assert.ok((free[at] ?? -1) >= 0);
        }
      },
    ),
    { numRuns: 60, seed: 7 },
  );
});

async function started(...objects: KubeObject[]) {
  const clock = createManualClock();
  const api = createMemoryApi({ clock });
  api.seed(...objects);
  const scheduler = createScheduler(parseConfig(schedulerConfig, {}), {
    api: api.client,
    clock,
    log: silentLogger,
    metrics: createNullMetrics(),
    random: () => 0,
  });
  const starting = scheduler.start(new AbortController().signal);
  await clock.advance(10);
  await starting;
  const settle = async (ms = 0): Promise<void> => {
    for (let round = 0; round < 5; round += 1) await clock.advance(ms / 5);
  };
  await settle();
  const nodeOf = (name: string): string | undefined =>
    api.get<Pod>(resources.pods, name, "default")?.spec.nodeName;
  return { api, clock, settle, nodeOf, stop: () => scheduler.stop(new AbortController().signal) };
}

test("pods are bound through the API, and the event says where", async () => {
  const { api, nodeOf, settle, stop } = await started(node("a"), pod("one"), pod("two"));
  await settle(100);
  assert.equal(nodeOf("one"), "a");
  assert.equal(nodeOf("two"), "a");
  const messages = api
    .list(resources.events)
    .map((event) => (event as { message?: string }).message);
  assert.ok(messages.includes("Successfully assigned default/one to a"), JSON.stringify(messages));
  await stop();
});

test("a pod that fits nowhere says so in its condition, and goes when a node comes", async () => {
  const { api, nodeOf, settle, stop } = await started(pod("late"));
  await settle(100);
  const condition = api.get<Pod>(resources.pods, "late", "default")?.status?.conditions?.[0];
  assert.equal(condition?.reason, "Unschedulable");
  assert.equal(condition?.message, "no nodes available to schedule pods");
  api.seed(node("a"));
  await settle(2_000);
  assert.equal(nodeOf("late"), "a");
  await stop();
});

test("room that a deleted pod leaves is used, gated pods and foreign ones are left alone", async () => {
  const full = pod("full", { nodeName: "a" }, "2");
  const foreign = pod("foreign", { schedulerName: "other" });
  const gated = pod("gated", { schedulingGates: [{ name: "wait" }] }, "100m");
  const { api, nodeOf, settle, stop } = await started(
    node("a"),
    full,
    foreign,
    gated,
    pod("waits", {}, "1"),
  );
  await settle(100);
  assert.equal(nodeOf("waits"), undefined);
  await api.client.delete(resources.pods, "full", "default", { gracePeriodSeconds: 0 });
  await settle(3_000);
  assert.equal(nodeOf("waits"), "a");
  assert.equal(nodeOf("foreign"), undefined);
  assert.equal(nodeOf("gated"), undefined);
  await stop();
});

test("a binding that fails is tried again after its back-off, and the room is given back meanwhile", async () => {
  const setup = await started(node("a"));
  let failures = 0;
  setup.api.intercept((request) => {
    if (!request.path.includes("/binding") || failures >= 2) return undefined;
    failures += 1;
    return new Error("connection lost");
  });
  await setup.api.client.create(resources.pods, pod("p", {}, "2"));
  await setup.settle(10_000);
  assert.equal(failures, 2);
  assert.equal(setup.nodeOf("p"), "a");
  await setup.stop();
});
