import type { Container, ContainerRuntime, PodSandbox } from "@wherry/cri-api";
import type { Pod } from "@wherry/machinery";
import { findContainer } from "../pods/pod-types.ts";
import { runtimeLabel } from "../pods/runtime-labels.ts";
import { KubeletHttpError } from "./kubelet-http-error.ts";
import type { ContainerTarget, PodTarget } from "./kubelet-route.ts";
import type { PodDirectory } from "./pod-directory.ts";

export function findPod(pods: PodDirectory, target: PodTarget): Pod {
  const pod = pods.find(target.namespace, target.pod);
  if (pod === undefined || (target.uid !== undefined && pod.metadata.uid !== target.uid)) {
    throw new KubeletHttpError(404, `pod ${JSON.stringify(target.pod)} does not exist\n`);
  }
  return pod;
}

/** The instances of a container that the runtime still has, newest first. */
export async function containerInstances(
  runtime: ContainerRuntime,
  pod: Pod,
  container: string,
): Promise<readonly Container[]> {
  const instances = await runtime.listContainers({
    labels: {
      [runtimeLabel.podUid]: pod.metadata.uid ?? "",
      [runtimeLabel.containerName]: container,
    },
  });
  return [...instances].sort(
    (a, b) => b.metadata.attempt - a.metadata.attempt || (b.createdAt > a.createdAt ? 1 : -1),
  );
}

/** The running instance to exec in or attach to. */
export async function findRunningContainer(
  runtime: ContainerRuntime,
  pods: PodDirectory,
  target: ContainerTarget,
): Promise<string> {
  const pod = findPod(pods, target);
  const instances =
    findContainer(pod, target.container) === undefined
      ? []
      : await containerInstances(runtime, pod, target.container);
  const running = instances.find((instance) => instance.state === "RUNNING");
  if (running === undefined)
    throw new KubeletHttpError(404, `container not found (${JSON.stringify(target.container)})`);
  return running.id;
}

export async function findReadySandbox(
  runtime: ContainerRuntime,
  pods: PodDirectory,
  target: PodTarget,
): Promise<string> {
  const pod = findPod(pods, target);
  const sandboxes = await runtime.listPodSandboxes({
    labels: { [runtimeLabel.podUid]: pod.metadata.uid ?? "" },
  });
  const newest = [...sandboxes]
    .filter((sandbox) => sandbox.state === "READY")
    .sort((a: PodSandbox, b: PodSandbox) => b.metadata.attempt - a.metadata.attempt)[0];
  if (newest === undefined)
    throw new KubeletHttpError(
      404,
      `pod not found (${JSON.stringify(`${target.pod}_${target.namespace}`)})`,
    );
  return newest.id;
}
