import type { Pod } from "@wherry/machinery";
import { createDeferred } from "@wherry/service-kit";
import type { KillReason } from "./decide.ts";
import { runHook } from "./hooks.ts";
import { runningContainers } from "./observed.ts";
import type { ObservedContainer, ObservedPod } from "./observed.ts";
import type { PodDeps } from "./pod-deps.ts";
import { findContainer, podSpec, podUid } from "./pod-types.ts";
import type { NamedContainer } from "./pod-types.ts";
import { isGone } from "./runtime-error-text.ts";
import { createTerminationOrder } from "./termination-order.ts";
import type { TerminationOrder } from "./termination-order.ts";

/** Ends containers gracefully: preStop hook, turn among sidecars and SIGTERM share one grace period. */
export interface PodKiller {
  killContainer(
    pod: Pod,
    container: ObservedContainer,
    message: string,
    reason: KillReason,
  ): Promise<void>;
  /** All running containers, then the sandboxes. */
  killPod(pod: Pod, observed: ObservedPod, graceOverrideSeconds: number | undefined): Promise<void>;
  /** The grace period was cut to `seconds` while containers are ending. */
  hurry(seconds: number): void;
}

const minimumGraceSeconds = 2;

interface Ending {
  readonly id: string;
  /** Aborted by `hurry`: hooks and turns are not waited for any more. */
  readonly cut: AbortController;
  graceSeconds: number;
}

export function createPodKiller(deps: PodDeps): PodKiller {
  const endings = new Set<Ending>();

  const end = async (
    pod: Pod,
    container: ObservedContainer,
    message: string,
    reason: KillReason,
    graceOverrideSeconds: number | undefined,
    order: TerminationOrder | undefined,
  ): Promise<void> => {
    const named: NamedContainer = findContainer(pod, container.name) ?? {
      spec: { name: container.name },
      role: "main",
    };
    deps.events.record(pod, named, "Normal", "Killing", message);
    const ending: Ending = {
      id: container.id,
      cut: new AbortController(),
      graceSeconds: graceOverrideSeconds ?? gracePeriod(pod, named, reason),
    };
    endings.add(ending);
    try {
      const preStop = named.spec.lifecycle?.preStop;
      if (preStop !== undefined && ending.graceSeconds > 0)
        spend(ending, await runPreStop(pod, named, container, ending));
      if (order !== undefined && ending.graceSeconds > 0 && !ending.cut.signal.aborted)
        spend(ending, await order.waitForTurn(container.name, ending.graceSeconds * 1_000));
      await deps.runtime
        .stopContainer(container.id, Math.max(ending.graceSeconds, minimumGraceSeconds))
        .catch(ignoreGone);
    } finally {
      endings.delete(ending);
      order?.ended(container.name);
    }
  };

  const runPreStop = async (
    pod: Pod,
    named: NamedContainer,
    container: ObservedContainer,
    ending: Ending,
  ): Promise<number> => {
    const startedMs = deps.clock.monotonic();
    const limit = createDeferred();
    const timer = deps.clock.setTimer(ending.graceSeconds * 1_000, () => limit.resolve());
    ending.cut.signal.addEventListener("abort", () => limit.resolve(), { once: true });
    const podIp = deps.status.get(podUid(pod))?.podIP ?? pod.status?.podIP ?? "";
    const hook = runHook(
      named.spec.lifecycle?.preStop ?? {},
      { container: named.spec, containerId: container.id, podIp },
      deps,
      ending.cut.signal,
    ).catch((error: unknown) => {
      if (ending.cut.signal.aborted) return;
      deps.log.warn(
        {
          err: error,
          namespace: pod.metadata.namespace,
          name: pod.metadata.name,
          container: named.spec.name,
        },
        "a preStop hook failed",
      );
      deps.events.record(pod, named, "Warning", "FailedPreStopHook", "PreStopHook failed");
    });
    await Promise.race([hook, limit.promise]);
    timer.cancel();
    return deps.clock.monotonic() - startedMs;
  };

  return {
    killContainer: (pod, container, message, reason) =>
      end(pod, container, message, reason, undefined, undefined),
    async killPod(pod, observed, graceOverrideSeconds) {
      const running = runningContainers(observed);
      const order = createTerminationOrder(
        pod,
        running.map((one) => one.name),
        deps.clock,
      );
      await Promise.all(
        running.map((one) =>
          end(pod, one, `Stopping container ${one.name}`, "unknown", graceOverrideSeconds, order),
        ),
      );
      for (const sandbox of observed.sandboxes) {
        if (sandbox.ready) await deps.runtime.stopPodSandbox(sandbox.id).catch(ignoreGone);
      }
    },
    hurry(seconds) {
      for (const ending of endings) {
        if (ending.graceSeconds <= seconds) continue;
        ending.graceSeconds = seconds;
        ending.cut.abort(new Error("the grace period was cut short"));
        // A second stop with a shorter time overtakes the first.
        deps.runtime
          .stopContainer(ending.id, Math.max(seconds, minimumGraceSeconds))
          .catch((error: unknown) => {
            if (!isGone(error))
              deps.log.warn(
                { err: error, containerId: ending.id },
                "stopping a container sooner failed; its first stop goes on",
              );
          });
      }
    },
  };
}

/** What was spent is taken off in whole seconds, as upstream does. */
function spend(ending: Ending, milliseconds: number): void {
  ending.graceSeconds = Math.max(ending.graceSeconds - Math.floor(milliseconds / 1_000), 0);
}

/** The deletion's own period, else a failed probe's, else the pod's. */
export function gracePeriod(pod: Pod, { spec }: NamedContainer, reason: KillReason): number {
  if (pod.metadata.deletionGracePeriodSeconds !== undefined)
    return pod.metadata.deletionGracePeriodSeconds;
  const whole = podSpec(pod).terminationGracePeriodSeconds;
  if (whole === undefined) return minimumGraceSeconds;
  const probe =
    reason === "startupProbe"
      ? spec.startupProbe
      : reason === "livenessProbe"
        ? spec.livenessProbe
        : undefined;
  return probe?.terminationGracePeriodSeconds ?? whole;
}

function ignoreGone(error: unknown): void {
  if (!isGone(error)) throw error;
}
