import type { Clock, Timer } from "@wherry/service-kit";
import type { ProbeResult } from "../pods/decide.ts";
import type { ProbeSpec } from "../pods/pod-types.ts";
import type { ProbeVerdict } from "./run-probe.ts";

export type ProbeKind = "liveness" | "readiness" | "startup";

/** The running instance that a worker probes. */
export interface ProbedInstance {
  readonly containerId: string;
  readonly startedAtMs: number;
  /** What was known of it before the agent started; undefined for an instance that this agent started itself. */
  readonly adopted?: { readonly ready: boolean; readonly started: boolean };
}

export interface ProbeWorker {
  readonly kind: ProbeKind;
  /** Result for `containerId`; undefined when it is not the probed one. */
  result(containerId: string): ProbeResult | undefined;
  /** Tells which instance runs now; undefined: none. */
  follow(instance: ProbedInstance | undefined): void;
  /** The startup probe has passed: liveness and readiness begin. */
  release(): void;
  stop(): void;
}

export interface ProbeWorkerDeps {
  readonly clock: Clock;
  readonly run: (probe: ProbeSpec, containerId: string) => Promise<ProbeVerdict>;
  /** The result changed. */
  readonly onResult: (containerId: string, result: ProbeResult) => void;
  readonly onUnhealthy: (output: string, errored: boolean) => void;
  readonly onWarning: (output: string) => void;
  /** Whether liveness and readiness must wait for a startup probe. */
  readonly held: (containerId: string) => boolean;
}

const firstResult: Readonly<Record<ProbeKind, ProbeResult>> = {
  liveness: "success",
  readiness: "failure",
  startup: "unknown",
};
/** A probe that could not be run is tried this often before the round is given up. */
const triesMax = 3;

/**
 * One probe of one container. A timer is armed only while an instance runs and its result can still change:
 * a startup probe rests once it passed, and liveness and startup rest after failing until a new instance comes.
 */
export function createProbeWorker(
  kind: ProbeKind,
  probe: ProbeSpec,
  deps: ProbeWorkerDeps,
): ProbeWorker {
  const { clock } = deps;
  const periodMs = (probe.periodSeconds ?? 10) * 1_000;
  const failuresNeeded = probe.failureThreshold ?? 3;
  const successesNeeded = probe.successThreshold ?? 1;
  let instance: ProbedInstance | undefined;
  let current: ProbeResult = firstResult[kind];
  let streak: { readonly verdict: "success" | "failure"; readonly length: number } | undefined;
  let timer: Timer | undefined;
  let resting = false;
  let busy = false;
  let stopped = false;

  const arm = (delayMs: number): void => {
    timer?.cancel();
    timer =
      stopped || resting || instance === undefined
        ? undefined
        : clock.setTimer(delayMs, () => void round());
  };

  const round = async (): Promise<void> => {
    timer = undefined;
    const probed = instance;
    if (probed === undefined || busy || stopped || resting) return;
    if (kind !== "startup" && deps.held(probed.containerId)) return; // `release` wakes it.
    busy = true;
    const startedMs = clock.monotonic();
    const verdict = await attempt(probed.containerId);
    busy = false;
    if (stopped) return;
    if (instance?.containerId !== probed.containerId) {
      // Another instance came up meanwhile; its own round could not start while this one ran.
      if (instance !== undefined) arm(firstDelayMs(instance));
      return;
    }
    if (verdict !== undefined) settle(probed.containerId, verdict);
    arm(Math.max(periodMs - (clock.monotonic() - startedMs), 0));
  };

  const attempt = async (containerId: string): Promise<ProbeVerdict | undefined> => {
    let failure: unknown;
    for (let attempt = 0; attempt < triesMax; attempt += 1) {
      try {
        return await deps.run(probe, containerId);
      } catch (error) {
        failure = error;
      }
    }
    if (instance?.containerId === containerId)
      deps.onUnhealthy(failure instanceof Error ? failure.message : String(failure), true);
    return undefined;
  };

  const settle = (containerId: string, verdict: ProbeVerdict): void => {
    if (verdict.kind === "failure") deps.onUnhealthy(verdict.output, false);
    else if (verdict.warning !== undefined) deps.onWarning(verdict.warning);
    streak = {
      verdict: verdict.kind,
      length: streak?.verdict === verdict.kind ? streak.length + 1 : 1,
    };
    if (streak.length < (verdict.kind === "failure" ? failuresNeeded : successesNeeded)) return;
    if (kind !== "readiness" && verdict.kind === "failure") resting = true;
    if (kind === "startup" && verdict.kind === "success") resting = true;
    if (current === verdict.kind) return;
    current = verdict.kind;
    deps.onResult(containerId, current);
  };

  const firstDelayMs = (one: ProbedInstance): number =>
    Math.max(one.startedAtMs + (probe.initialDelaySeconds ?? 0) * 1_000 - clock.now(), 0);

  return {
    kind,
    result: (containerId) => (instance?.containerId === containerId ? current : undefined),
    follow(next) {
      if (next?.containerId === instance?.containerId) return;
      timer?.cancel();
      timer = undefined;
      instance = next;
      streak = undefined;
      resting = false;
      current = firstResult[kind];
      if (next === undefined) return;
      // What ran before the agent did keeps its standing until a probe says otherwise.
      if (kind === "readiness" && next.adopted?.ready === true) current = "success";
      if (kind === "startup" && next.adopted?.started === true) {
        current = "success";
        resting = true;
      }
      arm(firstDelayMs(next));
    },
    release() {
      if (timer === undefined && !busy && instance !== undefined) arm(firstDelayMs(instance));
    },
    stop() {
      stopped = true;
      timer?.cancel();
      timer = undefined;
    },
  };
}
