import type { PodSandboxConfig } from "@wherry/cri-api";
import type { Pod } from "@wherry/machinery";
import { podDns } from "./dns-config.ts";
import type { PodDeps } from "./pod-deps.ts";
import { podHostname } from "./pod-hostname.ts";
import { isHostNetwork, podUid } from "./pod-types.ts";
import { grpcErrorText } from "./runtime-error-text.ts";
import { sandboxConfig } from "./sandbox-config.ts";

/** Makes a pod's sandboxes, and remembers with which configuration: containers are created with the same one. */
export interface PodSandboxes {
  /** Undefined: it is there. Otherwise the time to try again. */
  create(pod: Pod, attempt: number, cgroupParent: string): Promise<number | undefined>;
  config(pod: Pod, attempt: number, cgroupParent: string): Promise<PodSandboxConfig>;
}

const retryMs = 10_000;
const retryMaxMs = 120_000;

export function createPodSandboxes(deps: PodDeps): PodSandboxes {
  const { clock, runtime } = deps;
  let known: PodSandboxConfig | undefined;
  let failures = 0;

  const config = async (
    pod: Pod,
    attempt: number,
    cgroupParent: string,
  ): Promise<PodSandboxConfig> => {
    if (known?.metadata.attempt === attempt) return known;
    const { clusterDns, clusterDomain } = deps.config;
    known = sandboxConfig({
      pod,
      attempt,
      hostname: podHostname(pod, clusterDomain).kernelName,
      logDirectory: await deps.logs.makeFolder(pod),
      dns: podDns(pod, { clusterDns, clusterDomain, host: await deps.hostDns() }),
      cgroupParent,
    });
    return known;
  };

  return {
    config,
    async create(pod, attempt, cgroupParent) {
      const network = deps.node.network();
      if (!network.ready && !isHostNetwork(pod)) {
        deps.events.record(
          pod,
          undefined,
          "Warning",
          "NetworkNotReady",
          `network is not ready: ${network.message}`,
        );
        return clock.now() + retryMs;
      }
      if (attempt > 0 && failures === 0) {
        deps.events.record(
          pod,
          undefined,
          "Normal",
          "SandboxChanged",
          "Pod sandbox changed, it will be killed and re-created.",
        );
      }
      try {
        const handler = await deps.runtimeHandler(pod);
        known = undefined;
        const wanted = await config(pod, attempt, cgroupParent);
        const id = await deps.starts.run(() => runtime.runPodSandbox(wanted, handler));
        deps.register(id, podUid(pod));
        failures = 0;
        return undefined;
      } catch (error) {
        failures += 1;
        deps.events.record(
          pod,
          undefined,
          "Warning",
          "FailedCreatePodSandBox",
          `Failed to create pod sandbox: ${grpcErrorText(error)}`,
        );
        return clock.now() + Math.min(retryMs * failures, retryMaxMs);
      }
    },
  };
}
