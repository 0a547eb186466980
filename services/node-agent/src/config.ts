import { z } from "zod";

const duration = (defaultMs: number): z.ZodDefault<z.ZodNumber> =>
  z.number().int().positive().default(defaultMs);

/**
 * What the node agent must know before it starts. Paths keep the kubelet's layout, so that log collectors and CSI-like tools that look into
 * them keep working.
 */
export const nodeAgentConfig = z.strictObject({
  /** Name of the Node object; also the host name label unless `hostname` says otherwise. */
  nodeName: z.string().min(1).max(253),
  /** Value of the `kubernetes.io/hostname` label and of the Hostname address; default: the node's name. */
  hostname: z.string().min(1).optional(),
  /** InternalIP addresses, primary first. Empty: the address of the default route's link. */
  nodeIps: z.array(z.string().min(1)).max(2).default([]),
  /** ExternalIP addresses. */
  nodeExternalIps: z.array(z.string().min(1)).max(2).default([]),
  /** Extra labels at registration. */
  nodeLabels: z.record(z.string(), z.string()).default({}),
  /** Taints at registration. */
  nodeTaints: z
    .array(
      z.strictObject({
        key: z.string().min(1),
        value: z.string().optional(),
        effect: z.enum(["NoSchedule", "PreferNoSchedule", "NoExecute"]),
      }),
    )
    .default([]),
  /** Annotations set at registration (K3s' `k3s.io/…` ones come from the launcher). */
  nodeAnnotations: z.record(z.string(), z.string()).default({}),
  /** `spec.providerID`; empty: not set. */
  providerId: z.string().default(""),
  /** Value of the instance-type labels. */
  instanceType: z.string().default("k3s"),
  /** Reported as kubeletVersion. */
  version: z.string().default("v1.36.2+wherry1"),
  /** Holds pods' volumes and plugin folders. */
  kubeletRoot: z.string().default("/var/lib/kubelet"),
  /** Container logs, one folder a pod. */
  podLogsRoot: z.string().default("/var/log/pods"),
  /** Symlinks to the newest log of each container. */
  containerLogsRoot: z.string().default("/var/log/containers"),
  /** Folder whose `*.tar` and `*.tar.gz` are imported at start; empty: none. */
  imagesDir: z.string().default(""),
  /** Import the built-in sandbox image when the runtime does not have it; for a containerd whose `sandbox_image` it is. */
  importPauseImage: z.boolean().default(false),
  /** `system`: mount tmpfs and binds. `none`: plain folders only, for hollow nodes and tests without root. */
  mounts: z.enum(["system", "none"]).default("system"),
  /** Cgroup (path below the hierarchy's root) under which `kubepods` is made. `none` switches cgroups off. */
  cgroupRoot: z.string().default("/"),
  cgroups: z.enum(["system", "none"]).default("system"),
  /** Where the cgroup hierarchies are mounted. */
  cgroupMount: z.string().default("/sys/fs/cgroup"),
  clusterDns: z.array(z.string()).default(["10.43.0.10"]),
  clusterDomain: z.string().default("cluster.local"),
  /** The host's resolver file for `dnsPolicy: Default` pods; empty: none. */
  resolvConf: z.string().default("/etc/resolv.conf"),
  /** Sysctls outside the kubelet's safe list that pods may set. */
  allowedUnsafeSysctls: z
    .array(z.string())
    .default(["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"]),
  /** Pods this node takes at most. */
  podsMax: z.number().int().min(1).max(10_000).default(110),
  /** Subtracted from capacity to give allocatable. */
  reservedCpuMilli: z.number().int().min(0).default(0),
  reservedMemoryBytes: z.number().int().min(0).default(0),
  /** Overrides what the host says, for hollow nodes. */
  capacity: z
    .strictObject({
      cpuMilli: z.number().int().positive(),
      memoryBytes: z.number().int().positive(),
      storageBytes: z.number().int().positive(),
    })
    .optional(),
  /** Port announced in `status.daemonEndpoints`; nothing listens there unless the launcher opens it. */
  kubeletPort: z.number().int().min(0).max(65_535).default(10_250),
  leaseRenewMs: duration(10_000),
  leaseSeconds: z.number().int().positive().default(40),
  /** How often the state of a ready node is looked at; it is posted on change only. One that is not ready is looked at each second. */
  nodeCheckMs: duration(60_000),
  /** Status is posted at least this often, changed or not. */
  nodeReportMs: duration(300_000),
  /** Safety net behind container events. */
  relistMs: duration(90_000),
  /** Log size and rotation check. */
  logCheckMs: duration(60_000),
  logMaxBytes: z
    .number()
    .int()
    .min(1_024)
    .default(10 * 1024 * 1024),
  logFilesMax: z.number().int().min(2).default(5),
  imageGcMs: duration(300_000),
  imageGcHighPercent: z.number().min(1).max(100).default(85),
  imageGcLowPercent: z.number().min(0).max(100).default(80),
  /** Longest CrashLoopBackOff. */
  crashLoopMaxMs: z.number().int().min(1_000).max(300_000).default(300_000),
  /** Image pulls under way at once on this node. */
  pullsMax: z.number().int().min(1).default(8),
  /** Sandboxes and containers started at once on this node. */
  startsMax: z.number().int().min(1).default(16),
});

export type NodeAgentConfig = Readonly<z.output<typeof nodeAgentConfig>>;
