import type { Container, PodSandbox } from "@wherry/cri-api";
import type { Pod } from "@wherry/machinery";
import type { ContainerSpec, LifecycleHandler } from "./pod-types.ts";
import { runtimeAnnotation, runtimeLabel } from "./runtime-labels.ts";

/** As much of a pod as its runtime objects remember: enough to end it gracefully when the API has no such pod any more. */
export function podFromRuntime(
  uid: string,
  sandboxes: readonly PodSandbox[],
  containers: readonly Container[],
): Pod {
  const sandbox = sandboxes[0];
  const labels = sandbox?.labels ?? containers[0]?.labels ?? {};
  const annotations = containers[0]?.annotations ?? {};
  const grace = wholeNumber(annotations[runtimeAnnotation.podTerminationGracePeriod]);
  const deletionGrace = wholeNumber(annotations[runtimeAnnotation.podDeletionGracePeriod]);
  return {
    metadata: {
      name: labels[runtimeLabel.podName] ?? "",
      namespace: labels[runtimeLabel.podNamespace] ?? "",
      uid,
      ...(deletionGrace === undefined ? {} : { deletionGracePeriodSeconds: deletionGrace }),
    },
    spec: {
      containers: [
        ...new Map(containers.map((one) => [containerName(one), containerSpec(one)])).values(),
      ],
      ...(grace === undefined ? {} : { terminationGracePeriodSeconds: grace }),
    },
  };
}

function containerName(container: Container): string {
  return container.labels[runtimeLabel.containerName] ?? container.metadata.name;
}

function containerSpec(container: Container): ContainerSpec {
  const preStop = parseHandler(container.annotations[runtimeAnnotation.preStopHandler]);
  const ports = parseJson(container.annotations[runtimeAnnotation.ports]) as ContainerSpec["ports"];
  return {
    name: containerName(container),
    ...(preStop === undefined ? {} : { lifecycle: { preStop } }),
    ...(ports === undefined ? {} : { ports }),
  };
}

function parseHandler(text: string | undefined): LifecycleHandler | undefined {
  return parseJson(text) as LifecycleHandler | undefined;
}

function parseJson(text: string | undefined): unknown {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // Written by someone else; the container is ended without its hook.
  }
}

function wholeNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+$/u.test(text) ? Number(text) : undefined;
}
