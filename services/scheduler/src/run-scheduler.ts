import { createApiClient, createKubeconfigTransport } from "@wherry/client";
import { loadKubeconfig } from "@wherry/pki";
import {
  createMetrics,
  parseConfig,
  runServices,
  systemClock,
  UsageError,
  type FlagDefinition,
  type FlagValues,
  type Logger,
} from "@wherry/service-kit";
import { schedulerConfig, type SchedulerConfig } from "./config.ts";
import { createScheduler } from "./scheduler.ts";

/** Flags of the scheduler on its own; names are kube-scheduler's where it has one. */
export const schedulerFlags: readonly FlagDefinition[] = [
  {
    name: "kubeconfig",
    kind: "string",
    env: ["KUBECONFIG"],
    help: "File with the API server's address and credentials. Required.",
  },
  {
    name: "scheduler-name",
    kind: "string",
    defaultText: "default-scheduler",
    help: "Pods with this spec.schedulerName are placed.",
  },
  {
    name: "pod-initial-backoff-seconds",
    kind: "integer",
    defaultText: "1",
    help: "First wait of a pod that could not be placed.",
  },
  { name: "pod-max-backoff-seconds", kind: "integer", defaultText: "10", help: "Longest wait." },
];

export interface SchedulerRun {
  readonly kubeconfig: string;
  readonly config: SchedulerConfig;
}

const STOP_TIMEOUT_MS = 10_000;

/** Throws UsageError naming the flag that is wrong or missing. */
export function schedulerRunOf(values: FlagValues): SchedulerRun {
  const kubeconfig = values["kubeconfig"];
  if (typeof kubeconfig !== "string")
    throw new UsageError(
      "--kubeconfig is required: the file with the API server's address and credentials",
    );
  const inMs = (name: string): number | undefined =>
    typeof values[name] === "number" ? values[name] * 1_000 : undefined;
  const given = {
    schedulerName: values["scheduler-name"],
    backoffInitialMs: inMs("pod-initial-backoff-seconds"),
    backoffMaxMs: inMs("pod-max-backoff-seconds"),
  };
  return {
    kubeconfig,
    config: parseConfig(
      schedulerConfig,
      Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
    ),
  };
}

/** Runs until the signal aborts; rejects when the scheduler ends by itself. */
export async function runScheduler(
  run: SchedulerRun,
  options: { readonly signal: AbortSignal; readonly log: Logger; readonly onReady?: () => void },
): Promise<void> {
  const transport = createKubeconfigTransport(await loadKubeconfig(run.kubeconfig), {
    userAgent: "wherry-scheduler",
  });
  const { signal, log, onReady } = options;
  const scheduler = createScheduler(run.config, {
    api: createApiClient(transport),
    clock: systemClock,
    log,
    metrics: await createMetrics(),
  });
  try {
    await runServices([{ service: scheduler }], {
      signal,
      stopTimeoutMs: STOP_TIMEOUT_MS,
      log,
      onReady: () => onReady?.(),
    });
  } finally {
    transport.close();
  }
}
