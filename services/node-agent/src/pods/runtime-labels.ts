import { createHash } from "node:crypto";
import type { Pod } from "@wherry/machinery";
import type { ContainerSpec } from "./pod-types.ts";
import { podSpec, podUid } from "./pod-types.ts";

/**
 * Labels and annotations that tie a runtime object to its pod; the kubelet's names, so that `crictl`, log collectors and a kubelet on the
 * same runtime understand them, and an agent that starts again finds its containers.
 */
export const runtimeLabel = {
  podName: "io.kubernetes.pod.name",
  podNamespace: "io.kubernetes.pod.namespace",
  podUid: "io.kubernetes.pod.uid",
  containerName: "io.kubernetes.container.name",
} as const;

export const runtimeAnnotation = {
  hash: "io.kubernetes.container.hash",
  restartCount: "io.kubernetes.container.restartCount",
  terminationMessagePath: "io.kubernetes.container.terminationMessagePath",
  terminationMessagePolicy: "io.kubernetes.container.terminationMessagePolicy",
  podTerminationGracePeriod: "io.kubernetes.pod.terminationGracePeriod",
  podDeletionGracePeriod: "io.kubernetes.pod.deletionGracePeriod",
  preStopHandler: "io.kubernetes.container.preStopHandler",
  ports: "io.kubernetes.container.ports",
  configSource: "kubernetes.io/config.source",
  configSeen: "kubernetes.io/config.seen",
} as const;

/** Where the termination message of one container instance lies on the host; ours, because CRI's status does not tell mounts here. */
export const terminationLogAnnotation = "wherry.dev/termination-log";

export function sandboxLabels(pod: Pod): Record<string, string> {
  return {
    ...pod.metadata.labels,
    [runtimeLabel.podName]: pod.metadata.name ?? "",
    [runtimeLabel.podNamespace]: pod.metadata.namespace ?? "",
    [runtimeLabel.podUid]: podUid(pod),
  };
}

export function sandboxAnnotations(pod: Pod): Record<string, string> {
  return { ...pod.metadata.annotations, [runtimeAnnotation.configSource]: "api" };
}

export function containerLabels(pod: Pod, container: ContainerSpec): Record<string, string> {
  return {
    [runtimeLabel.podName]: pod.metadata.name ?? "",
    [runtimeLabel.podNamespace]: pod.metadata.namespace ?? "",
    [runtimeLabel.podUid]: podUid(pod),
    [runtimeLabel.containerName]: container.name,
  };
}

export function containerAnnotations(
  pod: Pod,
  container: ContainerSpec,
  restartCount: number,
  terminationLog: string | undefined,
): Record<string, string> {
  const grace = podSpec(pod).terminationGracePeriodSeconds;
  const deletionGrace = pod.metadata.deletionGracePeriodSeconds;
  const preStop = container.lifecycle?.preStop;
  return {
    [runtimeAnnotation.hash]: containerHash(container),
    [runtimeAnnotation.restartCount]: String(restartCount),
    [runtimeAnnotation.terminationMessagePath]: container.terminationMessagePath ?? "",
    [runtimeAnnotation.terminationMessagePolicy]: container.terminationMessagePolicy ?? "",
    ...(grace === undefined
      ? {}
      : { [runtimeAnnotation.podTerminationGracePeriod]: String(grace) }),
    ...(deletionGrace === undefined
      ? {}
      : { [runtimeAnnotation.podDeletionGracePeriod]: String(deletionGrace) }),
    ...(preStop === undefined
      ? {}
      : { [runtimeAnnotation.preStopHandler]: JSON.stringify(preStop) }),
    ...((container.ports?.length ?? 0) === 0
      ? {}
      : { [runtimeAnnotation.ports]: JSON.stringify(container.ports) }),
    ...(terminationLog === undefined ? {} : { [terminationLogAnnotation]: terminationLog }),
  };
}

/**
 * Changes when the container must be made anew. Of a running pod only the image of a container can change (resources are changed in
 * place), so the hash covers name and image, as the kubelet's does.
 */
export function containerHash(container: ContainerSpec): string {
  return createHash("sha256")
    .update(JSON.stringify([container.name, container.image ?? ""]))
    .digest("hex")
    .slice(0, 8);
}
