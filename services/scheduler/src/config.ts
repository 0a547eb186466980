import { z } from "zod";

/** What the scheduler must know before it starts. */
export const schedulerConfig = z.strictObject({
  /** Pods with this `spec.schedulerName` are ours. */
  schedulerName: z.string().min(1).default("default-scheduler"),
  /** Back-off of a pod that could not be placed: doubles from the first to the second. */
  backoffInitialMs: z.number().int().positive().default(1_000),
  backoffMaxMs: z.number().int().positive().default(10_000),
  /** A pod that no event has moved is tried again after this time. */
  unschedulableFlushMs: z.number().int().positive().default(300_000),
  /** Bindings under way at once; placing waits at the bound. */
  bindingsMax: z.number().int().positive().default(64),
});

export type SchedulerConfig = Readonly<z.output<typeof schedulerConfig>>;
