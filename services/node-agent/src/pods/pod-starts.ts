import type { PodSandboxConfig } from "@wherry/cri-api";
import type { Pod } from "@wherry/machinery";
import type { ReadyVolume } from "../volumes/volume-manager.ts";
import { formatGoDuration } from "./backoff.ts";
import type { BackoffEntry } from "./backoff.ts";
import type { StartFailure } from "./container-statuses.ts";
import { startContainer } from "./container-starter.ts";
import type { PodAction } from "./decide.ts";
import type { PodFacts } from "./field-reference.ts";
import type { ObservedPod } from "./observed.ts";
import type { PodDeps } from "./pod-deps.ts";
import { findContainer, formatPod } from "./pod-types.ts";

type StartAction = Extract<PodAction, { kind: "startContainer" }>;

/** The starts of one pod's containers, and why those that are held up are. */
export interface PodStarts {
  start(action: StartAction, context: StartContext): Promise<StartOutcome>;
  holdBack(action: Extract<PodAction, { kind: "holdBack" }>, pod: Pod): void;
  backoff(container: string): BackoffEntry | undefined;
  /** The waiting reason of a container that should run. */
  failure(container: string): StartFailure | undefined;
  /** Instances whose postStart hook has not ended. */
  readonly hooked: ReadonlySet<string>;
  /** What failed for want of a reference, or of its sandbox, may be tried at once. */
  release(reasons: readonly string[]): void;
  /** The earliest time at which a held-up start may be tried; undefined: none waits for time. */
  retryAtMs(): number | undefined;
}

export interface StartContext {
  readonly pod: Pod;
  readonly observed: ObservedPod;
  readonly sandbox: PodSandboxConfig;
  readonly volumes: readonly ReadyVolume[];
  readonly facts: PodFacts;
  readonly signal: AbortSignal;
}

export type StartOutcome =
  /** The runtime's state changed. */
  | { readonly kind: "acted" }
  /** Held up; nothing changed. */
  | { readonly kind: "held" }
  /** The instance must be ended. */
  | { readonly kind: "hookFailed"; readonly containerId: string };

interface HeldUp extends StartFailure {
  /** Undefined: at the next round. */
  readonly retryAtMs: number | undefined;
}

export function createPodStarts(deps: PodDeps): PodStarts {
  const { clock } = deps;
  const backoffs = new Map<string, BackoffEntry>();
  const heldUp = new Map<string, HeldUp>();
  const hooked = new Set<string>();
  const announced = new Map<string, number>();

  return {
    hooked,
    backoff: (container) => backoffs.get(container),
    failure: (container) => heldUp.get(container),
    async start(action, context) {
      const held = heldUp.get(action.name);
      if (held?.retryAtMs !== undefined && held.retryAtMs > clock.now()) return { kind: "held" };
      const onHook = (id: string): void => void hooked.add(id);
      const onHookEnded = (id: string): void => void hooked.delete(id);
      const result = await startContainer({ ...context, action, onHook, onHookEnded }, deps);
      if (result.kind === "aborted") return { kind: "acted" };
      if (result.kind === "failed") {
        heldUp.set(action.name, {
          reason: result.reason,
          message: result.message,
          retryAtMs: result.retryAtMs ?? Number.POSITIVE_INFINITY,
        });
        return { kind: "held" };
      }
      // Only a start that came about counts towards the back-off of the next.
      if (action.backoff !== undefined) backoffs.set(action.name, action.backoff);
      if (result.kind === "started") {
        heldUp.delete(action.name);
        return { kind: "acted" };
      }
      heldUp.set(action.name, {
        reason: "PostStartHookError",
        message: result.message,
        retryAtMs: undefined,
      });
      return { kind: "hookFailed", containerId: result.containerId };
    },
    holdBack(action, pod) {
      const message = `back-off ${formatGoDuration(action.delayMs)} restarting failed container=${action.name} pod=${formatPod(pod)}`;
      heldUp.set(action.name, { reason: "CrashLoopBackOff", message, retryAtMs: action.untilMs });
      if (announced.get(action.name) === action.untilMs) return;
      announced.set(action.name, action.untilMs);
      deps.events.record(
        pod,
        findContainer(pod, action.name),
        "Warning",
        "BackOff",
        `Back-off restarting failed container ${action.name} in pod ${formatPod(pod)}`,
      );
    },
    release(reasons) {
      for (const [name, held] of heldUp)
        if (reasons.includes(held.reason)) heldUp.set(name, { ...held, retryAtMs: undefined });
    },
    retryAtMs() {
      const times = [...heldUp.values()].flatMap((one) =>
        one.retryAtMs !== undefined && Number.isFinite(one.retryAtMs) && one.retryAtMs > clock.now()
          ? [one.retryAtMs]
          : [],
      );
      return times.length === 0 ? undefined : Math.min(...times);
    },
  };
}
