import { formatTime, parseTime } from "@wherry/machinery";
import type { Pod } from "@wherry/machinery";
import type { Timer } from "@wherry/service-kit";
import { VolumeSetupError } from "../volumes/volume-manager.ts";
import type { ReadyVolume } from "../volumes/volume-manager.ts";
import { removeOldInstances, removeRuntimeObjects } from "./container-collection.ts";
import { containerResources } from "./container-config.ts";
import { decidePod, hasUsableSandbox } from "./decide.ts";
import type { DesiredPod, PodAction } from "./decide.ts";
import type { PodFacts } from "./field-reference.ts";
import { nothingObserved } from "./observed.ts";
import type { ObservedPod } from "./observed.ts";
import { isOwnCondition } from "./pod-conditions.ts";
import type { PodDeps } from "./pod-deps.ts";
import { createPodKiller } from "./pod-killer.ts";
import { createPodObserver } from "./pod-observer.ts";
import { createPodSandboxes } from "./pod-sandbox.ts";
import { createPodStarts } from "./pod-starts.ts";
import { generatePodStatus } from "./pod-status.ts";
import { findContainer, isHostNetwork, isTerminalPhase, podSpec, podUid } from "./pod-types.ts";
import type { PodStatus } from "./pod-types.ts";
import { createRoundLoop } from "./round-loop.ts";
import { errorText } from "./runtime-error-text.ts";

/**
 * The one that looks after a single pod. It is woken by a change of the pod, by the runtime's events and by its own timer, and then works
 * until nothing is left to do: look, decide, act, look again.
 *
 * 1. At most one round is under way; a wake-up during a round makes another one follow.
 * 2. A pod that began to end never goes back.
 * 3. What the pod holds on the node is released before the pod is deleted from the API.
 */
export interface PodWorker {
  readonly uid: string;
  readonly pod: Pod;
  /** As last seen. */
  readonly observed: ObservedPod;
  readonly status: PodStatus | undefined;
  /** The pod's resources on this node are released. */
  readonly released: boolean;
  update(pod: Pod): void;
  wake(): void;
  /** The runtime told that a container or sandbox has ended. */
  ended(runtimeId: string): void;
  /** Something the pod refers to changed: contents are refreshed and held-up starts tried again. */
  referencesChanged(): void;
  /** Ends the pod with a verdict (refused admission, eviction). */
  fail(reason: string, message: string): void;
  /** The API has no such pod any more: end it and remove every trace. */
  remove(): void;
  /** Leaves everything as it is. Resolves when the round under way has ended. */
  stop(): Promise<void>;
}

export interface PodWorkerHooks {
  /** Everything of a removed pod is gone. */
  readonly onRemoved: (uid: string) => void;
}

type Verdict = { readonly phase: "Failed"; readonly reason: string; readonly message: string };

/** Decisions come to rest long before; beyond it the next round goes on. */
const stepsMax = 100;
const volumeRetryMinMs = 500;
const volumeRetryMaxMs = 122_000;
const crashBackoffInitialMs = 10_000;
/** 20 ms, doubling: about 5 s in all. Later the relist finds it. */
const endedRetryMs = 20;
const endedTriesMax = 8;
const deadlineMessage = "Pod was active on the node longer than the specified deadline";

export function createPodWorker(first: Pod, deps: PodDeps, hooks: PodWorkerHooks): PodWorker {
  const uid = podUid(first);
  const { clock, config, runtime } = deps;
  const log = deps.log.child({ namespace: first.metadata.namespace, name: first.metadata.name });
  const observer = createPodObserver(runtime, uid);
  const killer = createPodKiller(deps);
  const sandboxes = createPodSandboxes(deps);
  const starts = createPodStarts(deps);
  const ending = new AbortController();
  const givenResources = new Map<string, string>();
  const endedIds = new Map<string, number>();
  const startedAtMs = clock.now();

  let pod = first;
  let observed = nothingObserved;
  let mode: "run" | "terminate" = "run";
  let verdict: Verdict | undefined;
  let removed = false;
  let released = false;
  let refreshDue = false;
  let prepared = false;
  let cgroupParent = "";
  let volumes: readonly ReadyVolume[] | undefined;
  let volumeFailures = 0;
  let volumeError: string | undefined;
  let deadlineTimer: Timer | undefined;
  let glancing = false;
  let lookSerial = 0;
  let shownSerial = 0;

  const round = async (): Promise<void> => {
    await look();
    if (removed || pod.metadata.deletionTimestamp !== undefined || verdict !== undefined)
      beginEnding();
    if (mode === "run" && !isTerminalPhase(pod.status?.phase)) checkDeadline();
    if (isTerminalPhase(publish().phase)) beginEnding();
    if (mode === "terminate") await terminate();
    else await run();
    checkEnded();
  };

  /** The runtime's event of an end may come before the end shows in what it lists; then it is looked at again soon. */
  const checkEnded = (): void => {
    for (const [id, tries] of endedIds) {
      const runs =
        observed.containers.some((one) => one.id === id && one.state === "RUNNING") ||
        observed.sandboxes.some((one) => one.id === id && one.ready);
      if (!runs || tries >= endedTriesMax) endedIds.delete(id);
      else {
        endedIds.set(id, tries + 1);
        loop.wakeBy(clock.now() + endedRetryMs * 2 ** tries);
      }
    }
  };

  const loop = createRoundLoop(round, { clock, log });
  const mayRun = (): boolean => mode === "run" && !loop.stopped;

  const wake = (): void => {
    if (loop.wake()) void glance();
  };

  /** A round may be held up for long by a pull, a hook or a grace period; what happens meanwhile is still reported. */
  const glance = async (): Promise<void> => {
    if (glancing || loop.stopped) return;
    glancing = true;
    try {
      await look();
    } catch (error) {
      log.debug({ err: error }, "looking at a pod between rounds failed; the round will");
    } finally {
      glancing = false;
    }
  };

  const look = async (): Promise<void> => {
    lookSerial += 1;
    const serial = lookSerial;
    const seen = await observer.observe();
    // A glance and a round may look at the same time; what was begun later knows more.
    if (serial > shownSerial) {
      shownSerial = serial;
      observed = seen;
    }
    for (const one of [...observed.sandboxes, ...observed.containers]) deps.register(one.id, uid);
    if (!released) deps.probes.sync(pod, observed, facts().podIps[0] ?? "", starts.hooked);
    publish();
  };

  const facts = (): PodFacts => {
    const hostIps = deps.node.hostIps();
    const ready = observed.sandboxes.find((one) => one.ready);
    return {
      hostIps,
      podIps: isHostNetwork(pod) ? hostIps : (ready?.ips ?? []),
      allocatable: deps.node.allocatable,
    };
  };

  const publish = (): PodStatus => {
    // An instance whose postStart hook runs does not count as there yet.
    const shown = {
      ...observed,
      containers: observed.containers.filter((one) => !starts.hooked.has(one.id)),
    };
    const status = generatePodStatus({
      pod,
      observed: shown,
      previous: deps.status.get(uid) ?? pod.status ?? {},
      ending: mode === "terminate" && shown.containers.every((one) => one.state !== "RUNNING"),
      ...(verdict === undefined ? {} : { verdict }),
      failures: (container) => starts.failure(container),
      started: (container, instance) => deps.probes.isStarted(pod, container, instance.id),
      ready: (container, instance) => deps.probes.isReady(pod, container, instance.id),
      terminationMessage: (id) => observer.terminationMessage(id),
      formatTime,
      hostIps: deps.node.hostIps(),
      startTime: formatTime(startedAtMs),
      now: formatTime(clock.now()),
    });
    if (!removed) deps.status.set(pod, status);
    return status;
  };

  const beginEnding = (): void => {
    if (mode === "terminate") return;
    mode = "terminate";
    deadlineTimer?.cancel();
    ending.abort(new Error("the pod is to end"));
    deps.probes.beginTermination(uid);
  };

  const checkDeadline = (): void => {
    deadlineTimer?.cancel();
    const seconds = podSpec(pod).activeDeadlineSeconds;
    if (seconds === undefined) return;
    const since = deps.status.get(uid)?.startTime ?? pod.status?.startTime;
    const dueMs = (since === undefined ? startedAtMs : parseTime(since)) + seconds * 1_000;
    if (clock.now() < dueMs) deadlineTimer = clock.setTimer(dueMs - clock.now(), passDeadline);
    else passDeadline();
  };

  /** Also reached while a round is held up by a pull or a hook, which it then ends. */
  const passDeadline = (): void => {
    if (mode !== "run") return;
    deps.events.record(pod, undefined, "Normal", "DeadlineExceeded", deadlineMessage);
    verdict = { phase: "Failed", reason: "DeadlineExceeded", message: deadlineMessage };
    beginEnding();
    wake();
  };

  const terminate = async (): Promise<void> => {
    for (
      let step = 0;
      step < stepsMax && !decidePod(desired(), observed, clock.now()).finished;
      step += 1
    ) {
      await killer.killPod(pod, observed, undefined);
      if (loop.stopped) return;
      await look();
    }
    if (!released) await release();
    if (removed) {
      await removeRuntimeObjects(pod, observed, deps);
      await deps.volumes.remove(uid);
      await deps.logs.remove(pod);
      void loop.stop();
      hooks.onRemoved(uid);
    } else if (pod.metadata.deletionTimestamp !== undefined) {
      publish();
      deps.status.finish(pod);
    }
  };

  const release = async (): Promise<void> => {
    deps.probes.remove(uid);
    await deps.volumes.tearDown(uid);
    await deps.cgroups.removePod(uid);
    deps.images.forget(uid);
    released = true;
    publish();
  };

  const run = async (): Promise<void> => {
    if (!prepared) {
      cgroupParent = await deps.cgroups.ensurePod(pod);
      await deps.logs.makeFolder(pod);
      prepared = true;
    }
    if (!(await readyVolumes())) return;
    for (let step = 0; step < stepsMax && mayRun(); step += 1) {
      const acted = await perform(decidePod(desired(), observed, clock.now()).actions);
      if (!acted) break;
      await look();
    }
    await applyResources();
    await removeOldInstances(pod, observed, deps);
    const retryAtMs = starts.retryAtMs();
    if (retryAtMs !== undefined) loop.wakeBy(retryAtMs);
  };

  const readyVolumes = async (): Promise<boolean> => {
    try {
      if (volumes === undefined) volumes = await deps.volumes.setUp(pod, facts());
      else if (refreshDue) await deps.volumes.refresh(pod, facts());
      refreshDue = false;
      volumeFailures = 0;
      volumeError = undefined;
      return true;
    } catch (error) {
      const text = error instanceof VolumeSetupError ? error.message : errorText(error);
      volumeFailures += 1;
      // Said once, and again now and then; the event recorder would only count it up.
      if (text !== volumeError || volumeFailures % 4 === 0)
        deps.events.record(pod, undefined, "Warning", "FailedMount", text);
      volumeError = text;
      loop.wakeBy(
        clock.now() + Math.min(volumeRetryMinMs * 2 ** (volumeFailures - 1), volumeRetryMaxMs),
      );
      return false;
    }
  };

  const desired = (): DesiredPod => ({
    pod,
    mode,
    probes: (id) => {
      const container = observed.containers.find((one) => one.id === id);
      return container === undefined ? {} : deps.probes.outcome(uid, container.name, id);
    },
    backoff: (container) => starts.backoff(container),
    backoffLimits: {
      initialMs: Math.min(crashBackoffInitialMs, config.crashLoopMaxMs),
      maxMs: config.crashLoopMaxMs,
    },
    restartCount: (container) => {
      const status = deps.status.get(uid) ?? pod.status;
      const known = [
        ...(status?.containerStatuses ?? []),
        ...(status?.initContainerStatuses ?? []),
      ].find((one) => one.name === container);
      if (known === undefined) return 0;
      const ran = (known.containerID ?? "") !== "" || known.state?.terminated !== undefined;
      return known.restartCount + (ran ? 1 : 0);
    },
  });

  /** Carries actions out in order; whether anything may have changed by it. */
  const perform = async (actions: readonly PodAction[]): Promise<boolean> => {
    let acted = false;
    for (const action of actions) {
      if (!mayRun()) return acted;
      acted = (await performOne(action)) || acted;
      // A sandbox that was lost or made changes what the rest was decided from.
      if (acted && (action.kind === "killPod" || action.kind === "createSandbox")) return true;
    }
    return acted;
  };

  const performOne = async (action: PodAction): Promise<boolean> => {
    switch (action.kind) {
      case "killPod":
        await killer.killPod(pod, observed, undefined);
        return true;
      case "removeContainers":
        for (const id of action.ids) await runtime.removeContainer(id);
        return true;
      case "createSandbox": {
        const retryAtMs = await sandboxes.create(pod, action.attempt, cgroupParent);
        if (retryAtMs !== undefined) loop.wakeBy(retryAtMs);
        else starts.release(["CreateContainerError", "RunContainerError"]);
        return retryAtMs === undefined;
      }
      case "killContainer": {
        const instance = observed.containers.find((one) => one.id === action.id);
        if (instance === undefined) return false;
        await killer.killContainer(pod, instance, action.message, action.reason);
        return true;
      }
      case "holdBack":
        starts.holdBack(action, pod);
        publish();
        return false;
      case "startContainer":
        return start(action);
    }
  };

  const start = async (
    action: Extract<PodAction, { kind: "startContainer" }>,
  ): Promise<boolean> => {
    const sandbox = await sandboxes.config(pod, observed.sandboxes[0]?.attempt ?? 0, cgroupParent);
    const outcome = await starts.start(action, {
      pod,
      observed,
      sandbox,
      volumes: volumes ?? [],
      facts: facts(),
      signal: ending.signal,
    });
    if (outcome.kind === "acted") return true;
    await look();
    // It failed because its sandbox went away just then: there will be another one.
    if (outcome.kind === "held") return mayRun() && !hasUsableSandbox(pod, observed);
    const instance = observed.containers.find((one) => one.id === outcome.containerId);
    if (instance?.state === "RUNNING")
      await killer.killContainer(pod, instance, "FailedPostStartHook", "failedPostStart");
    return true;
  };

  /** In-place resize: what the pod asks for now, where it differs from what an instance was given. */
  const applyResources = async (): Promise<void> => {
    for (const instance of observed.containers) {
      const container =
        instance.state === "RUNNING" ? findContainer(pod, instance.name) : undefined;
      if (container === undefined || container.role === "ephemeral") continue;
      const wanted = JSON.stringify(container.spec.resources ?? {});
      const given = givenResources.get(instance.id);
      givenResources.set(instance.id, wanted);
      if (given === undefined || given === wanted) continue;
      cgroupParent = await deps.cgroups.ensurePod(pod);
      await runtime.updateContainerResources(
        instance.id,
        containerResources(pod, container.spec, deps.node.memoryCapacityBytes),
      );
    }
    for (const id of givenResources.keys())
      if (!observed.containers.some((one) => one.id === id)) givenResources.delete(id);
  };

  return {
    uid,
    get pod() {
      return pod;
    },
    get observed() {
      return observed;
    },
    get status() {
      return deps.status.get(uid);
    },
    get released() {
      return released;
    },
    update(next) {
      const before = pod.metadata.deletionGracePeriodSeconds;
      const after = next.metadata.deletionGracePeriodSeconds;
      const relevant = !sameSpecification(pod, next);
      refreshDue ||= contentsChanged(pod, next);
      pod = next;
      if (!relevant) return;
      if (next.metadata.deletionTimestamp !== undefined) {
        beginEnding();
        if (after !== undefined && (before === undefined || after < before)) killer.hurry(after);
      }
      wake();
    },
    wake,
    ended(runtimeId) {
      endedIds.set(runtimeId, 0);
      wake();
    },
    referencesChanged() {
      refreshDue = true;
      // What a start waits for may be there now.
      starts.release(["CreateContainerConfigError"]);
      wake();
    },
    fail(reason, message) {
      verdict ??= { phase: "Failed", reason, message };
      beginEnding();
      wake();
    },
    remove() {
      removed = true;
      beginEnding();
      wake();
    },
    async stop() {
      const rest = loop.stop();
      deadlineTimer?.cancel();
      ending.abort(new Error("the node agent stops"));
      await rest;
    },
  };
}

/** Nothing but the agent's own reports changed. */
function sameSpecification(before: Pod, after: Pod): boolean {
  const view = (pod: Pod): string => {
    const { generation, labels, annotations, deletionTimestamp, deletionGracePeriodSeconds } =
      pod.metadata;
    const foreign = (pod.status?.conditions ?? [])
      .filter((one) => !isOwnCondition(one.type))
      .map((one) => [one.type, one.status, one.reason, one.message]);
    return JSON.stringify([
      generation ?? pod.spec,
      labels,
      annotations,
      deletionTimestamp,
      deletionGracePeriodSeconds,
      foreign,
      isTerminalPhase(pod.status?.phase),
    ]);
  };
  return view(before) === view(after);
}

/** Parts of the pod that downward API volumes and environment show. */
function contentsChanged(before: Pod, after: Pod): boolean {
  return (
    JSON.stringify([before.metadata.labels, before.metadata.annotations]) !==
    JSON.stringify([after.metadata.labels, after.metadata.annotations])
  );
}
