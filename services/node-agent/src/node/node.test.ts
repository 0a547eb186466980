import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { nodeAgentConfig } from "../config.ts";
import type { HostFacts } from "./host-facts.ts";
import { conditionEvent, nodeConditions } from "./node-conditions.ts";
import { nodeAddresses, nodeCapacity, nodeStatus, resourceList } from "./node-object.ts";

const facts: HostFacts = {
  architecture: "amd64",
  kernelVersion: "6.1.0",
  osImage: "Debian",
  machineId: "m",
  systemUuid: "s",
  bootId: "b",
  cpus: 2,
  memoryBytes: 4 * 1024 ** 3,
  swapBytes: 0,
  storageBytes: 1_000 * 1024,
  hugepages: { "2Mi": 2 * 1024 * 1024 },
  appArmorEnabled: false,
  primaryIp: "192.0.2.7",
};
const calm = { memory: false, disk: false, pid: false };
const up = { runtimeReady: true, networkReady: true, message: "" };
const config = nodeAgentConfig.parse({ nodeName: "n" });

describe("node conditions", () => {
  it("are upstream's when all is well", () => {
    const conditions = nodeConditions({ pressure: calm, runtime: up, previous: [], now: "t" });
    assert.deepEqual(
      conditions.map((one) => `${one.type}=${one.status} ${one.reason}: ${one.message}`),
      [
        "MemoryPressure=False KubeletHasSufficientMemory: kubelet has sufficient memory available",
        "DiskPressure=False KubeletHasNoDiskPressure: kubelet has no disk pressure",
        "PIDPressure=False KubeletHasSufficientPID: kubelet has sufficient PID available",
        "Ready=True KubeletReady: kubelet is posting ready status",
      ],
    );
    assert.equal(conditionEvent(conditions[3] ?? { type: "", status: "" }), "NodeReady");
  });

  it("say why the node is not ready", () => {
    const ready = (runtime: Parameters<typeof nodeConditions>[0]["runtime"]) =>
      nodeConditions({ pressure: calm, runtime, previous: [], now: "t" }).at(-1);
    assert.equal(ready(undefined)?.message, "container runtime is down");
    const message =
      "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized";
    assert.equal(
      ready({
        ...up,
        networkReady: false,
        message: "Network plugin returns error: cni plugin not initialized",
      })?.message,
      message,
    );
    assert.equal(ready(undefined)?.reason, "KubeletNotReady");
  });

  it("keep their time while their status stays", () => {
    const first = nodeConditions({ pressure: calm, runtime: up, previous: [], now: "t1" });
    const second = nodeConditions({
      pressure: { ...calm, memory: true },
      runtime: up,
      previous: first,
      now: "t2",
    });
    assert.equal(second.find((one) => one.type === "Ready")?.lastTransitionTime, "t1");
    assert.equal(second.find((one) => one.type === "MemoryPressure")?.lastTransitionTime, "t2");
    assert.equal(second.find((one) => one.type === "Ready")?.lastHeartbeatTime, "t2");
  });
});

describe("node object", () => {
  it("tells capacity and what of it pods may use", () => {
    const { capacity, allocatable } = nodeCapacity(
      { ...config, reservedCpuMilli: 200, reservedMemoryBytes: 1024 ** 3 },
      facts,
    );
    assert.deepEqual(resourceList(capacity, 110), {
      cpu: "2",
      "ephemeral-storage": "1000Ki",
      "hugepages-2Mi": "2Mi",
      memory: "4194304Ki",
      pods: "110",
    });
    assert.deepEqual(resourceList(allocatable, 110), {
      cpu: "1800m",
      "ephemeral-storage": "950Ki",
      "hugepages-2Mi": "2Mi",
      memory: "3143680Ki",
      pods: "110",
    });
  });

  it("tells addresses, given ones before found ones", () => {
    assert.deepEqual(nodeAddresses(config, facts), [
      { type: "InternalIP", address: "192.0.2.7" },
      { type: "Hostname", address: "n" },
    ]);
    assert.deepEqual(
      nodeAddresses(
        { ...config, nodeIps: ["10.0.0.1"], nodeExternalIps: ["203.0.113.1"], hostname: "h" },
        facts,
      ),
      [
        { type: "InternalIP", address: "10.0.0.1" },
        { type: "ExternalIP", address: "203.0.113.1" },
        { type: "Hostname", address: "h" },
      ],
    );
  });

  it("names the runtime and lists the largest images", () => {
    const images = Array.from({ length: 60 }, (_, index) => ({
      id: `i${index}`,
      repoTags: [`t${index}`],
      repoDigests: [],
      size: index,
      pinned: false,
    }));
    const status = nodeStatus({
      config,
      facts,
      version: { runtimeName: "containerd", runtimeVersion: "v2.1.9", runtimeApiVersion: "v1" },
      images,
      conditions: [],
    });
    assert.equal(status.nodeInfo?.containerRuntimeVersion, "containerd://2.1.9");
    assert.equal(status.images?.length, 50);
    assert.deepEqual(status.images?.[0], { names: ["t59"], sizeBytes: 59 });
  });
});
