import type { PodSandboxConfig } from "@wherry/cri-api";
import type { Pod } from "@wherry/machinery";
import type { DnsSettings } from "./dns-config.ts";
import { isHostNetwork, isSidecar, podSpec, podUid } from "./pod-types.ts";
import { sandboxAnnotations, sandboxLabels } from "./runtime-labels.ts";
import { sandboxSecurityContext } from "./security-context.ts";

export interface SandboxInputs {
  readonly pod: Pod;
  readonly attempt: number;
  readonly hostname: string;
  readonly logDirectory: string;
  readonly dns: DnsSettings;
  readonly cgroupParent: string;
}

export function sandboxConfig({
  pod,
  attempt,
  hostname,
  logDirectory,
  dns,
  cgroupParent,
}: SandboxInputs): PodSandboxConfig {
  const spec = podSpec(pod);
  return {
    metadata: {
      name: pod.metadata.name ?? "",
      uid: podUid(pod),
      namespace: pod.metadata.namespace ?? "",
      attempt,
    },
    // On the host's network the host's own name holds.
    hostname: isHostNetwork(pod) ? "" : hostname,
    logDirectory,
    dnsConfig: dns,
    portMappings: portMappings(pod),
    labels: sandboxLabels(pod),
    annotations: sandboxAnnotations(pod),
    linux: {
      cgroupParent,
      sysctls: Object.fromEntries(
        (spec.securityContext?.sysctls ?? []).map((one) => [
          one.name.replaceAll("/", "."),
          one.value,
        ]),
      ),
      securityContext: sandboxSecurityContext(pod),
    },
  };
}

function portMappings(pod: Pod): PodSandboxConfig["portMappings"] {
  if (isHostNetwork(pod)) return [];
  const spec = podSpec(pod);
  const containers = [...(spec.containers ?? []), ...(spec.initContainers ?? []).filter(isSidecar)];
  return containers
    .flatMap((one) => one.ports ?? [])
    .filter((port) => (port.hostPort ?? 0) > 0)
    .map((port) => ({
      protocol: protocolOf(port.protocol),
      containerPort: port.containerPort,
      hostPort: port.hostPort ?? 0,
      hostIp: port.hostIP ?? "",
    }));
}

function protocolOf(protocol: string | undefined): "TCP" | "UDP" | "SCTP" {
  return protocol === "UDP" || protocol === "SCTP" ? protocol : "TCP";
}
