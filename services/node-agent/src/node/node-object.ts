import { formatQuantity, quantityFromMilli, quantityFromValue } from "@wherry/machinery";
import type { Image, RuntimeVersion } from "@wherry/cri-api";
import type { Node } from "@wherry/machinery";
import type { NodeAgentConfig } from "../config.ts";
import type { HostFacts } from "./host-facts.ts";
import type { NodeCondition } from "./node-conditions.ts";

type NodeStatus = NonNullable<Node["status"]>;

export interface NodeResources {
  readonly cpuMilli: number;
  readonly memoryBytes: number;
  readonly storageBytes: number;
  readonly hugepages: Readonly<Record<string, number>>;
}

export interface NodeCapacity {
  readonly capacity: NodeResources;
  readonly allocatable: NodeResources;
}

/** What the node has and what pods may use of it. A hard eviction threshold of 100Mi is kept back, as the kubelet does. */
export function nodeCapacity(config: NodeAgentConfig, facts: HostFacts): NodeCapacity {
  const capacity: NodeResources = {
    cpuMilli: config.capacity?.cpuMilli ?? facts.cpus * 1_000,
    memoryBytes: config.capacity?.memoryBytes ?? facts.memoryBytes,
    storageBytes: config.capacity?.storageBytes ?? facts.storageBytes,
    hugepages: config.capacity === undefined ? facts.hugepages : {},
  };
  const pagesBytes = Object.values(capacity.hugepages).reduce((sum, bytes) => sum + bytes, 0);
  return {
    capacity,
    allocatable: {
      ...capacity,
      cpuMilli: Math.max(capacity.cpuMilli - config.reservedCpuMilli, 0),
      memoryBytes: Math.max(capacity.memoryBytes - config.reservedMemoryBytes - pagesBytes, 0),
      storageBytes: Math.floor(capacity.storageBytes * 0.95),
    },
  };
}

export function resourceList(resources: NodeResources, podsMax: number): Record<string, string> {
  return {
    cpu: formatQuantity(quantityFromMilli(resources.cpuMilli)),
    "ephemeral-storage": `${Math.floor(resources.storageBytes / 1_024)}Ki`,
    ...Object.fromEntries(
      Object.entries(resources.hugepages).map(([size, bytes]) => [
        `hugepages-${size}`,
        formatQuantity(quantityFromValue(bytes, "BinarySI")),
      ]),
    ),
    memory: `${Math.floor(resources.memoryBytes / 1_024)}Ki`,
    pods: String(podsMax),
  };
}

export function nodeAddresses(
  config: NodeAgentConfig,
  facts: HostFacts,
): NonNullable<NodeStatus["addresses"]> {
  const internal = config.nodeIps.length > 0 ? config.nodeIps : [facts.primaryIp];
  return [
    ...internal.map((address) => ({ type: "InternalIP", address })),
    ...config.nodeExternalIps.map((address) => ({ type: "ExternalIP", address })),
    { type: "Hostname", address: config.hostname ?? config.nodeName },
  ];
}

/** Labels that the agent itself owns and keeps right. */
export function ownLabels(config: NodeAgentConfig, facts: HostFacts): Record<string, string> {
  return {
    "beta.kubernetes.io/arch": facts.architecture,
    "beta.kubernetes.io/instance-type": config.instanceType,
    "beta.kubernetes.io/os": "linux",
    "kubernetes.io/arch": facts.architecture,
    "kubernetes.io/hostname": config.hostname ?? config.nodeName,
    "kubernetes.io/os": "linux",
    "node.kubernetes.io/instance-type": config.instanceType,
    ...config.nodeLabels,
  };
}

export function ownAnnotations(config: NodeAgentConfig): Record<string, string> {
  return {
    "volumes.kubernetes.io/controller-managed-attach-detach": "true",
    ...config.nodeAnnotations,
  };
}

/** The Node as it is registered first. */
export function newNode(config: NodeAgentConfig, facts: HostFacts, status: NodeStatus): Node {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: {
      name: config.nodeName,
      labels: ownLabels(config, facts),
      annotations: ownAnnotations(config),
    },
    spec: {
      ...(config.providerId === "" ? {} : { providerID: config.providerId }),
      ...(config.nodeTaints.length === 0
        ? {}
        : {
            taints: config.nodeTaints.map(({ key, value, effect }) => ({
              key,
              effect,
              ...(value === undefined ? {} : { value }),
            })),
          }),
    },
    status,
  };
}

export interface NodeStatusInputs {
  readonly config: NodeAgentConfig;
  readonly facts: HostFacts;
  readonly version: RuntimeVersion | undefined;
  readonly images: readonly Image[];
  readonly conditions: readonly NodeCondition[];
}

/** Images listed in the status: the largest ones, as upstream bounds it. */
const imagesMax = 50;
const namesMax = 5;

export function nodeStatus({
  config,
  facts,
  version,
  images,
  conditions,
}: NodeStatusInputs): NodeStatus {
  const { capacity, allocatable } = nodeCapacity(config, facts);
  return {
    addresses: nodeAddresses(config, facts),
    capacity: resourceList(capacity, config.podsMax),
    allocatable: resourceList(allocatable, config.podsMax),
    conditions,
    daemonEndpoints: { kubeletEndpoint: { Port: config.kubeletPort } },
    images: images
      .toSorted((a, b) => b.size - a.size)
      .slice(0, imagesMax)
      .map((image) => ({
        names: [...image.repoDigests, ...image.repoTags].slice(0, namesMax),
        sizeBytes: image.size,
      })),
    nodeInfo: {
      architecture: facts.architecture,
      bootID: facts.bootId,
      containerRuntimeVersion:
        version === undefined
          ? ""
          : `${version.runtimeName}://${version.runtimeVersion.replace(/^v/u, "")}`,
      kernelVersion: facts.kernelVersion,
      kubeProxyVersion: "",
      kubeletVersion: config.version,
      machineID: facts.machineId,
      operatingSystem: "linux",
      osImage: facts.osImage,
      swap: { capacity: facts.swapBytes },
      systemUUID: facts.systemUuid,
    },
  };
}
