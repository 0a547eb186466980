/** policy/v1. Required fields are those that every stored object has. */
import type { IntOrString } from "../int-or-string.ts";
import type { Condition, JsonObject, KubeObject, LabelSelector } from "../meta.ts";

export interface PodDisruptionBudget extends KubeObject {
  readonly spec: PodDisruptionBudgetSpec;
  readonly status?: PodDisruptionBudgetStatus;
}

export interface PodDisruptionBudgetSpec {
  readonly maxUnavailable?: IntOrString;
  readonly minAvailable?: IntOrString;
  readonly selector?: LabelSelector;
  readonly unhealthyPodEvictionPolicy?: string;
}

export interface PodDisruptionBudgetStatus {
  readonly conditions?: readonly Condition[];
  readonly currentHealthy?: number;
  readonly desiredHealthy?: number;
  readonly disruptedPods?: Readonly<Record<string, string>>;
  readonly disruptionsAllowed?: number;
  readonly expectedPods?: number;
  readonly observedGeneration?: number;
}

export interface Eviction extends KubeObject {
  readonly deleteOptions?: JsonObject;
}
