import { z } from "zod";

/** What the controller manager must know before it starts. */
export const controllerManagerConfig = z.strictObject({
  clusterCidr: z.cidrv4().default("10.42.0.0/16"),
  nodeCidrMaskSize: z.number().int().min(8).max(30).default(24),
  serviceCidr: z.cidrv4().default("10.43.0.0/16"),
  /** Published as ConfigMap kube-root-ca.crt in every namespace; absent: it is not published. */
  rootCaPem: z.string().includes("-----BEGIN CERTIFICATE-----").optional(),
  /** Upstream's list: "*" = all, "name" = this one, "-name" = not this one. */
  controllers: z.array(z.string().min(1)).default(["*"]),
});

export type ControllerManagerConfig = Readonly<z.output<typeof controllerManagerConfig>>;
