import type { Pod } from "@wherry/machinery";
import { memoryBytes, cpuMilli } from "./amounts.ts";
import type { Amounts } from "./qos.ts";
import { findContainer, podSpec } from "./pod-types.ts";
import type { ContainerSpec } from "./pod-types.ts";

/** A value of the pod that the downward API cannot give: the container or volume cannot be made. */
export class FieldReferenceError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "FieldReferenceError";
  }
}

export interface PodFacts {
  readonly podIps: readonly string[];
  readonly hostIps: readonly string[];
  /** Cpu in milli-cores, the rest in whole units; stands in for limits that a container does not set. */
  readonly allocatable: Amounts;
}

/** The text behind a `fieldRef`. Maps (labels, annotations) as a whole give one `key="value"` line each, sorted. */
export function resolveFieldRef(pod: Pod, path: string, facts: PodFacts): string {
  const subscript = /^metadata\.(labels|annotations)\['(.*)'\]$/u.exec(path);
  if (subscript !== null) {
    const map = subscript[1] === "labels" ? pod.metadata.labels : pod.metadata.annotations;
    return map?.[subscript[2] ?? ""] ?? "";
  }
  switch (path) {
    case "metadata.name":
      return pod.metadata.name ?? "";
    case "metadata.namespace":
      return pod.metadata.namespace ?? "";
    case "metadata.uid":
      return pod.metadata.uid ?? "";
    case "metadata.labels":
      return formatMap(pod.metadata.labels ?? {});
    case "metadata.annotations":
      return formatMap(pod.metadata.annotations ?? {});
    case "spec.nodeName":
      return podSpec(pod).nodeName ?? "";
    case "spec.serviceAccountName":
      return podSpec(pod).serviceAccountName ?? "";
    case "status.hostIP":
      return facts.hostIps[0] ?? "";
    case "status.hostIPs":
      return facts.hostIps.join(",");
    case "status.podIP":
      return facts.podIps[0] ?? "";
    case "status.podIPs":
      return facts.podIps.join(",");
    default:
      throw new FieldReferenceError(`unsupported fieldPath: ${path}`);
  }
}

function formatMap(map: Readonly<Record<string, string>>): string {
  return Object.keys(map)
    .toSorted()
    .map((key) => `${key}=${JSON.stringify(map[key])}`)
    .join("\n");
}

export interface ResourceFieldRef {
  readonly containerName?: string;
  readonly resource: string;
  readonly divisor?: string | number;
}

/** The number behind a `resourceFieldRef`, divided and rounded up. A limit that is not set is the node's allocatable amount. */
export function resolveResourceFieldRef(
  pod: Pod,
  reference: ResourceFieldRef,
  owner: ContainerSpec | undefined,
  facts: PodFacts,
): string {
  const container =
    reference.containerName === undefined || reference.containerName === ""
      ? owner
      : findContainer(pod, reference.containerName)?.spec;
  if (container === undefined)
    throw new FieldReferenceError(`container ${reference.containerName ?? ""} not found`);
  const dot = reference.resource.indexOf(".");
  const kind = reference.resource.slice(0, dot);
  const name = reference.resource.slice(dot + 1);
  if ((kind !== "limits" && kind !== "requests") || !isExposable(name))
    throw new FieldReferenceError(`unsupported container resource : ${reference.resource}`);
  const quantity = container.resources?.[kind]?.[name];
  const divisor =
    reference.divisor === undefined ||
    reference.divisor === "" ||
    reference.divisor === "0" ||
    reference.divisor === 0
      ? "1"
      : reference.divisor;
  if (name === "cpu") {
    const milli = quantity === undefined ? fallback(kind, facts, name) : cpuMilli(quantity);
    return String(Math.ceil(milli / cpuMilli(divisor)));
  }
  const bytes = quantity === undefined ? fallback(kind, facts, name) : memoryBytes(quantity);
  return String(Math.ceil(bytes / memoryBytes(divisor)));
}

function isExposable(name: string): boolean {
  return (
    name === "cpu" ||
    name === "memory" ||
    name === "ephemeral-storage" ||
    name.startsWith("hugepages-")
  );
}

function fallback(kind: "limits" | "requests", facts: PodFacts, name: string): number {
  return kind === "limits" ? (facts.allocatable[name] ?? 0) : 0;
}
