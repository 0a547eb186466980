import { z } from "zod";

const leaderElection = z
  .strictObject({
    /** Unique among the candidates ("host_uuid"). */
    identity: z.string().min(1),
    namespace: z.string().min(1).default("kube-system"),
    /** Name of the Lease. */
    name: z.string().min(1).default("kube-controller-manager"),
    leaseDurationMs: z.number().int().positive().default(15_000),
    renewDeadlineMs: z.number().int().positive().default(10_000),
    retryPeriodMs: z.number().int().positive().default(2_000),
  })
  .refine((one) => one.renewDeadlineMs < one.leaseDurationMs, {
    path: ["renewDeadlineMs"],
    message: "must be shorter than leaseDurationMs, or two could lead at once",
  })
  .refine((one) => one.retryPeriodMs < one.renewDeadlineMs, {
    path: ["retryPeriodMs"],
    message: "must be shorter than renewDeadlineMs",
  });

/** What the controller manager must know before it starts. */
export const controllerManagerConfig = z.strictObject({
  clusterCidr: z.cidrv4().default("10.42.0.0/16"),
  nodeCidrMaskSize: z.number().int().min(8).max(30).default(24),
  serviceCidr: z.cidrv4().default("10.43.0.0/16"),
  /** Published as ConfigMap kube-root-ca.crt in every namespace; absent: it is not published. */
  rootCaPem: z.string().includes("-----BEGIN CERTIFICATE-----").optional(),
  /** Upstream's list: "*" = all, "name" = this one, "-name" = not this one. */
  controllers: z.array(z.string().min(1)).default(["*"]),
  /** Objects that one controller works on at the same time. */
  concurrency: z.number().int().min(1).max(100).default(5),
  /** Absent: works at once. Present: works while it holds the lease, and ends when it loses it. */
  leaderElection: leaderElection.optional(),
});

export type ControllerManagerConfig = Readonly<z.output<typeof controllerManagerConfig>>;
