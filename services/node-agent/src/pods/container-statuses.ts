import type { Pod } from "@wherry/machinery";
import type { ObservedContainer, ObservedPod } from "./observed.ts";
import { newestContainer } from "./observed.ts";
import { podSpec } from "./pod-types.ts";
import type {
  ApiContainerStatus,
  ContainerRole,
  ContainerSpec,
  ContainerState,
} from "./pod-types.ts";
import { shouldStartContainer } from "./restart-policy.ts";

/** Why a container that should run does not: the waiting state's reason and message. */
export interface StartFailure {
  readonly reason: string;
  readonly message: string;
}

export interface ContainerStatusInputs {
  readonly pod: Pod;
  readonly observed: ObservedPod;
  /** Statuses as last reported, by any list. */
  readonly previous: readonly ApiContainerStatus[];
  readonly failures: (container: string) => StartFailure | undefined;
  /** `started` and `ready` of a running container. */
  readonly started: (container: ContainerSpec, running: ObservedContainer) => boolean;
  readonly ready: (container: ContainerSpec, running: ObservedContainer) => boolean;
  readonly terminationMessage: (containerId: string) => string | undefined;
  readonly formatTime: (ms: number) => string;
}

/** API statuses of the containers of one role list, in the order of the pod's specification. */
export function containerStatuses(
  inputs: ContainerStatusInputs,
  containers: readonly ContainerSpec[],
  role: ContainerRole,
): readonly ApiContainerStatus[] {
  const list = containers.map((container) =>
    containerStatus(
      inputs,
      container,
      role === "init" && container.restartPolicy === "Always" ? "sidecar" : role,
    ),
  );
  return role === "init"
    ? list
    : list.toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

function containerStatus(
  inputs: ContainerStatusInputs,
  container: ContainerSpec,
  role: ContainerRole,
): ApiContainerStatus {
  const { pod, observed } = inputs;
  const instances = observed.containers.filter((one) => one.name === container.name);
  const newest = instances[0];
  const previous = inputs.previous.find((one) => one.name === container.name);
  const base =
    newest === undefined
      ? withoutInstance(inputs, container, previous)
      : fromInstances(inputs, container, newest, instances[1], previous);
  const waiting = waitingInstead(inputs, container, role, pod, observed);
  const state = waiting ?? base.state ?? {};
  const lastState =
    waiting !== undefined && base.state?.terminated != null
      ? { terminated: base.state.terminated }
      : (base.lastState ?? {});
  const running = state.running != null ? newest : undefined;
  const started = running !== undefined && role !== "init" && inputs.started(container, running);
  const ready =
    role === "init"
      ? state.terminated?.exitCode === 0
      : started && running !== undefined && inputs.ready(container, running);
  return {
    ...base,
    state,
    lastState,
    ready: role === "ephemeral" ? false : ready,
    started: role === "ephemeral" ? running !== undefined : started,
  } as ApiContainerStatus;
}

function fromInstances(
  inputs: ContainerStatusInputs,
  container: ContainerSpec,
  newest: ObservedContainer,
  older: ObservedContainer | undefined,
  previous: ApiContainerStatus | undefined,
): Partial<ApiContainerStatus> {
  const lastState =
    older === undefined
      ? previous?.restartCount === newest.restartCount
        ? previous.lastState
        : lastTermination(previous, newest)
      : stateOf(inputs, older);
  return {
    name: container.name,
    // A runtime that knows an image by its id only does not tell its name.
    image:
      newest.image === "" || newest.image.startsWith("sha256:")
        ? (container.image ?? "")
        : newest.image,
    imageID: newest.imageRef,
    containerID: `containerd://${newest.id}`,
    restartCount: newest.restartCount,
    state: stateOf(inputs, newest),
    lastState: lastState ?? {},
    ...mountParts(container),
    ...resourceParts(container),
  };
}

/** An instance that ended and was removed from the runtime since the last report. */
function lastTermination(
  previous: ApiContainerStatus | undefined,
  newest: ObservedContainer,
): ContainerState | undefined {
  if (previous === undefined) return undefined;
  const id = `containerd://${newest.id}`;
  if (previous.containerID === id) return previous.lastState;
  return previous.state?.terminated == null
    ? previous.lastState
    : { terminated: previous.state.terminated };
}

function withoutInstance(
  inputs: ContainerStatusInputs,
  container: ContainerSpec,
  previous: ApiContainerStatus | undefined,
): Partial<ApiContainerStatus> {
  const waiting = {
    waiting: {
      reason:
        (podSpec(inputs.pod).initContainers?.length ?? 0) > 0
          ? "PodInitializing"
          : "ContainerCreating",
    },
  };
  const fresh = {
    name: container.name,
    image: container.image ?? "",
    imageID: "",
    restartCount: previous?.restartCount ?? 0,
    state: waiting,
    lastState: previous?.lastState ?? {},
    ...mountParts(container),
  };
  if (previous?.state?.terminated != null) return previous;
  if (previous?.state?.running == null || previous.lastState?.terminated != null) return fresh;
  // It ran when last seen and is gone now: say that it ended rather than that it never ran.
  return {
    ...fresh,
    restartCount:
      fresh.restartCount + (inputs.pod.metadata.deletionTimestamp === undefined ? 1 : 0),
    lastState: {
      terminated: {
        reason: "ContainerStatusUnknown",
        message:
          "The container could not be located when the pod was deleted.  The container used to be Running",
        exitCode: 137,
        startedAt: null,
        finishedAt: null,
      },
    },
  } as unknown as Partial<ApiContainerStatus>;
}

function stateOf(inputs: ContainerStatusInputs, container: ObservedContainer): ContainerState {
  switch (container.state) {
    case "RUNNING":
      return { running: { startedAt: inputs.formatTime(container.startedAtMs) } };
    case "EXITED": {
      const message =
        inputs.terminationMessage(container.id) ??
        (container.message === "" ? undefined : container.message);
      return {
        terminated: {
          exitCode: container.exitCode,
          reason:
            container.reason === ""
              ? container.exitCode === 0
                ? "Completed"
                : "Error"
              : container.reason,
          ...(message === undefined ? {} : { message }),
          startedAt: container.startedAtMs === 0 ? null : inputs.formatTime(container.startedAtMs),
          finishedAt: inputs.formatTime(container.finishedAtMs),
          containerID: `containerd://${container.id}`,
        },
      } as ContainerState;
    }
    case "CREATED":
    case "UNKNOWN":
      return { waiting: {} };
  }
}

/** The waiting state of a container that is to be started but was held up, with the reason. */
function waitingInstead(
  inputs: ContainerStatusInputs,
  container: ContainerSpec,
  role: ContainerRole,
  pod: Pod,
  observed: ObservedPod,
): ContainerState | undefined {
  const failure = inputs.failures(container.name);
  if (failure === undefined) return undefined;
  const newest = newestContainer(observed, container.name);
  if (role === "ephemeral") return newest === undefined ? { waiting: failure } : undefined;
  if (role === "init" && newest?.state === "EXITED" && newest.exitCode === 0) return undefined;
  return shouldStartContainer(pod, container, observed) ? { waiting: failure } : undefined;
}

function mountParts(container: ContainerSpec): Partial<ApiContainerStatus> {
  const mounts = (container.volumeMounts ?? []).map((one) => ({
    name: one.name,
    mountPath: one.mountPath,
    ...(one.readOnly === true ? { readOnly: true, recursiveReadOnly: "Disabled" } : {}),
  }));
  return mounts.length === 0 ? {} : { volumeMounts: mounts };
}

function resourceParts({ resources }: ContainerSpec): Partial<ApiContainerStatus> {
  if (resources === undefined) return {};
  const { limits, requests } = resources;
  return {
    resources: {
      ...(limits === undefined ? {} : { limits }),
      ...(requests === undefined ? {} : { requests }),
    },
    ...(requests === undefined ? {} : { allocatedResources: requests }),
  };
}
