import { isIPv6 } from "node:net";
import {
  findCondition,
  objectKey,
  type Pod,
  type Service,
  type ServicePort,
} from "@wherry/machinery";

/** What endpoints, endpoint slices and their controllers ask of pods and services (k8s.io/endpointslice/util). */

export function isPodReady(pod: Pod): boolean {
  return findCondition(pod.status?.conditions, "Ready")?.status === "True";
}

export function isPodTerminal(pod: Pod): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}

/** Whether the pod has an address that a service may lead to. */
export function belongsInEndpoints(pod: Pod, includeTerminating: boolean): boolean {
  if (isPodTerminal(pod) || podAddresses(pod).length === 0) return false;
  return includeTerminating || pod.metadata.deletionTimestamp === undefined;
}

export type IpFamily = "IPv4" | "IPv6";

/** Every address, or those of one family. */
export function podAddresses(pod: Pod, family?: IpFamily): readonly string[] {
  const { podIP, podIPs } = pod.status ?? {};
  const all = (podIPs ?? []).map((one) => one.ip).filter((ip) => ip !== "");
  const known = all.length > 0 || podIP === undefined || podIP === "" ? all : [podIP];
  return family === undefined ? known : known.filter((ip) => isIPv6(ip) === (family === "IPv6"));
}

/** A pod's hostname counts where its subdomain names the (headless) service; StatefulSets set both. */
export function hostnameIn(service: Service, pod: Pod): string | undefined {
  const { hostname = "", subdomain } = pod.spec;
  const isNamed = hostname !== "" && subdomain === service.metadata.name;
  return isNamed && pod.metadata.namespace === service.metadata.namespace ? hostname : undefined;
}

/** The number that a service's target port has in this pod; undefined when no container names it. */
export function findTargetPort(pod: Pod, port: ServicePort): number | undefined {
  const target = port.targetPort ?? port.port;
  if (typeof target === "number") return target === 0 ? port.port : target;
  const sidecars = (pod.spec.initContainers ?? []).filter((one) => one.restartPolicy === "Always");
  for (const container of [...pod.spec.containers, ...sidecars]) {
    for (const candidate of container.ports ?? []) {
      const sameProtocol = (candidate.protocol ?? "TCP") === (port.protocol ?? "TCP");
      if (candidate.name === target && sameProtocol) return candidate.containerPort;
    }
  }
  return undefined;
}

export function isHeadless(service: Service): boolean {
  const { clusterIP = "" } = service.spec;
  return clusterIP === "" || clusterIP === "None";
}

/** A service without a selector selects nothing: its endpoints come from elsewhere. */
export function selects(
  service: Service,
  labels: Readonly<Record<string, string>> | undefined,
): boolean {
  const { selector } = service.spec;
  if (selector === undefined || Object.keys(selector).length === 0) return false;
  return Object.entries(selector).every(([key, value]) => labels?.[key] === value);
}

export function hasSelector(service: Service): boolean {
  return Object.keys(service.spec.selector ?? {}).length > 0;
}

/** Keys of the services whose endpoints a change of this pod may touch; `services` are those of its namespace. */
export function servicesTouchedBy(
  services: readonly Service[],
  pod: Pod,
  previous?: Pod,
): readonly string[] {
  if (previous === undefined) {
    return services.filter((one) => selects(one, pod.metadata.labels)).map((one) => objectKey(one));
  }
  const podChanged = endpointView(previous) !== endpointView(pod);
  const hostChanged =
    previous.spec.hostname !== pod.spec.hostname || previous.spec.subdomain !== pod.spec.subdomain;
  return services
    .filter((one) => {
      const before = selects(one, previous.metadata.labels);
      const after = selects(one, pod.metadata.labels);
      return podChanged || hostChanged ? before || after : before !== after;
    })
    .map((one) => objectKey(one));
}

function endpointView(pod: Pod): string {
  const { deletionTimestamp } = pod.metadata;
  return JSON.stringify([
    deletionTimestamp ?? "",
    isPodReady(pod),
    isPodTerminal(pod),
    podAddresses(pod),
    pod.spec.nodeName ?? "",
  ]);
}
