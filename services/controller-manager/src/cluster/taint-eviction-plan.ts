import { toleratesTaint, type Pod, type Taint, type Toleration } from "@wherry/machinery";

/** When a pod has to leave a node because of its NoExecute taints; pure. */
export type EvictionPlan =
  | { readonly kind: "stay" }
  | { readonly kind: "leave"; readonly afterMs: number };

/** Each taint is answered by the first toleration that covers it; the shortest of these counts, those without a limit last for ever. */
export function planEviction(
  tolerations: readonly Toleration[],
  taints: readonly Taint[],
): EvictionPlan {
  const used: Toleration[] = [];
  for (const taint of taints) {
    const toleration = tolerations.find((one) => toleratesTaint(one, taint));
    if (toleration === undefined) return { kind: "leave", afterMs: 0 };
    used.push(toleration);
  }
  const seconds = used.flatMap(({ tolerationSeconds }) =>
    tolerationSeconds === undefined ? [] : [Math.max(tolerationSeconds, 0)],
  );
  return seconds.length === 0
    ? { kind: "stay" }
    : { kind: "leave", afterMs: Math.min(...seconds) * 1_000 };
}

export function noExecuteTaints(taints: readonly Taint[] | undefined): readonly Taint[] {
  return (taints ?? []).filter((taint) => taint.effect === "NoExecute");
}

/** A pending eviction keeps the time at which it began; a limit that has become shorter brings it forward. */
export function planPending(
  pod: Pod,
  taints: readonly Taint[],
  sinceMs: number | undefined,
  nowMs: number,
): { readonly sinceMs: number; readonly dueMs: number } | undefined {
  const plan = planEviction(pod.spec.tolerations ?? [], taints);
  if (taints.length === 0 || plan.kind === "stay") return undefined;
  const start = plan.afterMs === 0 ? nowMs : (sinceMs ?? nowMs);
  return { sinceMs: start, dueMs: start + plan.afterMs };
}
