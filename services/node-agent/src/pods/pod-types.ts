import type { Pod } from "@wherry/machinery";

/** Names for the parts of a Pod that this service handles, taken from the one definition of Pod. */
export type PodSpec = NonNullable<Pod["spec"]>;
export type PodStatus = NonNullable<Pod["status"]>;
export type ContainerSpec = NonNullable<PodSpec["containers"]>[number];
export type ContainerState = NonNullable<ApiContainerStatus["state"]>;
export type ApiContainerStatus = NonNullable<PodStatus["containerStatuses"]>[number];
export type PodCondition = NonNullable<PodStatus["conditions"]>[number];
export type VolumeSpec = NonNullable<PodSpec["volumes"]>[number];
export type VolumeMountSpec = NonNullable<ContainerSpec["volumeMounts"]>[number];
export type ProbeSpec = NonNullable<ContainerSpec["livenessProbe"]>;
export type Lifecycle = NonNullable<ContainerSpec["lifecycle"]>;
export type LifecycleHandler = NonNullable<Lifecycle["postStart"]>;
export type SecurityContext = NonNullable<ContainerSpec["securityContext"]>;
export type PodSecurityContext = NonNullable<PodSpec["securityContext"]>;
export type ResourceRequirements = NonNullable<ContainerSpec["resources"]>;
export type EnvVar = NonNullable<ContainerSpec["env"]>[number];

export type ContainerRole = "init" | "sidecar" | "main" | "ephemeral";

export interface NamedContainer {
  readonly spec: ContainerSpec;
  readonly role: ContainerRole;
}

export function podSpec(pod: Pod): PodSpec {
  return pod.spec;
}

export function podUid(pod: Pod): string {
  return pod.metadata.uid ?? "";
}

/** `namespace/name`: the informer's key. */
export function podKey(pod: Pod): string {
  return `${pod.metadata.namespace ?? ""}/${pod.metadata.name ?? ""}`;
}

/** `name_namespace(uid)`, as the kubelet prints pods in messages. */
export function formatPod(pod: Pod): string {
  return `${pod.metadata.name}_${pod.metadata.namespace}(${pod.metadata.uid})`;
}

export function isSidecar(container: ContainerSpec): boolean {
  return container.restartPolicy === "Always";
}

export function restartPolicyOf(pod: Pod): "Always" | "OnFailure" | "Never" {
  const policy = podSpec(pod).restartPolicy;
  return policy === "OnFailure" || policy === "Never" ? policy : "Always";
}

/** Every container of a pod in the order: init (sidecars among them), main, ephemeral. */
export function allContainers(pod: Pod): readonly NamedContainer[] {
  const spec = podSpec(pod);
  return [
    ...(spec.initContainers ?? []).map((one): NamedContainer => ({
      spec: one,
      role: isSidecar(one) ? "sidecar" : "init",
    })),
    ...(spec.containers ?? []).map((one): NamedContainer => ({ spec: one, role: "main" })),
    ...(spec.ephemeralContainers ?? []).map((one): NamedContainer => ({
      spec: one as ContainerSpec,
      role: "ephemeral",
    })),
  ];
}

export function findContainer(pod: Pod, name: string): NamedContainer | undefined {
  return allContainers(pod).find((one) => one.spec.name === name);
}

/** The path of a container inside its pod, as events name it: `spec.containers{app}`. */
export function containerFieldPath(container: NamedContainer): string {
  const list = {
    init: "initContainers",
    sidecar: "initContainers",
    main: "containers",
    ephemeral: "ephemeralContainers",
  }[container.role];
  return `spec.${list}{${container.spec.name}}`;
}

export function isHostNetwork(pod: Pod): boolean {
  return podSpec(pod).hostNetwork === true;
}

export function isTerminalPhase(phase: string | undefined): boolean {
  return phase === "Succeeded" || phase === "Failed";
}

/** Node-critical: priority of `system-node-critical` and above. */
export function isNodeCritical(pod: Pod): boolean {
  return (podSpec(pod).priority ?? 0) >= 2_000_001_000;
}
