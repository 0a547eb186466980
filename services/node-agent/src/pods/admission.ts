import type { Node, Pod } from "@wherry/machinery";
import { allContainers, isNodeCritical, podSpec } from "./pod-types.ts";
import { amountOf, podRequests } from "./qos.ts";
import type { Amounts } from "./qos.ts";

/** Why this node does not take a pod, in the words of the pod's status. */
export interface Refusal {
  readonly reason: string;
  /** For the event; the status' message has "Pod was rejected: " before it. */
  readonly message: string;
}

export interface AdmissionInputs {
  readonly pod: Pod;
  /** Pods that this node has taken and that have not ended. */
  readonly others: readonly Pod[];
  readonly node: Node;
  readonly allowedUnsafeSysctls: readonly string[];
  readonly appArmorEnabled: boolean;
}

/** The node's own check of a pod that was bound to it: the scheduler may have decided from an older picture, or not have been asked. */
export function admitPod(inputs: AdmissionInputs): Refusal | undefined {
  return refuseFeatures(inputs) ?? refusePlacement(inputs) ?? refuseResources(inputs);
}

const safeSysctls: ReadonlySet<string> = new Set([
  "kernel.shm_rmid_forced",
  "net.ipv4.ip_local_port_range",
  "net.ipv4.ip_local_reserved_ports",
  "net.ipv4.ip_unprivileged_port_start",
  "net.ipv4.ping_group_range",
  "net.ipv4.tcp_fin_timeout",
  "net.ipv4.tcp_keepalive_intvl",
  "net.ipv4.tcp_keepalive_probes",
  "net.ipv4.tcp_keepalive_time",
  "net.ipv4.tcp_rmem",
  "net.ipv4.tcp_syncookies",
  "net.ipv4.tcp_wmem",
]);

function refuseFeatures({
  pod,
  allowedUnsafeSysctls,
  appArmorEnabled,
}: AdmissionInputs): Refusal | undefined {
  const spec = podSpec(pod);
  if (spec.os !== undefined && spec.os.name !== "linux")
    return {
      reason: "PodOSNotSupported",
      message: "Failed to admit pod as the OS field doesn't match node OS",
    };
  if (spec.hostUsers === false)
    return {
      reason: "UserNamespaces",
      message: "hostUsers: false is not supported by this version of the node agent",
    };
  for (const { name } of spec.securityContext?.sysctls ?? []) {
    const dotted = name.replaceAll("/", ".");
    if (!safeSysctls.has(dotted) && !allowedUnsafeSysctls.includes(dotted))
      return {
        reason: "SysctlForbidden",
        message: `forbidden sysctl: "${dotted}" not allowlisted`,
      };
  }
  const profiles = [
    spec.securityContext?.appArmorProfile,
    ...allContainers(pod).map((one) => one.spec.securityContext?.appArmorProfile),
  ];
  for (const profile of profiles) {
    if (profile === undefined || profile.type === "Unconfined") continue;
    if (!appArmorEnabled)
      return {
        reason: "AppArmor",
        message: "Cannot enforce AppArmor: AppArmor is not enabled on the host",
      };
    if (profile.type === "Localhost")
      return {
        reason: "AppArmor",
        message: `Cannot enforce AppArmor: profile type Localhost is not supported by this version of the node agent`,
      };
  }
  return undefined;
}

function refusePlacement({ pod, node }: AdmissionInputs): Refusal | undefined {
  const spec = podSpec(pod);
  const labels = node.metadata.labels ?? {};
  const selected = Object.entries(spec.nodeSelector ?? {}).every(
    ([key, value]) => labels[key] === value,
  );
  const terms =
    spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  const near = terms === undefined || terms.some((term) => matchesTerm(term, node));
  if (!selected || !near)
    return {
      reason: "NodeAffinity",
      message: "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
    };
  for (const taint of node.spec?.taints ?? []) {
    if (taint.effect !== "NoExecute") continue;
    const tolerated = (spec.tolerations ?? []).some((one) => tolerates(one, taint));
    if (!tolerated)
      return {
        reason: "TaintToleration",
        message: `Predicate TaintToleration failed: node(s) had untolerated taint {${taint.key}: ${taint.value ?? ""}}`,
      };
  }
  return undefined;
}

type Term = NonNullable<
  NonNullable<
    NonNullable<ReturnType<typeof podSpec>["affinity"]>["nodeAffinity"]
  >["requiredDuringSchedulingIgnoredDuringExecution"]
>["nodeSelectorTerms"][number];

function matchesTerm(term: Term, node: Node): boolean {
  const expressions = term.matchExpressions ?? [];
  const fields = term.matchFields ?? [];
  if (expressions.length + fields.length === 0) return false;
  const labels = node.metadata.labels ?? {};
  return (
    expressions.every((one) => matchesRequirement(one, labels[one.key])) &&
    fields.every(
      (one) => one.key === "metadata.name" && matchesRequirement(one, node.metadata.name),
    )
  );
}

function matchesRequirement(
  requirement: { readonly operator: string; readonly values?: readonly string[] },
  value: string | undefined,
): boolean {
  const values = requirement.values ?? [];
  switch (requirement.operator) {
    case "In":
      return value !== undefined && values.includes(value);
    case "NotIn":
      return value === undefined || !values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
    case "Gt":
      return value !== undefined && Number(value) > Number(values[0]);
    case "Lt":
      return value !== undefined && Number(value) < Number(values[0]);
    default:
      return false;
  }
}

type Toleration = NonNullable<ReturnType<typeof podSpec>["tolerations"]>[number];
type Taint = NonNullable<Node["spec"]["taints"]>[number];

function tolerates(toleration: Toleration, taint: Taint): boolean {
  if ((toleration.effect ?? "") !== "" && toleration.effect !== taint.effect) return false;
  const key = toleration.key ?? "";
  if (key === "") return toleration.operator === "Exists";
  if (key !== taint.key) return false;
  return toleration.operator === "Exists" || (toleration.value ?? "") === (taint.value ?? "");
}

function refuseResources({ pod, others, node }: AdmissionInputs): Refusal | undefined {
  const allocatable = node.status?.allocatable ?? {};
  // A critical pod makes room for itself by preempting others; it is not refused.
  if (isNodeCritical(pod)) return undefined;
  const requests: Amounts = { pods: 1, ...podRequests(pod) };
  for (const [name, requested] of Object.entries(requests)) {
    if (requested === 0) continue;
    const capacity = amountOf(name, allocatable[name]);
    const used =
      name === "pods"
        ? others.length
        : others.reduce((sum, other) => sum + (podRequests(other)[name] ?? 0), 0);
    if (used + requested <= capacity) continue;
    return {
      reason: `OutOf${name}`,
      message: `Node didn't have enough resource: ${name}, requested: ${requested}, used: ${used}, capacity: ${capacity}`,
    };
  }
  return undefined;
}
