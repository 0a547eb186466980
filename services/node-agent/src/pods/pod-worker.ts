import type { PodSandboxConfig } from "@wherry/cri-api";
import { formatTime, parseTime } from "@wherry/machinery";
import type { Pod } from "@wherry/machinery";
import type { Timer } from "@wherry/service-kit";
import { VolumeSetupError } from "../volumes/volume-manager.ts";
import type { ReadyVolume } from "../volumes/volume-manager.ts";
import { formatGoDuration } from "./backoff.ts";
import type { BackoffEntry } from "./backoff.ts";
import { removeOldInstances, removeRuntimeObjects } from "./container-collection.ts";
import { containerResources } from "./container-config.ts";
import type { StartFailure } from "./container-statuses.ts";
import { startContainer } from "./container-starter.ts";
import { decidePod } from "./decide.ts";
import type { PodAction } from "./decide.ts";
import { podDns } from "./dns-config.ts";
import type { PodFacts } from "./field-reference.ts";
import { nothingObserved } from "./observed.ts";
import type { ObservedPod } from "./observed.ts";
import type { PodDeps } from "./pod-deps.ts";
import { podHostname } from "./pod-hostname.ts";
import { createPodKiller } from "./pod-killer.ts";
import { createPodObserver } from "./pod-observer.ts";
import { isOwnCondition } from "./pod-conditions.ts";
import { generatePodStatus } from "./pod-status.ts";
import {
  findContainer,
  formatPod,
  isHostNetwork,
  isTerminalPhase,
  podSpec,
  podUid,
} from "./pod-types.ts";
import type { PodStatus } from "./pod-types.ts";
import { errorText, grpcErrorText } from "./runtime-error-text.ts";
import { sandboxConfig } from "./sandbox-config.ts";

/**
 * The one that looks after a single pod. It is woken by a change of the pod, by the runtime's events and by its own timer, and then works
 * until nothing is left to do: look, decide, act, look again. Nothing of it runs in between.
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

interface HeldUp extends StartFailure {
  readonly retryAtMs: number | undefined;
}

type Verdict = { readonly phase: "Failed"; readonly reason: string; readonly message: string };

const roundsMax = 100;
const retryMinMs = 1_000;
const retryMaxMs = 120_000;
const sandboxRetryMs = 10_000;
const deadlineMessage = "Pod was active on the node longer than the specified deadline";

export function createPodWorker(first: Pod, deps: PodDeps, hooks: PodWorkerHooks): PodWorker {
  const uid = podUid(first);
  const { clock, config, runtime } = deps;
  const log = deps.log.child({ namespace: first.metadata.namespace, name: first.metadata.name });
  const observer = createPodObserver(runtime, uid);
  const killer = createPodKiller(deps);
  const ending = new AbortController();
  const backoffs = new Map<string, BackoffEntry>();
  const heldUp = new Map<string, HeldUp>();
  const hooked = new Set<string>();
  const announcedBackoffs = new Map<string, number>();
  const givenResources = new Map<string, string>();
  const startedAtMs = clock.now();

  let pod = first;
  let observed = nothingObserved;
  let mode: "run" | "terminate" = "run";
  let verdict: Verdict | undefined;
  let removed = false;
  let released = false;
  let stopped = false;
  let dirty = false;
  let refreshDue = false;
  let running: Promise<void> | undefined;
  let timer: Timer | undefined;
  let wakeAtMs: number | undefined;
  let deadlineTimer: Timer | undefined;
  let failures = 0;
  let volumeFailures = 0;
  let sandboxFailures = 0;
  let glancing = false;
  let lookSerial = 0;
  let shownSerial = 0;
  let volumes: readonly ReadyVolume[] | undefined;
  let volumeError: string | undefined;
  let prepared = false;
  let sandbox: PodSandboxConfig | undefined;
  let cgroupParent = "";

  const wake = (): void => {
    dirty = true;
    if (stopped) return;
    if (running !== undefined) {
      void glance();
      return;
    }
    running = drain().finally(() => {
      running = undefined;
      if (dirty && !stopped) wake();
    });
  };

  /** A round may be held up for long by a pull, a hook or a grace period; what happens meanwhile is still reported. */
  const glance = async (): Promise<void> => {
    if (glancing || stopped) return;
    glancing = true;
    try {
      await look();
    } catch (error) {
      log.debug({ err: error }, "looking at a pod between rounds failed; the round will");
    } finally {
      glancing = false;
    }
  };

  const hasWork = (): boolean => dirty && !stopped;
  const mayRun = (): boolean => mode === "run" && !stopped;

  const drain = async (): Promise<void> => {
    while (hasWork()) {
      dirty = false;
      timer?.cancel();
      wakeAtMs = undefined;
      try {
        await round();
        failures = 0;
      } catch (error) {
        failures += 1;
        const delayMs = Math.min(retryMinMs * 2 ** (failures - 1), retryMaxMs);
        log.warn(
          { err: error, retryMs: delayMs },
          "a round of a pod's worker failed, trying again",
        );
        wakeBy(clock.now() + delayMs);
      }
      armTimer();
    }
  };

  const wakeBy = (atMs: number | undefined): void => {
    if (atMs !== undefined) wakeAtMs = Math.min(wakeAtMs ?? atMs, atMs);
  };

  const armTimer = (): void => {
    timer?.cancel();
    if (wakeAtMs === undefined || stopped) return;
    timer = clock.setTimer(Math.max(wakeAtMs - clock.now(), 0), wake);
  };

  const beginEnding = (): void => {
    if (mode === "terminate") return;
    mode = "terminate";
    deadlineTimer?.cancel();
    ending.abort(new Error("the pod is to end"));
    deps.probes.beginTermination(uid);
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

  const look = async (): Promise<void> => {
    lookSerial += 1;
    const serial = lookSerial;
    const seen = await observer.observe();
    // A glance and a round may look at the same time; what was begun later knows more.
    if (serial > shownSerial) {
      shownSerial = serial;
      observed = seen;
    }
    for (const one of observed.sandboxes) deps.register(one.id, uid);
    for (const one of observed.containers) deps.register(one.id, uid);
    if (!released) deps.probes.sync(pod, observed, facts().podIps[0] ?? "", hooked);
    publish();
  };

  const publish = (): PodStatus => {
    // An instance whose postStart hook runs does not count as there yet.
    const shown =
      hooked.size === 0
        ? observed
        : { ...observed, containers: observed.containers.filter((one) => !hooked.has(one.id)) };
    const previous = deps.status.get(uid) ?? pod.status ?? {};
    const status = generatePodStatus({
      pod,
      observed: shown,
      previous,
      ending: mode === "terminate" && shown.containers.every((one) => one.state !== "RUNNING"),
      ...(verdict === undefined ? {} : { verdict }),
      failures: (container) => heldUp.get(container),
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

  const round = async (): Promise<void> => {
    await look();
    if (removed || pod.metadata.deletionTimestamp !== undefined || verdict !== undefined)
      beginEnding();
    if (mode === "run" && !isTerminalPhase(pod.status?.phase)) checkDeadline();
    const status = publish();
    if (isTerminalPhase(status.phase)) beginEnding();
    if (mode === "terminate") await terminate();
    else await run();
  };

  const checkDeadline = (): void => {
    const seconds = podSpec(pod).activeDeadlineSeconds;
    deadlineTimer?.cancel();
    if (seconds === undefined) return;
    const since = deps.status.get(uid)?.startTime ?? pod.status?.startTime;
    const dueMs = (since === undefined ? startedAtMs : parseTime(since)) + seconds * 1_000;
    if (clock.now() < dueMs) {
      deadlineTimer = clock.setTimer(dueMs - clock.now(), passDeadline);
      return;
    }
    passDeadline();
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
    for (let count = 0; count < roundsMax; count += 1) {
      const plan = decidePod(desired(), observed, clock.now());
      if (plan.finished) break;
      await killer.killPod(pod, observed, undefined);
      if (stopped) return;
      await look();
    }
    if (!released) await release();
    if (removed) {
      await removeRuntimeObjects(pod, observed, deps);
      await deps.volumes.remove(uid);
      await deps.logs.remove(pod);
      stopped = true;
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
    if (!prepared) await prepare();
    if (!(await readyVolumes())) return;
    for (let count = 0; count < roundsMax && mayRun(); count += 1) {
      const plan = decidePod(desired(), observed, clock.now());
      const acted = await perform(plan.actions);
      if (!acted) break;
      await look();
    }
    await applyResources();
    await removeOldInstances(pod, observed, deps);
    checkWake();
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

  const prepare = async (): Promise<void> => {
    cgroupParent = await deps.cgroups.ensurePod(pod);
    await deps.logs.makeFolder(pod);
    prepared = true;
  };

  const readyVolumes = async (): Promise<boolean> => {
    if (volumes !== undefined && refreshDue) {
      refreshDue = false;
      await deps.volumes.refresh(pod, facts());
    }
    if (volumes !== undefined) return true;
    refreshDue = false;
    try {
      volumes = await deps.volumes.setUp(pod, facts());
      volumeFailures = 0;
      volumeError = undefined;
      return true;
    } catch (error) {
      const text = error instanceof VolumeSetupError ? error.message : errorText(error);
      volumeFailures += 1;
      const delayMs = Math.min(500 * 2 ** (volumeFailures - 1), retryMaxMs);
      if (text !== volumeError || volumeFailures % 4 === 0)
        deps.events.record(pod, undefined, "Warning", "FailedMount", text);
      volumeError = text;
      wakeBy(clock.now() + delayMs);
      return false;
    }
  };

  const desired = (): Parameters<typeof decidePod>[0] => ({
    pod,
    mode,
    probes: (id) => {
      const container = observed.containers.find((one) => one.id === id);
      return container === undefined ? {} : deps.probes.outcome(uid, container.name, id);
    },
    backoff: (container) => backoffs.get(container),
    backoffLimits: {
      initialMs: Math.min(10_000, config.crashLoopMaxMs),
      maxMs: config.crashLoopMaxMs,
    },
    restartCount: (container) => {
      const status = deps.status.get(uid) ?? pod.status;
      const known = [
        ...(status?.containerStatuses ?? []),
        ...(status?.initContainerStatuses ?? []),
      ].find((one) => one.name === container);
      if (known === undefined) return 0;
      return (known.containerID ?? "") === "" && known.state?.terminated === undefined
        ? (known.restartCount ?? 0)
        : (known.restartCount ?? 0) + 1;
    },
  });

  /** Carries actions out in order; whether anything may have changed by it. */
  const perform = async (actions: readonly PodAction[]): Promise<boolean> => {
    let acted = false;
    for (const action of actions) {
      if (mode !== "run" && action.kind !== "killPod") return acted;
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
      case "createSandbox":
        return createSandbox(action.attempt);
      case "killContainer": {
        const instance = observed.containers.find((one) => one.id === action.id);
        if (instance === undefined) return false;
        await killer.killContainer(pod, instance, action.message, action.reason);
        return true;
      }
      case "holdBack":
        holdBack(action);
        return false;
      case "startContainer":
        return start(action);
    }
  };

  const holdBack = (action: Extract<PodAction, { kind: "holdBack" }>): void => {
    wakeBy(action.untilMs);
    const message = `back-off ${formatGoDuration(action.delayMs)} restarting failed container=${action.name} pod=${formatPod(pod)}`;
    heldUp.set(action.name, { reason: "CrashLoopBackOff", message, retryAtMs: undefined });
    publish();
    if (announcedBackoffs.get(action.name) === action.untilMs) return;
    announcedBackoffs.set(action.name, action.untilMs);
    deps.events.record(
      pod,
      findContainer(pod, action.name),
      "Warning",
      "BackOff",
      `Back-off restarting failed container ${action.name} in pod ${formatPod(pod)}`,
    );
  };

  const configFor = async (attempt: number): Promise<PodSandboxConfig> =>
    sandboxConfig({
      pod,
      attempt,
      hostname: podHostname(pod, config.clusterDomain).kernelName,
      logDirectory: await deps.logs.makeFolder(pod),
      dns: podDns(pod, {
        clusterDns: config.clusterDns,
        clusterDomain: config.clusterDomain,
        host: await deps.hostDns(),
      }),
      cgroupParent,
    });

  const createSandbox = async (attempt: number): Promise<boolean> => {
    const network = deps.node.network();
    if (!network.ready && !isHostNetwork(pod)) {
      deps.events.record(
        pod,
        undefined,
        "Warning",
        "NetworkNotReady",
        `network is not ready: ${network.message}`,
      );
      wakeBy(clock.now() + 10_000);
      return false;
    }
    if (attempt > 0 && sandboxFailures === 0)
      deps.events.record(
        pod,
        undefined,
        "Normal",
        "SandboxChanged",
        "Pod sandbox changed, it will be killed and re-created.",
      );
    try {
      const handler = await deps.runtimeHandler(pod);
      sandbox = await configFor(attempt);
      const wanted = sandbox;
      const id = await deps.starts.run(() => runtime.runPodSandbox(wanted, handler));
      deps.register(id, uid);
      sandboxFailures = 0;
      return true;
    } catch (error) {
      deps.events.record(
        pod,
        undefined,
        "Warning",
        "FailedCreatePodSandBox",
        `Failed to create pod sandbox: ${grpcErrorText(error)}`,
      );
      sandboxFailures += 1;
      wakeBy(clock.now() + Math.min(sandboxRetryMs * sandboxFailures, retryMaxMs));
      return false;
    }
  };

  const start = async (
    action: Extract<PodAction, { kind: "startContainer" }>,
  ): Promise<boolean> => {
    const held = heldUp.get(action.name);
    if (held?.retryAtMs !== undefined && held.retryAtMs > clock.now()) {
      wakeBy(held.retryAtMs);
      return false;
    }
    const attempt = observed.sandboxes[0]?.attempt ?? 0;
    const wanted = sandbox?.metadata.attempt === attempt ? sandbox : await configFor(attempt);
    sandbox = wanted;
    if (action.backoff !== undefined) backoffs.set(action.name, action.backoff);
    const result = await startContainer(
      {
        pod,
        action,
        observed,
        sandbox: wanted,
        volumes: volumes ?? [],
        facts: facts(),
        signal: ending.signal,
        onHook: (id) => hooked.add(id),
        onHookEnded: (id) => hooked.delete(id),
      },
      deps,
    );
    switch (result.kind) {
      case "started":
        heldUp.delete(action.name);
        return true;
      case "aborted":
        return true;
      case "failed":
        heldUp.set(action.name, {
          reason: result.reason,
          message: result.message,
          retryAtMs: result.retryAtMs ?? Number.POSITIVE_INFINITY,
        });
        if (result.retryAtMs !== undefined) wakeBy(result.retryAtMs);
        publish();
        return false;
      case "hookFailed": {
        await look();
        heldUp.set(action.name, {
          reason: "PostStartHookError",
          message: result.message,
          retryAtMs: undefined,
        });
        const instance = observed.containers.find((one) => one.id === result.containerId);
        if (instance?.state === "RUNNING")
          await killer.killContainer(pod, instance, "FailedPostStartHook", "failedPostStart");
        return true;
      }
    }
  };

  const checkWake = (): void => {
    for (const one of heldUp.values())
      if (
        one.retryAtMs !== undefined &&
        Number.isFinite(one.retryAtMs) &&
        one.retryAtMs > clock.now()
      )
        wakeBy(one.retryAtMs);
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
    referencesChanged() {
      refreshDue = true;
      // What a start waits for may be there now.
      for (const [name, held] of heldUp)
        if (held.reason === "CreateContainerConfigError")
          heldUp.set(name, { ...held, retryAtMs: undefined });
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
      stopped = true;
      timer?.cancel();
      deadlineTimer?.cancel();
      ending.abort(new Error("the node agent stops"));
      await running?.catch(() => {});
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
