import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Node, Pod } from "@wherry/machinery";
import { admitPod } from "./admission.ts";
import { backoffUntil, formatGoDuration, nextBackoff, restartBackoff } from "./backoff.ts";
import { parseResolvConf, podDns } from "./dns-config.ts";
import { hostsFile } from "./hosts-file.ts";
import { podFromRuntime } from "./orphan.ts";
import { podHostname } from "./pod-hostname.ts";
import { oomScoreAdjust, podLimits, podRequests, qosClass } from "./qos.ts";
import { containerAnnotations, containerLabels } from "./runtime-labels.ts";
import { containerSecurityContext, sandboxSecurityContext } from "./security-context.ts";

function podOf(spec: Partial<Pod["spec"]>, metadata: Partial<Pod["metadata"]> = {}): Pod {
  return {
    metadata: { name: "web-1", namespace: "ns", uid: "u", ...metadata },
    spec: { containers: [{ name: "app", image: "i" }], ...spec },
  };
}

describe("back-off", () => {
  it("doubles from 10 s to 5 min", () => {
    let entry = nextBackoff(undefined, 0, 0, restartBackoff);
    const delays = [entry.delayMs];
    for (let index = 0; index < 6; index += 1) {
      entry = nextBackoff(entry, 0, 0, restartBackoff);
      delays.push(entry.delayMs);
    }
    assert.deepEqual(delays, [10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]);
  });

  it("is forgotten after ten minutes without a failure", () => {
    const entry = { delayMs: 160_000, updatedAtMs: 0 };
    assert.equal(nextBackoff(entry, 600_001, 600_001, restartBackoff).delayMs, 10_000);
    assert.equal(backoffUntil(entry, 600_001, 600_001, restartBackoff), undefined);
    assert.equal(backoffUntil(entry, 600_000, 600_000, restartBackoff), 760_000);
  });

  it("prints durations as Go does", () => {
    assert.deepEqual(
      [10_000, 40_000, 80_000, 160_000, 300_000, 1_500, 393, 0].map(formatGoDuration),
      ["10s", "40s", "1m20s", "2m40s", "5m0s", "1.5s", "393ms", "0s"],
    );
  });
});

describe("resolver settings", () => {
  const inputs = {
    clusterDns: ["10.43.0.10"],
    clusterDomain: "cluster.local",
    host: { servers: ["192.0.2.53"], searches: ["example.com"], options: ["timeout:1"] },
  };

  it("are the cluster's by default", () => {
    assert.deepEqual(podDns(podOf({}), inputs), {
      servers: ["10.43.0.10"],
      searches: ["ns.svc.cluster.local", "svc.cluster.local", "cluster.local", "example.com"],
      options: ["ndots:5"],
    });
  });

  it("are the host's for its network, unless asked otherwise", () => {
    assert.deepEqual(
      podDns(podOf({ hostNetwork: true, dnsPolicy: "ClusterFirst" }), inputs),
      inputs.host,
    );
    assert.deepEqual(
      podDns(podOf({ hostNetwork: true, dnsPolicy: "ClusterFirstWithHostNet" }), inputs).servers,
      ["10.43.0.10"],
    );
  });

  it("take the pod's own on top, options by name, within the limits", () => {
    const dnsConfig = {
      nameservers: ["1.1.1.1", "2.2.2.2", "3.3.3.3"],
      searches: ["own"],
      options: [{ name: "ndots", value: "2" }, { name: "edns0" }],
    };
    const dns = podDns(podOf({ dnsConfig }), inputs);
    assert.deepEqual(dns.servers, ["10.43.0.10", "1.1.1.1", "2.2.2.2"]);
    assert.equal(dns.searches.at(-1), "own");
    assert.deepEqual(dns.options, ["ndots:2", "edns0"]);
    assert.deepEqual(podDns(podOf({ dnsPolicy: "None", dnsConfig }), inputs).searches, ["own"]);
  });

  it("replace a host's resolver that pods cannot reach", () => {
    assert.deepEqual(parseResolvConf("nameserver 127.0.0.53\noptions edns0\nsearch lan\n"), {
      servers: ["8.8.8.8", "2001:4860:4860::8888"],
      searches: ["lan"],
      options: ["edns0"],
    });
    assert.deepEqual(parseResolvConf("nameserver 192.0.2.1\nnameserver 127.0.0.1").servers, [
      "192.0.2.1",
    ]);
  });
});

describe("names of a pod", () => {
  it("are its own, its host name, or the full one when asked", () => {
    assert.equal(podHostname(podOf({}), "cluster.local").kernelName, "web-1");
    const named = podOf({ hostname: "h", subdomain: "sub", setHostnameAsFQDN: true });
    assert.deepEqual(podHostname(named, "cluster.local"), {
      hostname: "h",
      domain: "sub.ns.svc.cluster.local",
      kernelName: "h.sub.ns.svc.cluster.local",
    });
    assert.equal(
      podHostname(podOf({}, { name: `${"a".repeat(62)}-b` }), "x").hostname,
      "a".repeat(62),
    );
  });

  it("stand in the managed hosts file with aliases", () => {
    const pod = podOf({ hostAliases: [{ ip: "192.0.2.9", hostnames: ["foo", "bar"] }] });
    const text = hostsFile({
      pod,
      podIps: ["10.42.0.3"],
      hostname: "h",
      domain: "sub.ns.svc.cluster.local",
      nodeHosts: undefined,
    });
    assert.ok(text.startsWith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n"));
    assert.ok(text.includes("\n10.42.0.3\th.sub.ns.svc.cluster.local\th\n"));
    assert.ok(text.endsWith("\n# Entries added by HostAliases.\n192.0.2.9\tfoo\tbar\n"));
    assert.ok(
      hostsFile({
        pod: podOf({}),
        podIps: [],
        hostname: "h",
        domain: "",
        nodeHosts: "1.2.3.4 node\n",
      }).startsWith("# Kubernetes-managed hosts file (host network).\n1.2.3.4 node\n"),
    );
  });
});

describe("quality of service", () => {
  const resources = (
    requests?: Record<string, string>,
    limits?: Record<string, string>,
  ): Partial<Pod["spec"]> => ({
    containers: [
      { name: "app", resources: { ...(requests && { requests }), ...(limits && { limits }) } },
    ],
  });

  it("follows requests and limits", () => {
    assert.equal(qosClass(podOf({})), "BestEffort");
    assert.equal(qosClass(podOf(resources({ cpu: "100m" }))), "Burstable");
    assert.equal(
      qosClass(podOf(resources({ cpu: "100m", memory: "1Gi" }, { cpu: "100m", memory: "1Gi" }))),
      "Guaranteed",
    );
    assert.equal(
      qosClass(podOf(resources({ cpu: "50m", memory: "1Gi" }, { cpu: "100m", memory: "1Gi" }))),
      "Burstable",
    );
    assert.equal(qosClass(podOf(resources({ cpu: "0" }, { cpu: "0" }))), "BestEffort");
  });

  it("counts sidecars with what runs beside and after them", () => {
    const cpu = (
      milli: number,
    ): { readonly resources: { readonly requests: Record<string, string> } } => ({
      resources: { requests: { cpu: `${milli}m` } },
    });
    const pod = podOf({
      initContainers: [
        { name: "i0", ...cpu(300) },
        { name: "side", restartPolicy: "Always", ...cpu(100) },
        { name: "i1", ...cpu(250) },
      ],
      containers: [
        { name: "a", ...cpu(100) },
        { name: "b", ...cpu(120) },
      ],
      overhead: { cpu: "10m" },
    });
    // i1 beside the sidecar: 350; main containers with it: 320; i0 alone: 300.
    assert.equal(podRequests(pod)["cpu"], 360);
  });

  it("limits a pod only when all containers are limited", () => {
    assert.deepEqual(
      podLimits(
        podOf({
          containers: [{ name: "a", resources: { limits: { memory: "1Gi" } } }, { name: "b" }],
        }),
      ),
      {},
    );
    assert.deepEqual(podLimits(podOf(resources(undefined, { cpu: "2", memory: "1Ki" }))), {
      cpu: 2_000,
      memory: 1_024,
    });
  });

  it("gives out-of-memory scores by class and request", () => {
    const burstable = podOf(resources({ memory: "256" }));
    assert.equal(oomScoreAdjust(podOf({}), { name: "app" }, 1_024), 1_000);
    assert.equal(
      oomScoreAdjust(burstable, burstable.spec.containers[0] ?? { name: "" }, 1_024),
      750,
    );
    const guaranteed = podOf(resources({ cpu: "1", memory: "1" }, { cpu: "1", memory: "1" }));
    assert.equal(
      oomScoreAdjust(guaranteed, guaranteed.spec.containers[0] ?? { name: "" }, 1_024),
      -997,
    );
  });
});

describe("security context", () => {
  it("takes the container's settings over the pod's and the image's", () => {
    const pod = podOf({
      securityContext: {
        runAsUser: 1000,
        runAsGroup: 2000,
        fsGroup: 3000,
        supplementalGroups: [4000],
        seccompProfile: { type: "RuntimeDefault" },
      },
    });
    const context = containerSecurityContext(
      pod,
      {
        name: "app",
        securityContext: {
          runAsUser: 5,
          allowPrivilegeEscalation: false,
          capabilities: { drop: ["ALL"], add: ["NET_BIND_SERVICE"] },
        },
      },
      undefined,
    );
    assert.equal(context.runAsUser, 5);
    assert.equal(context.runAsGroup, 2000);
    assert.deepEqual(context.supplementalGroups, [4000, 3000]);
    assert.equal(context.noNewPrivileges, true);
    assert.deepEqual(context.seccomp, { profileType: "RuntimeDefault" });
    assert.ok(context.maskedPaths.includes("/proc/kcore"));
  });

  it("refuses root where it is forbidden, in upstream's words", () => {
    const pod = podOf({ securityContext: { runAsNonRoot: true } });
    const image = (user: { readonly uid?: number; readonly username?: string }) => ({
      id: "i",
      repoTags: [],
      repoDigests: [],
      size: 0,
      pinned: false,
      user,
    });
    assert.throws(
      () => containerSecurityContext(pod, { name: "app" }, image({ uid: 0 })),
      /container has runAsNonRoot and image will run as root \(pod: "web-1_ns\(u\)", container: app\)/u,
    );
    assert.throws(
      () => containerSecurityContext(pod, { name: "app" }, image({ username: "nobody" })),
      /image has non-numeric user \(nobody\), cannot verify user is non-root/u,
    );
    assert.throws(
      () =>
        containerSecurityContext(
          pod,
          { name: "app", securityContext: { runAsUser: 0 } },
          undefined,
        ),
      /container's runAsUser breaks non-root policy/u,
    );
    assert.equal(
      containerSecurityContext(pod, { name: "app" }, image({ uid: 65532 })).runAsUser,
      65532,
    );
  });

  it("masks nothing for privileged containers and marks their sandbox", () => {
    const pod = podOf({
      containers: [{ name: "app", securityContext: { privileged: true } }],
      hostPID: true,
    });
    assert.equal(sandboxSecurityContext(pod).privileged, true);
    assert.equal(sandboxSecurityContext(pod).namespaceOptions.pid, "NODE");
    assert.deepEqual(
      containerSecurityContext(pod, pod.spec.containers[0] ?? { name: "" }, undefined).maskedPaths,
      [],
    );
  });
});

describe("admission", () => {
  const node: Node = {
    metadata: { name: "n", labels: { zone: "a" } },
    spec: {},
    status: { allocatable: { cpu: "1", memory: "1Gi", pods: "2" } },
  };
  const admit = (
    pod: Pod,
    more: Partial<Parameters<typeof admitPod>[0]> = {},
  ): string | undefined =>
    admitPod({ pod, others: [], node, allowedUnsafeSysctls: [], appArmorEnabled: false, ...more })
      ?.reason;

  it("takes what fits", () => {
    assert.equal(admit(podOf({ nodeSelector: { zone: "a" } })), undefined);
  });

  it("refuses what does not, by upstream's reasons", () => {
    assert.equal(admit(podOf({ nodeSelector: { zone: "b" } })), "NodeAffinity");
    assert.equal(admit(podOf({}), { others: [podOf({}), podOf({})] }), "OutOfpods");
    assert.equal(
      admit(podOf({ containers: [{ name: "a", resources: { requests: { memory: "2Gi" } } }] })),
      "OutOfmemory",
    );
    assert.equal(
      admit(
        podOf({ containers: [{ name: "a", resources: { requests: { "example.com/gpu": "1" } } }] }),
      ),
      "OutOfexample.com/gpu",
    );
    assert.equal(
      admit(podOf({ securityContext: { sysctls: [{ name: "kernel.msgmax", value: "1" }] } })),
      "SysctlForbidden",
    );
    assert.equal(
      admit(podOf({ securityContext: { appArmorProfile: { type: "RuntimeDefault" } } })),
      "AppArmor",
    );
    assert.equal(admit(podOf({ os: { name: "windows" } })), "PodOSNotSupported");
    const tainted: Node = { ...node, spec: { taints: [{ key: "k", effect: "NoExecute" }] } };
    assert.equal(admit(podOf({}), { node: tainted }), "TaintToleration");
    assert.equal(
      admit(podOf({ tolerations: [{ operator: "Exists" }] }), { node: tainted }),
      undefined,
    );
  });
});

describe("orphaned pods", () => {
  it("are restored from labels and annotations, preStop hook and grace included", () => {
    const container = {
      name: "app",
      image: "i",
      lifecycle: { preStop: { sleep: { seconds: 3 } } },
    };
    const pod = podOf({ terminationGracePeriodSeconds: 12, containers: [container] });
    const runtimeObject = {
      id: "c",
      podSandboxId: "s",
      metadata: { name: "app", attempt: 0 },
      image: "i",
      imageRef: "i",
      state: "RUNNING" as const,
      createdAt: 0n,
      labels: containerLabels(pod, container),
      annotations: containerAnnotations(pod, container, 0, undefined),
    };
    const restored = podFromRuntime("u", [], [runtimeObject]);
    assert.equal(restored.metadata.name, "web-1");
    assert.equal(restored.spec.terminationGracePeriodSeconds, 12);
    assert.deepEqual(restored.spec.containers[0]?.lifecycle?.preStop, { sleep: { seconds: 3 } });
  });
});
