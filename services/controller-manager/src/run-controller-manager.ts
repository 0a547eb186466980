import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
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
import { controllerManagerConfig, type ControllerManagerConfig } from "./config.ts";
import { createControllerManager, enabledControllers } from "./controller-manager.ts";
import { controllerFactories } from "./controller-factories.ts";

/** Flags of the controller manager on its own; names are kube-controller-manager's where it has one. */
export const controllerManagerFlags: readonly FlagDefinition[] = [
  {
    name: "kubeconfig",
    kind: "string",
    env: ["KUBECONFIG"],
    help: "File with the API server's address and credentials. Required.",
  },
  {
    name: "root-ca-file",
    kind: "string",
    help: "PEM file published to every namespace as kube-root-ca.crt.",
  },
  { name: "cluster-cidr", kind: "string", defaultText: "10.42.0.0/16", help: "Addresses of pods." },
  {
    name: "node-cidr-mask-size",
    kind: "integer",
    defaultText: "24",
    help: "Size of a node's share of them.",
  },
  {
    name: "service-cluster-ip-range",
    kind: "string",
    defaultText: "10.43.0.0/16",
    help: "Addresses of services.",
  },
  {
    name: "controllers",
    kind: "list",
    defaultText: "*",
    help: "Controllers to run: *, NAME, -NAME.",
  },
  {
    name: "leader-elect",
    kind: "boolean",
    defaultText: "false",
    help: "Work only while holding the lease; for several controller managers of one cluster.",
  },
  {
    name: "leader-elect-lease-duration",
    kind: "string",
    defaultText: "15s",
    help: "Time after which others may take over from a leader that is silent.",
  },
  {
    name: "leader-elect-renew-deadline",
    kind: "string",
    defaultText: "10s",
    help: "Time after which a leader that cannot renew stops.",
  },
  {
    name: "leader-elect-retry-period",
    kind: "string",
    defaultText: "2s",
    help: "Time between attempts.",
  },
  {
    name: "leader-elect-resource-name",
    kind: "string",
    defaultText: "kube-controller-manager",
    help: "Name of the lease.",
  },
  {
    name: "leader-elect-resource-namespace",
    kind: "string",
    defaultText: "kube-system",
    help: "Namespace of the lease.",
  },
];

export interface ControllerManagerRun {
  readonly kubeconfig: string;
  readonly rootCaFile: string | undefined;
  readonly config: ControllerManagerConfig;
}

const STOP_TIMEOUT_MS = 10_000;

/** Throws UsageError naming the flag that is wrong or missing. */
export function controllerManagerRunOf(values: FlagValues): ControllerManagerRun {
  const kubeconfig = values["kubeconfig"];
  if (typeof kubeconfig !== "string")
    throw new UsageError(
      "--kubeconfig is required: the file with the API server's address and credentials",
    );
  const rootCaFile = values["root-ca-file"];
  const given = {
    clusterCidr: values["cluster-cidr"],
    nodeCidrMaskSize: values["node-cidr-mask-size"],
    serviceCidr: values["service-cluster-ip-range"],
    controllers: values["controllers"],
    leaderElection: leaderElectionOf(values),
  };
  const config = parseConfig(
    controllerManagerConfig,
    Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
  );
  enabledControllers(config.controllers, Object.keys(controllerFactories));
  return {
    kubeconfig,
    rootCaFile: typeof rootCaFile === "string" ? rootCaFile : undefined,
    config,
  };
}

function leaderElectionOf(values: FlagValues): object | undefined {
  if (values["leader-elect"] !== true) return undefined;
  const given = {
    identity: `${hostname()}_${randomUUID()}`,
    namespace: values["leader-elect-resource-namespace"],
    name: values["leader-elect-resource-name"],
    leaseDurationMs: durationMs(values, "leader-elect-lease-duration"),
    renewDeadlineMs: durationMs(values, "leader-elect-renew-deadline"),
    retryPeriodMs: durationMs(values, "leader-elect-retry-period"),
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

function durationMs(values: FlagValues, name: string): number | undefined {
  const text = values[name];
  if (typeof text !== "string") return undefined;
  const parts = [...text.matchAll(/(\d+)(ms|s|m|h)/g)];
  if (text === "" || parts.map(([all]) => all).join("") !== text)
    throw new UsageError(`--${name} must be a duration such as 15s or 1m30s, not "${text}"`);
  return parts.reduce(
    (sum, [, amount, unit]) => sum + Number(amount) * (UNIT_MS[unit ?? ""] ?? 0),
    0,
  );
}

export interface RunControllerManagerOptions {
  readonly signal: AbortSignal;
  readonly log: Logger;
  readonly onReady?: () => void;
}

/** Runs until the signal aborts; rejects when the controller manager ends by itself. */
export async function runControllerManager(
  run: ControllerManagerRun,
  options: RunControllerManagerOptions,
): Promise<void> {
  const { signal, log, onReady } = options;
  const rootCaPem = run.rootCaFile === undefined ? undefined : await readCa(run.rootCaFile);
  const transport = createKubeconfigTransport(await loadKubeconfig(run.kubeconfig), {
    userAgent: "wherry-controller-manager",
    connectionsMax: 200,
  });
  const manager = createControllerManager(
    { ...run.config, rootCaPem },
    { api: createApiClient(transport), clock: systemClock, log, metrics: await createMetrics() },
  );
  try {
    await runServices([{ service: manager }], {
      signal,
      stopTimeoutMs: STOP_TIMEOUT_MS,
      log,
      onReady: () => onReady?.(),
    });
  } finally {
    transport.close();
  }
}

async function readCa(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new UsageError(
      `--root-ca-file ${file} cannot be read (${(error as NodeJS.ErrnoException).code})`,
      { cause: error },
    );
  }
}
