import {
  ApiError,
  labelSelectorFrom,
  newForbidden,
  newTooManyRequests,
  type Condition,
  type KubeObject,
  type LabelSelector,
} from "@wherry/machinery";

export interface DisruptionBudget extends KubeObject {
  readonly spec?: {
    readonly selector?: LabelSelector;
    readonly unhealthyPodEvictionPolicy?: string;
  };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly disruptionsAllowed?: number;
    readonly currentHealthy?: number;
    readonly desiredHealthy?: number;
    readonly expectedPods?: number;
    readonly disruptedPods?: Readonly<Record<string, string>>;
    readonly conditions?: readonly Condition[];
  };
}

export interface EvictablePod extends KubeObject {
  readonly status?: { readonly phase?: string; readonly conditions?: readonly Condition[] };
}

/** Evictions that the budget's controller has not confirmed yet; beyond this it counts as stuck. */
const disruptedPodsMax = 2000;
const refusal = "Cannot evict pod as it would violate the pod's disruption budget.";
const budgetResource = { group: "policy", resource: "poddisruptionbudgets" };

/** A pod that has ended, has not begun or is going already takes nothing from a budget. */
export function needsNoBudget(pod: EvictablePod): boolean {
  return (
    pod.metadata.deletionTimestamp !== undefined ||
    ["Succeeded", "Failed", "Pending"].includes(pod.status?.phase ?? "")
  );
}

export function budgetsOf(
  pod: EvictablePod,
  budgets: readonly DisruptionBudget[],
): readonly DisruptionBudget[] {
  return budgets.filter(
    (budget) =>
      budget.spec?.selector !== undefined &&
      labelSelectorFrom(budget.spec.selector).matches(pod.metadata.labels ?? {}),
  );
}

/** A pod that is not ready may go without touching the budget if the budget's policy says so. */
export function unhealthyPodMayGo(pod: EvictablePod, budget: DisruptionBudget): boolean {
  if (
    pod.status?.conditions?.some(
      (condition) => condition.type === "Ready" && condition.status === "True",
    )
  )
    return false;
  if (budget.spec?.unhealthyPodEvictionPolicy === "AlwaysAllow") return true;
  const { currentHealthy = 0, desiredHealthy = 0 } = budget.status ?? {};
  return desiredHealthy > 0 && currentHealthy >= desiredHealthy;
}

/** The budget's status after one more eviction; throws what the client is told when it allows none. */
export function takeDisruption(
  budget: DisruptionBudget,
  podName: string,
  time: string,
): NonNullable<DisruptionBudget["status"]> {
  const name = budget.metadata.name ?? "";
  const status = budget.status ?? {};
  const allowed = status.disruptionsAllowed ?? 0;
  if ((status.observedGeneration ?? 0) < (budget.metadata.generation ?? 0)) {
    throw tooManyRequests(
      10,
      `The disruption budget ${name} is still being processed by the server.`,
    );
  }
  if (allowed < 0) throw newForbidden(budgetResource, name, "pdb disruptions allowed is negative");
  if (Object.keys(status.disruptedPods ?? {}).length > disruptedPodsMax) {
    throw newForbidden(
      budgetResource,
      name,
      "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
    );
  }
  if (allowed === 0) {
    throw tooManyRequests(
      0,
      `The disruption budget ${name} needs ${status.desiredHealthy ?? 0} healthy pods and has ${status.currentHealthy ?? 0} currently`,
    );
  }
  return {
    ...status,
    disruptionsAllowed: allowed - 1,
    disruptedPods: { ...status.disruptedPods, [podName]: time },
    ...(allowed === 1
      ? { conditions: withoutAllowance(status.conditions ?? [], budget.metadata.generation, time) }
      : {}),
  };
}

function withoutAllowance(
  conditions: readonly Condition[],
  generation: number | undefined,
  time: string,
): readonly Condition[] {
  const known = conditions.find((condition) => condition.type === "DisruptionAllowed");
  const next: Condition = {
    type: "DisruptionAllowed",
    status: "False",
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    lastTransitionTime:
      known?.status === "False" && known.lastTransitionTime ? known.lastTransitionTime : time,
    reason: "InsufficientPods",
    message: "",
  };
  return known === undefined
    ? [...conditions, next]
    : conditions.map((condition) => (condition === known ? next : condition));
}

function tooManyRequests(retryAfterSeconds: number, why: string): ApiError {
  const { status } = newTooManyRequests(refusal, retryAfterSeconds);
  return new ApiError({
    ...status,
    details: { ...status.details, causes: [{ reason: "DisruptionBudget", message: why }] },
  });
}
