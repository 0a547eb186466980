import type { Pod } from "@wherry/machinery";
import { backoffUntil, nextBackoff } from "./backoff.ts";
import type { BackoffEntry, BackoffLimits } from "./backoff.ts";
import { newestContainer, runningContainers } from "./observed.ts";
import type { ObservedContainer, ObservedPod, ObservedSandbox } from "./observed.ts";
import { isHostNetwork, isSidecar, podSpec, restartPolicyOf } from "./pod-types.ts";
import type { ContainerRole, ContainerSpec } from "./pod-types.ts";
import { restartsAfter, shouldStartContainer } from "./restart-policy.ts";
import { containerHash } from "./runtime-labels.ts";

/**
 * What to do next for one pod, from what is wanted and what the runtime shows. Pure: the worker carries the actions out in order, looks
 * again and decides again, until nothing is left to do.
 *
 * 1. Containers start only in a ready sandbox. A sandbox that was lost takes all containers with it and init starts over.
 * 2. Init containers run one by one, in order; a sidecar counts as done once it has started.
 * 3. A main container starts only when every init container is done.
 * 4. A pod that is to end gets no new container.
 * 5. A container that failed before waits out its back-off, counted from its end.
 */
export function decidePod(desired: DesiredPod, observed: ObservedPod, nowMs: number): PodPlan {
  if (desired.mode === "terminate") return decideTermination(observed);
  const sandbox = decideSandbox(desired.pod, observed);
  if (sandbox.kind === "create") return decideSandboxCreation(desired, observed, sandbox.attempt);
  return decideContainers(desired, observed, nowMs);
}

export interface DesiredPod {
  readonly pod: Pod;
  readonly mode: "run" | "terminate";
  /** Latest probe results by container id. */
  readonly probes: (containerId: string) => ProbeOutcome;
  /** Crash back-off by container name. */
  readonly backoff: (container: string) => BackoffEntry | undefined;
  readonly backoffLimits: BackoffLimits;
  /** Restart count for a container of which the runtime knows no instance (from the API status). */
  readonly restartCount: (container: string) => number;
}

export interface ProbeOutcome {
  readonly liveness?: ProbeResult;
  readonly startup?: ProbeResult;
}

export type ProbeResult = "success" | "failure" | "unknown";

export type KillReason = "unknown" | "startupProbe" | "livenessProbe" | "failedPostStart";

export type PodAction =
  /** Kills every running container and stops every sandbox. */
  | { readonly kind: "killPod" }
  /** Removes instances of init containers that belong to a lost sandbox. */
  | { readonly kind: "removeContainers"; readonly ids: readonly string[] }
  | { readonly kind: "createSandbox"; readonly attempt: number }
  | {
      readonly kind: "killContainer";
      readonly id: string;
      readonly name: string;
      readonly message: string;
      readonly reason: KillReason;
    }
  | {
      readonly kind: "startContainer";
      readonly name: string;
      readonly role: ContainerRole;
      readonly sandboxId: string;
      readonly restartCount: number;
      /** To be remembered once the start is tried. */
      readonly backoff: BackoffEntry | undefined;
    }
  | {
      readonly kind: "holdBack";
      readonly name: string;
      readonly untilMs: number;
      readonly delayMs: number;
    };

export interface PodPlan {
  readonly actions: readonly PodAction[];
  /** Nothing runs and nothing will: volumes and cgroups may go. Only in mode `terminate`. */
  readonly finished: boolean;
}

/** Whether the pod has a sandbox that its containers can run in. */
export function hasUsableSandbox(pod: Pod, observed: ObservedPod): boolean {
  return decideSandbox(pod, observed).kind === "keep";
}

function decideTermination(observed: ObservedPod): PodPlan {
  const busy =
    runningContainers(observed).length > 0 || observed.sandboxes.some((one) => one.ready);
  return busy
    ? { actions: [{ kind: "killPod" }], finished: false }
    : { actions: [], finished: true };
}

type SandboxDecision =
  | { readonly kind: "keep"; readonly sandbox: ObservedSandbox }
  | { readonly kind: "create"; readonly attempt: number };

function decideSandbox(pod: Pod, observed: ObservedPod): SandboxDecision {
  const newest = observed.sandboxes[0];
  if (newest === undefined) return { kind: "create", attempt: 0 };
  const fresh = { kind: "create", attempt: newest.attempt + 1 } as const;
  if (!newest.ready || observed.sandboxes.filter((one) => one.ready).length > 1) return fresh;
  const wantsHost = isHostNetwork(pod);
  if ((newest.network === "NODE") !== wantsHost) return fresh;
  if (!wantsHost && newest.ips.length === 0) return fresh;
  return { kind: "keep", sandbox: newest };
}

function decideSandboxCreation(
  desired: DesiredPod,
  observed: ObservedPod,
  attempt: number,
): PodPlan {
  const { pod } = desired;
  const spec = podSpec(pod);
  const stale =
    observed.sandboxes.some((one) => one.ready) || runningContainers(observed).length > 0;
  const clear: readonly PodAction[] = stale ? [{ kind: "killPod" }] : [];
  // A pod whose containers all ended for good gets no new sandbox to show their end in.
  const started = (spec.containers ?? []).filter((one) =>
    wasCreated(newestContainer(observed, one.name)),
  );
  const anyRestarts = (spec.containers ?? []).some((one) =>
    shouldStartContainer(pod, one, observed),
  );
  const neverRestarts =
    restartPolicyOf(pod) === "Never" &&
    attempt !== 0 &&
    observed.containers.length > 0 &&
    !hasRestartRules(spec.containers ?? []);
  if (neverRestarts || (started.length > 0 && !anyRestarts))
    return { actions: clear, finished: false };
  if (pod.metadata.deletionTimestamp !== undefined) return { actions: clear, finished: false };

  const initNames = new Set((spec.initContainers ?? []).map((one) => one.name));
  const purge = observed.containers.filter((one) => initNames.has(one.name)).map((one) => one.id);
  return {
    actions: [
      ...clear,
      ...(purge.length === 0 ? [] : [{ kind: "removeContainers", ids: purge } as const]),
      { kind: "createSandbox", attempt },
    ],
    finished: false,
  };
}

function hasRestartRules(containers: readonly ContainerSpec[]): boolean {
  return containers.some((one) => one.restartPolicy !== undefined);
}

function wasCreated(container: ObservedContainer | undefined): boolean {
  return container !== undefined && container.state !== "UNKNOWN";
}

/** Collects what is to be started and killed while going through the containers of one pod. */
interface Draft {
  readonly start: { readonly name: string; readonly role: ContainerRole }[];
  readonly kill: Extract<PodAction, { kind: "killContainer" }>[];
}

function decideContainers(desired: DesiredPod, observed: ObservedPod, nowMs: number): PodPlan {
  const spec = podSpec(desired.pod);
  const draft: Draft = { start: [], kill: [] };
  for (const one of spec.ephemeralContainers ?? []) {
    if (newestContainer(observed, one.name) === undefined)
      draft.start.push({ name: one.name, role: "ephemeral" });
  }

  const init = decideInit(desired, observed, draft);
  if (init === "failed") return endPod(observed);
  if (init === "done") {
    const kept = decideMain(desired, observed, draft);
    const mains = new Set((spec.containers ?? []).map((one) => one.name));
    if (kept === 0 && !draft.start.some((one) => mains.has(one.name))) return endPod(observed);
  }
  const kills: readonly PodAction[] = draft.kill;
  const starts = draft.start.map((one) => planStart(desired, observed, one, nowMs));
  return { actions: [...kills, ...starts], finished: false };
}

/** The pod is done: what still runs (sidecars) is ended, so that its phase can become final. */
function endPod(observed: ObservedPod): PodPlan {
  return { actions: decideTermination(observed).actions, finished: false };
}

function planStart(
  desired: DesiredPod,
  observed: ObservedPod,
  start: { readonly name: string; readonly role: ContainerRole },
  nowMs: number,
): PodAction {
  const previous = newestContainer(observed, start.name);
  let backoff = desired.backoff(start.name);
  const exited = observed.containers.find(
    (one) => one.name === start.name && one.state === "EXITED",
  );
  if (exited !== undefined) {
    const untilMs = backoffUntil(backoff, exited.finishedAtMs, nowMs, desired.backoffLimits);
    if (untilMs !== undefined)
      return { kind: "holdBack", name: start.name, untilMs, delayMs: backoff?.delayMs ?? 0 };
    backoff = nextBackoff(backoff, exited.finishedAtMs, nowMs, desired.backoffLimits);
  }
  return {
    kind: "startContainer",
    name: start.name,
    role: start.role,
    sandboxId: observed.sandboxes[0]?.id ?? "",
    restartCount:
      previous === undefined ? desired.restartCount(start.name) : previous.restartCount + 1,
    backoff,
  };
}

function decideMain(desired: DesiredPod, observed: ObservedPod, draft: Draft): number {
  const { pod } = desired;
  let kept = 0;
  for (const container of podSpec(pod).containers ?? []) {
    const newest = newestContainer(observed, container.name);
    if (newest === undefined || newest.state !== "RUNNING") {
      if (!shouldStartContainer(pod, container, observed)) continue;
      draft.start.push({ name: container.name, role: "main" });
      if (newest?.state === "UNKNOWN") draft.kill.push(unknownKill(newest, "Container"));
      continue;
    }
    const fault = runningFault(desired, container, newest, "Container");
    if (fault === undefined) {
      kept += 1;
      continue;
    }
    const restart = fault.changed || restartsAfter(pod, container, 137);
    draft.kill.push({
      kind: "killContainer",
      id: newest.id,
      name: container.name,
      reason: fault.reason,
      message: restart ? `${fault.message}, will be restarted` : fault.message,
    });
    // The start follows once the container is seen to have ended, so that its back-off counts from there.
    kept += 1;
  }
  return kept;
}

interface Fault {
  readonly message: string;
  readonly reason: KillReason;
  readonly changed: boolean;
}

function runningFault(
  desired: DesiredPod,
  container: ContainerSpec,
  running: ObservedContainer,
  word: "Container" | "Init container",
): Fault | undefined {
  if (running.hash !== undefined && running.hash !== containerHash(container)) {
    return {
      message: `${word} ${container.name} definition changed`,
      reason: "unknown",
      changed: true,
    };
  }
  const probes = desired.probes(running.id);
  if (probes.liveness === "failure")
    return {
      message: `${word} ${container.name} failed liveness probe`,
      reason: "livenessProbe",
      changed: false,
    };
  if (probes.startup === "failure")
    return {
      message: `${word} ${container.name} failed startup probe`,
      reason: "startupProbe",
      changed: false,
    };
  return undefined;
}

function unknownKill(
  container: ObservedContainer,
  word: "Container" | "Init container",
): Extract<PodAction, { kind: "killContainer" }> {
  return {
    kind: "killContainer",
    id: container.id,
    name: container.name,
    reason: "unknown",
    message: `${word} is in "unknown" state, try killing it before restart`,
  };
}

/**
 * Goes through the init containers from the last to the first: the newest one that was ever created tells how far the pod has come, those
 * before it are done, and of them only sidecars still matter.
 */
function decideInit(
  desired: DesiredPod,
  observed: ObservedPod,
  draft: Draft,
): "done" | "pending" | "failed" {
  const { pod } = desired;
  const containers = podSpec(pod).initContainers ?? [];
  if (containers.length === 0) return "done";
  const mainExists = (podSpec(pod).containers ?? []).some((one) => {
    const state = newestContainer(observed, one.name)?.state;
    return state === "CREATED" || state === "RUNNING";
  });
  let done = mainExists;
  let passed = mainExists;
  const starts: { readonly name: string; readonly role: ContainerRole }[] = [];
  const start = (index: number): void => {
    const container = containers[index];
    if (container !== undefined)
      starts.push({ name: container.name, role: isSidecar(container) ? "sidecar" : "init" });
  };

  for (let index = containers.length - 1; index >= 0; index -= 1) {
    const container = containers[index];
    if (container === undefined) continue;
    const newest = newestContainer(observed, container.name);
    if (newest === undefined) {
      if (passed && isSidecar(container)) start(index);
      continue;
    }
    if (passed && !isSidecar(container)) continue;
    const step = isSidecar(container)
      ? sidecarStep(desired, container, newest, draft)
      : initStep(pod, container, newest, draft);
    if (step === "failed") return "failed";
    if (step === "restart") start(index);
    if (step === "done") {
      if (index === containers.length - 1) done = true;
      else if (!passed) start(index + 1);
    }
    passed = true;
  }
  if (!passed) start(0);
  draft.start.unshift(...starts.reverse());
  return done ? "done" : "pending";
}

type InitStep = "waiting" | "done" | "restart" | "failed";

function initStep(
  pod: Pod,
  container: ContainerSpec,
  newest: ObservedContainer,
  draft: Draft,
): InitStep {
  switch (newest.state) {
    case "RUNNING":
      return "waiting";
    case "CREATED":
      return "restart";
    case "EXITED":
      if (newest.exitCode === 0) return "done";
      return restartsAfter(pod, container, newest.exitCode) ? "restart" : "failed";
    case "UNKNOWN":
      if (!restartsAfter(pod, container, 137)) return "failed";
      draft.kill.push(unknownKill(newest, "Init container"));
      return "restart";
  }
}

function sidecarStep(
  desired: DesiredPod,
  container: ContainerSpec,
  newest: ObservedContainer,
  draft: Draft,
): InitStep {
  switch (newest.state) {
    case "CREATED":
    case "EXITED":
      return desired.pod.metadata.deletionTimestamp === undefined ? "restart" : "waiting";
    case "UNKNOWN":
      draft.kill.push(unknownKill(newest, "Init container"));
      return "restart";
    case "RUNNING": {
      const fault = runningFault(desired, container, newest, "Init container");
      if (fault !== undefined)
        draft.kill.push({
          kind: "killContainer",
          id: newest.id,
          name: container.name,
          message: fault.message,
          reason: fault.reason,
        });
      const started =
        container.startupProbe === undefined || desired.probes(newest.id).startup === "success";
      return started ? "done" : "waiting";
    }
  }
}
