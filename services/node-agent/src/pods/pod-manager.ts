import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Informer } from "@wherry/client";
import type { Container, PodSandbox } from "@wherry/cri-api";
import type { Node, Pod } from "@wherry/machinery";
import type { Timer } from "@wherry/service-kit";
import { admitPod } from "./admission.ts";
import { rotateLog } from "./container-logs.ts";
import { podFromRuntime } from "./orphan.ts";
import type { PodDeps } from "./pod-deps.ts";
import { isTerminalPhase, podUid } from "./pod-types.ts";
import { createPodWorker } from "./pod-worker.ts";
import type { PodWorker } from "./pod-worker.ts";
import { runtimeLabel } from "./runtime-labels.ts";

/** All pods of this node: a worker for each, fed by the API, by the runtime's events and, as a safety net, by a slow relist. */
export interface PodManager {
  /** Adopts what runs, ends what nobody wants, then follows the API. Resolves once every pod that is known has its worker. */
  start(signal: AbortSignal): Promise<void>;
  stop(deadline: AbortSignal): Promise<void>;
  worker(uid: string): PodWorker | undefined;
  workers(): readonly PodWorker[];
  wakeAll(): void;
}

export interface PodManagerDeps {
  readonly informer: Informer<Pod>;
  readonly node: () => Node;
  readonly appArmorEnabled: boolean;
  /** The runtime's event stream broke off: its state is worth a look. */
  readonly onRuntimeLost: () => void;
}

/** Runtime ids by which events find their pod; far more than a node's containers. Beyond it the oldest are forgotten and the relist serves. */
const idsMax = 20_000;
const reconnectMs = 1_000;
const classUpdateMs = 1_000;

export function createPodManager(
  deps: PodDeps,
  own: PodManagerDeps,
  ids: Map<string, string>,
): PodManager {
  const { runtime, clock, log, config } = deps;
  const workers = new Map<string, PodWorker>();
  const stopping = new AbortController();
  const timers = new Set<Timer>();
  let adopted: ReadonlySet<string> = new Set();
  let classTimer: Timer | undefined;
  let unsubscribe: (() => void) | undefined;

  const add = (pod: Pod): void => {
    const uid = podUid(pod);
    const known = workers.get(uid);
    if (known !== undefined) return known.update(pod);
    const worker = createPodWorker(pod, deps, {
      onRemoved: (gone) => {
        workers.delete(gone);
        deps.status.forget(gone);
        for (const [id, owner] of ids) if (owner === gone) ids.delete(id);
        scheduleClassUpdate();
      },
    });
    workers.set(uid, worker);
    if (!refuse(pod, worker)) worker.wake();
    scheduleClassUpdate();
  };

  /** Pods that run already, are ending, or have ended are taken as they are. */
  const refuse = (pod: Pod, worker: PodWorker): boolean => {
    if (
      adopted.has(worker.uid) ||
      pod.metadata.deletionTimestamp !== undefined ||
      isTerminalPhase(pod.status?.phase)
    )
      return false;
    const others = [...workers.values()]
      .filter((one) => one !== worker && isActive(one))
      .map((one) => one.pod);
    const refusal = admitPod({
      pod,
      others,
      node: own.node(),
      allowedUnsafeSysctls: config.allowedUnsafeSysctls,
      appArmorEnabled: own.appArmorEnabled,
    });
    if (refusal === undefined) return false;
    deps.events.record(pod, undefined, "Warning", refusal.reason, refusal.message);
    worker.fail(refusal.reason, `Pod was rejected: ${refusal.message}`);
    return true;
  };

  const removeOrphan = (
    uid: string,
    sandboxes: readonly PodSandbox[],
    containers: readonly Container[],
  ): void => {
    const pod = podFromRuntime(uid, sandboxes, containers);
    log.info(
      { namespace: pod.metadata.namespace, name: pod.metadata.name, uid },
      "ending a pod that the API does not know",
    );
    const worker = createPodWorker(pod, deps, { onRemoved: (gone) => workers.delete(gone) });
    workers.set(uid, worker);
    worker.remove();
  };

  /** Compares the runtime with what the workers saw last, and wakes those that missed something. */
  const relist = async (): Promise<void> => {
    const byUid = await listRuntime();
    for (const [uid, { sandboxes, containers }] of byUid) {
      const worker = workers.get(uid);
      if (worker === undefined) removeOrphan(uid, sandboxes, containers);
      else if (differs(worker, sandboxes, containers)) worker.wake();
    }
    for (const worker of workers.values())
      if (!byUid.has(worker.uid) && worker.observed.containers.length > 0) worker.wake();
  };

  const listRuntime = async (): Promise<
    Map<string, { readonly sandboxes: PodSandbox[]; readonly containers: Container[] }>
  > => {
    const [sandboxes, containers] = await Promise.all([
      runtime.listPodSandboxes(),
      runtime.listContainers(),
    ]);
    const byUid = new Map<
      string,
      { readonly sandboxes: PodSandbox[]; readonly containers: Container[] }
    >();
    const of = (
      labels: Readonly<Record<string, string>>,
    ): { readonly sandboxes: PodSandbox[]; readonly containers: Container[] } | undefined => {
      const uid = labels[runtimeLabel.podUid];
      if (uid === undefined) return undefined; // Not made by a node agent.
      const entry = byUid.get(uid) ?? { sandboxes: [], containers: [] };
      byUid.set(uid, entry);
      return entry;
    };
    for (const one of sandboxes) of(one.labels)?.sandboxes.push(one);
    for (const one of containers) of(one.labels)?.containers.push(one);
    return byUid;
  };

  const followEvents = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      try {
        for await (const event of runtime.events(stopping.signal)) {
          if (event.kind === "started") continue; // Whoever started it looks anyway.
          const uid = ids.get(event.containerId);
          if (uid === undefined) continue;
          if (event.kind === "stopped") workers.get(uid)?.ended(event.containerId);
          else workers.get(uid)?.wake();
        }
      } catch (error) {
        if (!stopping.signal.aborted)
          log.warn({ err: error }, "the runtime's events broke off, connecting again");
      }
      if (stopping.signal.aborted) return;
      own.onRuntimeLost();
      await clock.sleep(reconnectMs, stopping.signal).catch(() => {});
      // Something may have ended unseen.
      await relist().catch((error: unknown) =>
        log.warn({ err: error }, "listing the runtime's pods failed"),
      );
    }
  };

  const every = (periodMs: number, what: string, work: () => Promise<void>): void => {
    const timer = clock.setTimer(periodMs, () => {
      timers.delete(timer);
      work()
        .catch((error: unknown) => log.warn({ err: error }, `${what} failed`))
        .finally(() => {
          if (!stopping.signal.aborted) every(periodMs, what, work);
        });
    });
    timers.add(timer);
  };

  const rotateLogs = async (): Promise<void> => {
    for (const worker of workers.values()) {
      for (const container of worker.observed.containers) {
        if (container.state !== "RUNNING" || !container.logPath.startsWith("/")) continue;
        await rotateLog(
          container.logPath,
          { bytesMax: config.logMaxBytes, filesMax: config.logFilesMax },
          () => runtime.reopenContainerLog(container.id),
          clock.now(),
        );
      }
    }
  };

  const scheduleClassUpdate = (): void => {
    if (stopping.signal.aborted) return;
    classTimer ??= clock.setTimer(classUpdateMs, () => {
      classTimer = undefined;
      const active = [...workers.values()].filter(isActive).map((one) => one.pod);
      deps.cgroups
        .updateClasses(active)
        .catch((error: unknown) => log.warn({ err: error }, "weighing the pods' cgroups failed"));
    });
  };

  /** Folders and cgroups of pods that ended while no agent ran. */
  const removeLeftovers = async (): Promise<void> => {
    const folders = await readdir(join(config.kubeletRoot, "pods")).catch(() => []);
    const groups = await deps.cgroups.listPods();
    for (const uid of new Set([...folders, ...groups])) {
      if (workers.has(uid)) continue;
      await deps.volumes.tearDown(uid);
      await deps.cgroups.removePod(uid);
      await deps.volumes.remove(uid);
    }
    await deps.logs.removeDeadLinks();
  };

  return {
    async start(signal) {
      const present = await listRuntime();
      adopted = new Set(
        present.entries().flatMap(([uid, { containers }]) => (containers.length > 0 ? [uid] : [])),
      );
      for (const [uid, { sandboxes, containers }] of present)
        for (const one of [...sandboxes, ...containers]) ids.set(one.id, uid);
      await own.informer.whenSynced(signal);
      unsubscribe = own.informer.subscribe({
        onAdd: add,
        onUpdate(pod) {
          deps.status.observe(pod);
          add(pod);
        },
        onDelete(pod) {
          workers.get(podUid(pod))?.remove();
        },
      });
      // Handlers are called asynchronously; orphans are those that the API does not know, so its store is asked directly.
      const wanted = new Set(own.informer.store.list().map(podUid));
      for (const [uid, { sandboxes, containers }] of present)
        if (!wanted.has(uid)) removeOrphan(uid, sandboxes, containers);
      for (const pod of own.informer.store.list()) add(pod);
      adopted = new Set();
      void followEvents();
      every(config.relistMs, "listing the runtime's pods", relist);
      every(config.logCheckMs, "rotating logs", rotateLogs);
      void removeLeftovers().catch((error: unknown) =>
        log.warn(
          { err: error },
          "removing what former pods left failed; the next start tries again",
        ),
      );
    },
    async stop(deadline) {
      stopping.abort(new Error("the node agent stops"));
      unsubscribe?.();
      classTimer?.cancel();
      for (const timer of timers) timer.cancel();
      const rest = Promise.all([...workers.values()].map((one) => one.stop()));
      const late = Promise.withResolvers<void>();
      deadline.addEventListener("abort", () => late.resolve(), { once: true });
      if (deadline.aborted) late.resolve();
      await Promise.race([rest, late.promise]);
    },
    worker: (uid) => workers.get(uid),
    workers: () => [...workers.values()],
    wakeAll() {
      for (const worker of workers.values()) worker.wake();
    },
  };
}

/** Remembers whose a runtime object is, within the bound. */
export function registerRuntimeId(ids: Map<string, string>, id: string, uid: string): void {
  if (ids.has(id)) return;
  ids.set(id, uid);
  if (ids.size <= idsMax) return;
  const oldest = ids.keys().next().value;
  if (oldest !== undefined) ids.delete(oldest);
}

function isActive(worker: PodWorker): boolean {
  return !worker.released && !isTerminalPhase(worker.status?.phase ?? worker.pod.status?.phase);
}

function differs(
  worker: PodWorker,
  sandboxes: readonly PodSandbox[],
  containers: readonly Container[],
): boolean {
  const seen = worker.observed;
  if (seen.containers.length !== containers.length || seen.sandboxes.length !== sandboxes.length)
    return true;
  const states = new Map<string, string>(containers.map((one) => [one.id, one.state]));
  const ready = new Map(sandboxes.map((one) => [one.id, one.state === "READY"]));
  return (
    seen.containers.some((one) => states.get(one.id) !== one.state) ||
    seen.sandboxes.some((one) => ready.get(one.id) !== one.ready)
  );
}
