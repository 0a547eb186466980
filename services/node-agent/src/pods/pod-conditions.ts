import type { Pod } from "@wherry/machinery";
import { hasStarted } from "./pod-phase.ts";
import type { PodPhase } from "./pod-phase.ts";
import { isSidecar, podSpec } from "./pod-types.ts";
import type { ApiContainerStatus, PodCondition } from "./pod-types.ts";

type Truth = {
  readonly status: "True" | "False";
  readonly reason?: string;
  readonly message?: string;
};

const ownTypes: ReadonlySet<string> = new Set([
  "PodReadyToStartContainers",
  "Initialized",
  "Ready",
  "ContainersReady",
  "PodScheduled",
]);

/** Conditions that this agent makes; others belong to controllers and are kept as they are. */
export function isOwnCondition(type: string): boolean {
  return ownTypes.has(type);
}

export interface ConditionInputs {
  readonly pod: Pod;
  readonly phase: PodPhase;
  /** Init containers' first, then main ones'. */
  readonly statuses: readonly ApiContainerStatus[];
  readonly sandboxReady: boolean;
  /** The conditions as last known, own and others'. */
  readonly previous: readonly PodCondition[];
  readonly now: string;
}

/** All conditions of the pod: others' kept, own ones computed; `lastTransitionTime` moves only when the status does. */
export function podConditions(inputs: ConditionInputs): readonly PodCondition[] {
  const { pod, previous } = inputs;
  const others = (pod.status?.conditions ?? previous).filter(
    (one) => !ownTypes.has(one.type) && one.type !== "DisruptionTarget",
  );
  const disruption =
    previous.find((one) => one.type === "DisruptionTarget") ??
    pod.status?.conditions?.find((one) => one.type === "DisruptionTarget");
  const foreign = disruption === undefined ? others : [...others, disruption];
  const containersReady = containersReadyCondition(inputs);
  const own: readonly [string, Truth][] = [
    ["PodReadyToStartContainers", { status: inputs.sandboxReady ? "True" : "False" }],
    ["Initialized", initializedCondition(inputs)],
    ["Ready", readyCondition(pod, containersReady, foreign)],
    ["ContainersReady", containersReady],
    ["PodScheduled", { status: "True" }],
  ];
  const generation = pod.metadata.generation;
  return [
    ...foreign,
    ...own.map(([type, truth]): PodCondition => {
      const before = previous.find((one) => one.type === type);
      const since = before?.status === truth.status ? before.lastTransitionTime : undefined;
      return {
        type,
        ...(generation === undefined ? {} : { observedGeneration: generation }),
        ...truth,
        lastProbeTime: null,
        lastTransitionTime: since ?? inputs.now,
      } as unknown as PodCondition;
    }),
  ];
}

function containersReadyCondition({ pod, phase, statuses }: ConditionInputs): Truth {
  const spec = podSpec(pod);
  const watched = [...(spec.initContainers ?? []).filter(isSidecar), ...(spec.containers ?? [])];
  const byName = new Map(statuses.map((one) => [one.name, one]));
  const unknown = watched.filter((one) => !byName.has(one.name)).map((one) => one.name);
  const unready = watched
    .filter((one) => byName.get(one.name)?.ready === false)
    .map((one) => one.name);
  if (phase === "Succeeded" && unknown.length === 0)
    return { status: "False", reason: "PodCompleted" };
  if (phase === "Failed") return { status: "False", reason: "PodFailed" };
  const message = joinMessages([
    ["containers with unknown status", unknown],
    ["containers with unready status", unready],
  ]);
  return message === ""
    ? { status: "True" }
    : { status: "False", reason: "ContainersNotReady", message };
}

function readyCondition(
  pod: Pod,
  containersReady: Truth,
  conditions: readonly PodCondition[],
): Truth {
  if (containersReady.status !== "True") return containersReady;
  const problems: string[] = [];
  for (const gate of podSpec(pod).readinessGates ?? []) {
    const condition = conditions.find((one) => one.type === gate.conditionType);
    if (condition === undefined)
      problems.push(
        `corresponding condition of pod readiness gate "${gate.conditionType}" does not exist.`,
      );
    else if (condition.status !== "True")
      problems.push(
        `the status of pod readiness gate "${gate.conditionType}" is not "True", but ${condition.status}`,
      );
  }
  return problems.length === 0
    ? { status: "True" }
    : { status: "False", reason: "ReadinessGatesNotReady", message: problems.join(", ") };
}

function initializedCondition({ pod, phase, statuses }: ConditionInputs): Truth {
  const spec = podSpec(pod);
  const byName = new Map(statuses.map((one) => [one.name, one]));
  const unknown: string[] = [];
  const incomplete: string[] = [];
  for (const container of spec.initContainers ?? []) {
    const status = byName.get(container.name);
    if (status === undefined) unknown.push(container.name);
    else if (!(isSidecar(container) ? status.started === true : status.ready))
      incomplete.push(container.name);
  }
  if (phase === "Succeeded" && unknown.length === 0)
    return { status: "True", reason: "PodCompleted" };
  if ((spec.containers ?? []).some((one) => hasStarted(byName.get(one.name))))
    return { status: "True" };
  const message = joinMessages([
    ["containers with unknown status", unknown],
    ["containers with incomplete status", incomplete],
  ]);
  return message === ""
    ? { status: "True" }
    : { status: "False", reason: "ContainersNotInitialized", message };
}

/** Go prints a string list as `[a b]`. */
function joinMessages(parts: readonly (readonly [string, readonly string[]])[]): string {
  return parts
    .filter(([, names]) => names.length > 0)
    .map(([text, names]) => `${text}: [${names.join(" ")}]`)
    .join(", ");
}
