import type { Pod } from "@wherry/machinery";
import { cpuMilli, memoryBytes, wholeUnits } from "./amounts.ts";
import { isNodeCritical, isSidecar, podSpec } from "./pod-types.ts";
import type { ContainerSpec, ResourceRequirements } from "./pod-types.ts";

export type QosClass = "Guaranteed" | "Burstable" | "BestEffort";

/** The quality-of-service class, from requests and limits of cpu and memory of all containers (or of the pod as a whole when it states them). */
export function qosClass(pod: Pod): QosClass {
  const spec = podSpec(pod);
  const whole = podResources(pod);
  const parts =
    whole === undefined
      ? [...(spec.containers ?? []), ...(spec.initContainers ?? [])].map(
          (one) => one.resources ?? {},
        )
      : [whole];
  let anyAmount = false;
  let allLimited = true;
  let equal = true;
  for (const part of parts) {
    for (const [name, amount] of computeAmounts) {
      const request = amount(part.requests?.[name]);
      const limit = amount(part.limits?.[name]);
      if (request > 0 || limit > 0) anyAmount = true;
      if (limit === 0) allLimited = false;
      // An absent request is the limit: the API server defaults it so.
      if (request > 0 && request !== limit) equal = false;
    }
  }
  if (!anyAmount) return "BestEffort";
  return allLimited && equal ? "Guaranteed" : "Burstable";
}

const computeAmounts = [
  ["cpu", cpuMilli],
  ["memory", memoryBytes],
] as const;

function podResources(pod: Pod): ResourceRequirements | undefined {
  const whole = podSpec(pod).resources;
  return whole?.requests === undefined && whole?.limits === undefined ? undefined : whole;
}

/** Amounts by resource name: cpu in milli-units, all else in whole units. */
export type Amounts = Readonly<Record<string, number>>;

/** What a pod asks of a node at most at any one time: the main containers with all sidecars, or an init container with the sidecars before it. */
export function podRequests(pod: Pod): Amounts {
  return podAmounts(pod, "requests");
}

/** Sum of limits; a resource that one main container leaves unlimited is left out. */
export function podLimits(pod: Pod): Amounts {
  const limits = podAmounts(pod, "limits");
  const spec = podSpec(pod);
  const running = [...(spec.containers ?? []), ...(spec.initContainers ?? []).filter(isSidecar)];
  const whole = podResources(pod)?.limits ?? {};
  return Object.fromEntries(
    Object.entries(limits).filter(
      ([name]) =>
        name in whole || running.every((one) => one.resources?.limits?.[name] !== undefined),
    ),
  );
}

function podAmounts(pod: Pod, kind: "requests" | "limits"): Amounts {
  const spec = podSpec(pod);
  const sidecars: Record<string, number> = {};
  const peak: Record<string, number> = {};
  for (const container of spec.initContainers ?? []) {
    const own = amountsOf(container, kind);
    if (isSidecar(container)) {
      addAmounts(sidecars, own);
      raiseAmounts(peak, sidecars);
    } else raiseAmounts(peak, sumAmounts(sidecars, own));
  }
  const main: Record<string, number> = { ...sidecars };
  for (const container of spec.containers ?? []) addAmounts(main, amountsOf(container, kind));
  raiseAmounts(peak, main);
  for (const [name, quantity] of Object.entries(podResources(pod)?.[kind] ?? {}))
    peak[name] = amountOf(name, quantity);
  for (const [name, quantity] of Object.entries(spec.overhead ?? {})) {
    if (kind === "requests" || name in peak)
      peak[name] = (peak[name] ?? 0) + amountOf(name, quantity);
  }
  return peak;
}

function amountsOf(container: ContainerSpec, kind: "requests" | "limits"): Amounts {
  return Object.fromEntries(
    Object.entries(container.resources?.[kind] ?? {}).map(([name, quantity]) => [
      name,
      amountOf(name, quantity),
    ]),
  );
}

export function amountOf(name: string, quantity: string | number | undefined): number {
  return name === "cpu" ? cpuMilli(quantity) : wholeUnits(quantity);
}

function addAmounts(target: Record<string, number>, more: Amounts): void {
  for (const [name, amount] of Object.entries(more)) target[name] = (target[name] ?? 0) + amount;
}

function sumAmounts(a: Amounts, b: Amounts): Amounts {
  const sum = { ...a };
  addAmounts(sum, b);
  return sum;
}

function raiseAmounts(target: Record<string, number>, floor: Amounts): void {
  for (const [name, amount] of Object.entries(floor))
    target[name] = Math.max(target[name] ?? 0, amount);
}

const guaranteedOomScore = -997;

/** oom_score_adj of one container: the less of its requested memory a container is entitled to, the sooner it goes. */
export function oomScoreAdjust(
  pod: Pod,
  container: ContainerSpec,
  memoryCapacityBytes: number,
): number {
  if (isNodeCritical(pod)) return guaranteedOomScore;
  const quality = qosClass(pod);
  if (quality === "Guaranteed") return guaranteedOomScore;
  if (quality === "BestEffort") return 1_000;
  const own = burstableScore(container, memoryCapacityBytes);
  const spec = podSpec(pod);
  const sidecar = (spec.initContainers ?? []).some(
    (one) => one.name === container.name && isSidecar(one),
  );
  // A sidecar must not go before the containers it serves.
  return sidecar
    ? Math.min(
        own,
        ...(spec.containers ?? []).map((one) => burstableScore(one, memoryCapacityBytes)),
      )
    : own;
}

function burstableScore(container: ContainerSpec, memoryCapacityBytes: number): number {
  const request = memoryBytes(container.resources?.requests?.["memory"]);
  const score = 1_000 - Math.floor((1_000 * request) / memoryCapacityBytes);
  return Math.min(Math.max(score, 1_000 + guaranteedOomScore), 999);
}
