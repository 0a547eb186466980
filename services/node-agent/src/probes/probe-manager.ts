import type { ContainerRuntime } from "@wherry/cri-api";
import type { Pod } from "@wherry/machinery";
import type { Clock, MetricsRegistry } from "@wherry/service-kit";
import type { ProbeOutcome } from "../pods/decide.ts";
import type { ObservedPod } from "../pods/observed.ts";
import { newestContainer } from "../pods/observed.ts";
import { allContainers, podUid } from "../pods/pod-types.ts";
import type { ContainerSpec, NamedContainer } from "../pods/pod-types.ts";
import { createProbeWorker } from "./probe-worker.ts";
import type { ProbeKind, ProbeWorker } from "./probe-worker.ts";
import { runProbe } from "./run-probe.ts";

/** All probes of this node's containers. */
export interface ProbeManager {
  /** Makes and feeds the workers of a pod from what the runtime shows. `paused` holds instances whose postStart hook has not ended. */
  sync(pod: Pod, observed: ObservedPod, podIp: string, paused: ReadonlySet<string>): void;
  /** The pod is ending: liveness and startup stop, readiness goes on. */
  beginTermination(uid: string): void;
  remove(uid: string): void;
  outcome(uid: string, container: string, containerId: string): ProbeOutcome;
  /** Startup probe passed, or there is none. */
  isStarted(pod: Pod, container: ContainerSpec, containerId: string): boolean;
  isReady(pod: Pod, container: ContainerSpec, containerId: string): boolean;
  stop(): void;
}

export interface ProbeManagerDeps {
  readonly runtime: Pick<ContainerRuntime, "execSync">;
  readonly clock: Clock;
  readonly metrics: MetricsRegistry;
  readonly userAgent: string;
  readonly onChange: (uid: string) => void;
  readonly recordEvent: (
    pod: Pod,
    container: NamedContainer,
    type: "Normal" | "Warning",
    reason: string,
    message: string,
  ) => void;
}

interface Probed {
  readonly workers: Partial<Record<ProbeKind, ProbeWorker>>;
}

interface PodProbes {
  pod: Pod;
  podIp: string;
  readonly containers: Map<string, Probed>;
}

const titles: Readonly<Record<ProbeKind, string>> = {
  liveness: "Liveness",
  readiness: "Readiness",
  startup: "Startup",
};

export function createProbeManager(deps: ProbeManagerDeps): ProbeManager {
  const pods = new Map<string, PodProbes>();
  const total = deps.metrics.counter({
    name: "prober_probe_total",
    help: "Cumulative number of a liveness, readiness or startup probe for a container by result.",
    labelNames: ["probe_type", "result", "container", "pod", "namespace"],
  });

  const createWorkers = (entry: PodProbes, container: NamedContainer): Probed => {
    const workers: Partial<Record<ProbeKind, ProbeWorker>> = {};
    const uid = podUid(entry.pod);
    const probes = {
      startup: container.spec.startupProbe,
      liveness: container.spec.livenessProbe,
      readiness: container.spec.readinessProbe,
    };
    for (const kind of ["startup", "liveness", "readiness"] as const) {
      const probe = probes[kind];
      if (probe === undefined) continue;
      const count = (result: string): void =>
        total.increment({
          probe_type: titles[kind],
          result,
          container: container.spec.name,
          pod: entry.pod.metadata.name ?? "",
          namespace: entry.pod.metadata.namespace ?? "",
        });
      workers[kind] = createProbeWorker(kind, probe, {
        clock: deps.clock,
        run: async (one, containerId) => {
          const verdict = await runProbe(
            one,
            { container: container.spec, containerId, podIp: entry.podIp },
            deps.runtime,
            deps.userAgent,
          );
          count(verdict.kind === "success" ? "successful" : "failed");
          return verdict;
        },
        held: (containerId) =>
          workers.startup !== undefined && workers.startup.result(containerId) !== "success",
        onResult: (_containerId, result) => {
          if (kind === "startup" && result === "success") {
            workers.liveness?.release();
            workers.readiness?.release();
          }
          deps.onChange(uid);
        },
        onUnhealthy: (output, errored) => {
          if (errored) count("unknown");
          deps.recordEvent(
            entry.pod,
            container,
            "Warning",
            "Unhealthy",
            errored
              ? `${titles[kind]} probe errored and resulted in unknown state: ${output}`
              : `${titles[kind]} probe failed: ${output}`,
          );
        },
        onWarning: (output) =>
          deps.recordEvent(
            entry.pod,
            container,
            "Warning",
            "ProbeWarning",
            `${titles[kind]} probe warning: ${output}`,
          ),
      });
    }
    return { workers };
  };

  const workersOf = (uid: string, container: string): Partial<Record<ProbeKind, ProbeWorker>> =>
    pods.get(uid)?.containers.get(container)?.workers ?? {};

  return {
    sync(pod, observed, podIp, paused) {
      const uid = podUid(pod);
      const probed = allContainers(pod).filter(
        ({ spec, role }) =>
          (role === "main" || role === "sidecar") &&
          (spec.livenessProbe ?? spec.readinessProbe ?? spec.startupProbe) !== undefined,
      );
      if (probed.length === 0) return;
      const entry = pods.get(uid) ?? { pod, podIp, containers: new Map<string, Probed>() };
      pods.set(uid, entry);
      entry.pod = pod;
      if (podIp !== "") entry.podIp = podIp;
      const known = [
        ...(pod.status?.containerStatuses ?? []),
        ...(pod.status?.initContainerStatuses ?? []),
      ];
      for (const container of probed) {
        let own = entry.containers.get(container.spec.name);
        if (own === undefined) {
          own = createWorkers(entry, container);
          entry.containers.set(container.spec.name, own);
        }
        const newest = newestContainer(observed, container.spec.name);
        const running = newest?.state === "RUNNING" && !paused.has(newest.id) ? newest : undefined;
        const before = known.find((one) => one.containerID === `containerd://${running?.id}`);
        const instance = running && {
          containerId: running.id,
          startedAtMs: running.startedAtMs,
          ...(before === undefined
            ? {}
            : { adopted: { ready: before.ready, started: before.started === true } }),
        };
        for (const worker of Object.values(own.workers)) worker.follow(instance);
      }
    },
    beginTermination(uid) {
      for (const { workers } of pods.get(uid)?.containers.values() ?? []) {
        workers.liveness?.stop();
        workers.startup?.stop();
      }
    },
    remove(uid) {
      for (const { workers } of pods.get(uid)?.containers.values() ?? [])
        for (const worker of Object.values(workers)) worker.stop();
      pods.delete(uid);
    },
    outcome(uid, container, containerId) {
      const { liveness, startup } = workersOf(uid, container);
      const living = liveness?.result(containerId);
      const starting = startup?.result(containerId);
      return {
        ...(living === undefined ? {} : { liveness: living }),
        ...(starting === undefined ? {} : { startup: starting }),
      };
    },
    isStarted(pod, container, containerId) {
      return (
        container.startupProbe === undefined ||
        workersOf(podUid(pod), container.name).startup?.result(containerId) === "success"
      );
    },
    isReady(pod, container, containerId) {
      return (
        container.readinessProbe === undefined ||
        workersOf(podUid(pod), container.name).readiness?.result(containerId) === "success"
      );
    },
    stop() {
      for (const uid of pods.keys()) this.remove(uid);
    },
  };
}
