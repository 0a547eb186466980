import { readFile } from "node:fs/promises";
import { createApiClient, createKubeconfigTransport } from "@wherry/client";
import { loadKubeconfig } from "@wherry/pki";
import { createMetrics, parseConfig, runServices, systemClock, UsageError, type FlagDefinition, type FlagValues, type Logger } from "@wherry/service-kit";
import { controllerManagerConfig, type ControllerManagerConfig } from "./config.ts";
import { createControllerManager, enabledControllers } from "./controller-manager.ts";
import { controllerFactories } from "./controller-factories.ts";

/** Flags of the controller manager on its own; names are kube-controller-manager's where it has one. */
export const controllerManagerFlags: readonly FlagDefinition[] = [
  { name: "kubeconfig", kind: "string", env: ["KUBECONFIG"], help: "File with the API server's address and credentials. Required." },
  { name: "root-ca-file", kind: "string", help: "PEM file published to every namespace as kube-root-ca.crt." },
  { name: "cluster-cidr", kind: "string", defaultText: "10.42.0.0/16", help: "Addresses of pods." },
  { name: "node-cidr-mask-size", kind: "integer", defaultText: "24", help: "Size of a node's share of them." },
  { name: "service-cluster-ip-range", kind: "string", defaultText: "10.43.0.0/16", help: "Addresses of services." },
  { name: "controllers", kind: "list", defaultText: "*", help: "Controllers to run: *, NAME, -NAME." },
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
  if (typeof kubeconfig !== "string") throw new UsageError("--kubeconfig is required: the file with the API server's address and credentials");
  const rootCaFile = values["root-ca-file"];
  const given = { clusterCidr: values["cluster-cidr"], nodeCidrMaskSize: values["node-cidr-mask-size"], serviceCidr: values["service-cluster-ip-range"], controllers: values["controllers"] };
  const config = parseConfig(controllerManagerConfig, Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)));
  enabledControllers(config.controllers, Object.keys(controllerFactories));
  return { kubeconfig, rootCaFile: typeof rootCaFile === "string" ? rootCaFile : undefined, config };
}

export interface RunControllerManagerOptions {
  readonly signal: AbortSignal;
  readonly log: Logger;
  readonly onReady?: () => void;
}

/** Runs until the signal aborts; rejects when the controller manager ends by itself. */
export async function runControllerManager(run: ControllerManagerRun, options: RunControllerManagerOptions): Promise<void> {
  const { signal, log, onReady } = options;
  const rootCaPem = run.rootCaFile === undefined ? undefined : await readCa(run.rootCaFile);
  const transport = createKubeconfigTransport(await loadKubeconfig(run.kubeconfig), { userAgent: "wherry-controller-manager", connectionsMax: 200 });
  const manager = createControllerManager({ ...run.config, rootCaPem }, { api: createApiClient(transport), clock: systemClock, log, metrics: await createMetrics() });
  try {
    await runServices([{ service: manager }], { signal, stopTimeoutMs: STOP_TIMEOUT_MS, log, onReady: () => onReady?.() });
  } finally {
    transport.close();
  }
}

async function readCa(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new UsageError(`--root-ca-file ${file} cannot be read (${(error as NodeJS.ErrnoException).code})`, { cause: error });
  }
}
