import type { Json } from "@wherry/machinery";
import { containerStatuses } from "./container-statuses.ts";
import type { ContainerStatusInputs } from "./container-statuses.ts";
import { hasUsableSandbox } from "./decide.ts";
import { podConditions } from "./pod-conditions.ts";
import { podPhase } from "./pod-phase.ts";
import type { PodPhase } from "./pod-phase.ts";
import { isHostNetwork, isTerminalPhase, podSpec } from "./pod-types.ts";
import type { PodStatus } from "./pod-types.ts";
import { qosClass } from "./qos.ts";

export interface PodStatusInputs extends Omit<ContainerStatusInputs, "previous"> {
  /** As last reported by this agent, else the API's. */
  readonly previous: PodStatus;
  /** No container will be started again. */
  readonly ending: boolean;
  /** Decided from outside: eviction, deadline, refused admission. */
  readonly verdict?: {
    readonly phase: "Failed";
    readonly reason: string;
    readonly message: string;
  };
  readonly hostIps: readonly string[];
  readonly startTime: string;
  readonly now: string;
}

/** The whole status of a pod, from what the runtime shows. Pure. */
export function generatePodStatus(inputs: PodStatusInputs): PodStatus {
  const { pod, previous, observed } = inputs;
  const spec = podSpec(pod);
  const statusInputs: ContainerStatusInputs = {
    ...inputs,
    previous: [
      ...(previous.initContainerStatuses ?? []),
      ...(previous.containerStatuses ?? []),
      ...(previous.ephemeralContainerStatuses ?? []),
    ],
  };
  const main = containerStatuses(statusInputs, spec.containers ?? [], "main");
  const init = containerStatuses(statusInputs, spec.initContainers ?? [], "init");
  const ephemeral = containerStatuses(statusInputs, spec.ephemeralContainers ?? [], "ephemeral");
  const known = [...init, ...main];

  const natural = podPhase(pod, known, inputs.ending);
  // A pod that ends without having run its course has failed.
  const computed: PodPhase =
    inputs.verdict?.phase ?? (inputs.ending && !isTerminalPhase(natural) ? "Failed" : natural);
  const final = [pod.status?.phase, previous.phase].find(isTerminalPhase) as PodPhase | undefined;
  const phase = final ?? computed;
  const keepsReason = phase === previous.phase;
  const reason = inputs.verdict?.reason ?? (keepsReason ? previous.reason : undefined);
  const message = inputs.verdict?.message ?? (keepsReason ? previous.message : undefined);
  const ips = podIps(inputs);
  const primary = ips[0];
  const host = inputs.hostIps[0];
  const generation = pod.metadata.generation;
  return {
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    phase,
    conditions: podConditions({
      pod,
      phase,
      statuses: known,
      sandboxReady: hasUsableSandbox(pod, observed),
      previous: previous.conditions ?? pod.status?.conditions ?? [],
      now: inputs.now,
    }),
    ...(reason === undefined ? {} : { reason }),
    ...(message === undefined ? {} : { message }),
    ...(host === undefined ? {} : { hostIP: host, hostIPs: inputs.hostIps.map((ip) => ({ ip })) }),
    ...(primary === undefined ? {} : { podIP: primary, podIPs: ips.map((ip) => ({ ip })) }),
    startTime: previous.startTime ?? inputs.startTime,
    ...(init.length === 0 ? {} : { initContainerStatuses: init }),
    ...(main.length === 0 ? {} : { containerStatuses: main }),
    ...(ephemeral.length === 0 ? {} : { ephemeralContainerStatuses: ephemeral }),
    qosClass: qosClass(pod),
  };
}

function podIps({ pod, observed, previous, hostIps }: PodStatusInputs): readonly string[] {
  if (isHostNetwork(pod)) return hostIps;
  const sandbox = observed.sandboxes.find((one) => one.ready) ?? observed.sandboxes[0];
  if (sandbox !== undefined && sandbox.ready && sandbox.ips.length > 0) return sandbox.ips;
  // An ended pod keeps the address it had, for whoever reads its logs.
  return (previous.podIPs ?? []).map((one) => one.ip ?? "");
}

/**
 * The strategic merge patch that turns `from` into `to`. Conditions merge by type and pod addresses by address; other lists are replaced.
 * Undefined: nothing to write.
 */
export function podStatusPatch(from: PodStatus, to: PodStatus): Json | undefined {
  const patch: Record<string, Json> = {};
  const keys = new Set([...Object.keys(from), ...Object.keys(to)] as (keyof PodStatus)[]);
  for (const key of keys) {
    if (!ownKeys.has(key)) continue;
    const before = from[key] as Json | undefined;
    const after = to[key] as Json | undefined;
    if (same(before, after)) continue;
    if (key === "conditions") patch[key] = conditionsPatch(from, to);
    else if (key === "podIPs") patch[key] = [{ $patch: "replace" }, ...((after ?? []) as Json[])];
    else patch[key] = after ?? null;
  }
  return Object.keys(patch).length === 0 ? undefined : patch;
}

const ownKeys: ReadonlySet<string> = new Set([
  "observedGeneration",
  "phase",
  "conditions",
  "reason",
  "message",
  "hostIP",
  "hostIPs",
  "podIP",
  "podIPs",
  "startTime",
  "initContainerStatuses",
  "containerStatuses",
  "ephemeralContainerStatuses",
  "qosClass",
]);

function conditionsPatch(from: PodStatus, to: PodStatus): Json {
  const changed = (to.conditions ?? []).filter(
    (one) =>
      !same(
        one as unknown as Json,
        from.conditions?.find((other) => other.type === one.type) as unknown as Json,
      ),
  );
  // A reason or message that is gone must be taken away by name.
  return changed.map((one) => {
    const before = from.conditions?.find((other) => other.type === one.type);
    const gone = (["reason", "message"] as const).filter(
      (key) => before?.[key] !== undefined && one[key] === undefined,
    );
    return {
      ...(one as unknown as Record<string, Json>),
      ...Object.fromEntries(gone.map((key) => [key, null])),
    };
  });
}

/** Equality of JSON values, whatever the order of keys; null and absent are the same. */
export function same(a: Json | undefined, b: Json | undefined): boolean {
  if (a === b || (a ?? undefined) === (b ?? undefined)) return true;
  if (
    typeof a !== "object" ||
    typeof b !== "object" ||
    a === null ||
    b === null ||
    Array.isArray(a) !== Array.isArray(b)
  )
    return false;
  const left = a as Record<string, Json | undefined>;
  const right = b as Record<string, Json | undefined>;
  if (Array.isArray(a) && a.length !== (b as readonly Json[]).length) return false;
  return new Set([...Object.keys(left), ...Object.keys(right)])
    .values()
    .every((key) => same(left[key], right[key]));
}
