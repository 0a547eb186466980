import {
  amountsOf,
  containerRequests,
  podRequests,
  type Container,
  type Node,
  type Pod,
  type ResourceAmounts,
} from "@wherry/machinery";

/** A node with what its pods take: all that the plugins look at. */
export interface NodeInfo {
  readonly node: Node;
  readonly pods: ReadonlyMap<string, Pod>;
  readonly allocatable: ResourceAmounts;
  readonly requested: ResourceAmounts;
  /** Like `requested`, with a default for containers that ask for no cpu or memory, so that they count in scores. */
  readonly nonZeroRequested: ResourceAmounts;
  /** "TCP/0.0.0.0/80" of host ports in use. */
  readonly hostPorts: ReadonlySet<string>;
  /** Bytes by image name. */
  readonly images: ReadonlyMap<string, number>;
}

/** Upstream's defaults for scoring: a tenth of a core and 200 MB. */
const DEFAULT_CPU_MILLI = 100;
const DEFAULT_MEMORY_BYTES = 200 * 1024 * 1024;

export function nonZeroPodRequests(pod: Pick<Pod, "spec">): ResourceAmounts {
  return podRequests(pod, nonZeroContainerRequests);
}

function nonZeroContainerRequests(container: Container): ResourceAmounts {
  const amounts = new Map(containerRequests(container));
  if (!amounts.has("cpu")) amounts.set("cpu", DEFAULT_CPU_MILLI);
  if (!amounts.has("memory")) amounts.set("memory", DEFAULT_MEMORY_BYTES);
  return amounts;
}

export interface HostPort {
  readonly protocol: string;
  readonly ip: string;
  readonly port: number;
}

export function hostPortsOf(pod: Pick<Pod, "spec">): HostPort[] {
  return [
    ...pod.spec.containers,
    ...(pod.spec.initContainers ?? []).filter((one) => one.restartPolicy === "Always"),
  ].flatMap((container) =>
    (container.ports ?? [])
      .filter((port) => (port.hostPort ?? 0) > 0)
      .map((port) => ({
        protocol: port.protocol ?? "TCP",
        ip: port.hostIP === undefined || port.hostIP === "" ? "0.0.0.0" : port.hostIP,
        port: port.hostPort ?? 0,
      })),
  );
}

export function buildNodeInfo(node: Node, pods: ReadonlyMap<string, Pod>): NodeInfo {
  const requested = new Map<string, number>();
  const nonZeroRequested = new Map<string, number>();
  const hostPorts = new Set<string>();
  for (const pod of pods.values()) {
    for (const [name, amount] of podRequests(pod))
      requested.set(name, (requested.get(name) ?? 0) + amount);
    for (const [name, amount] of nonZeroPodRequests(pod))
      nonZeroRequested.set(name, (nonZeroRequested.get(name) ?? 0) + amount);
    for (const port of hostPortsOf(pod)) hostPorts.add(`${port.protocol}/${port.ip}/${port.port}`);
  }
  const images = new Map(
    (node.status?.images ?? []).flatMap((image) =>
      (image.names ?? []).map((name): [string, number] => [name, image.sizeBytes ?? 0]),
    ),
  );
  return {
    node,
    pods,
    allocatable: amountsOf(node.status?.allocatable),
    requested,
    nonZeroRequested,
    hostPorts,
    images,
  };
}
