import { formatTime } from "@wherry/machinery";
import {
  ensureTree,
  listAt,
  numberAt,
  sameValue,
  setIfUnset,
  setIfZero,
  textAt,
  treeAt,
  treesAt,
  valueAt,
  type Tree,
} from "../tree.ts";
import type { KindRules } from "./create-strategy.ts";
import { qosClassOf } from "./qos-class.ts";

export const podRules: KindRules = {
  hasGeneration: true,
  statusKeepsMetadata: ["ownerReferences"],
  defaultGracePeriodSeconds(pod) {
    // A pod that no kubelet has seen, or that has ended, has nobody to wait for.
    if (textAt(pod, "spec", "nodeName") === "") return 0;
    if (["Succeeded", "Failed"].includes(textAt(pod, "status", "phase"))) return 0;
    const seconds = numberAt(pod, "spec", "terminationGracePeriodSeconds") ?? 30;
    return seconds < 0 ? 1 : seconds;
  },
  prepareForCreate(pod) {
    const status: Tree = { phase: "Pending", qosClass: qosClassOf(pod) };
    if (listAt(pod, "spec", "schedulingGates").length > 0) {
      status["conditions"] = [
        {
          type: "PodScheduled",
          status: "False",
          reason: "SchedulingGated",
          message: "Scheduling is blocked due to non-empty scheduling gates",
        },
      ];
    }
    pod["status"] = status;
  },
  prepareForStatusUpdate(pod, old) {
    // The class is fixed at creation, whatever a kubelet sends.
    const status = ensureTree(pod, "status");
    const qosClass = valueAt(old, "status", "qosClass");
    if (qosClass !== undefined) setIfUnset(status, "qosClass", qosClass);
    keepObservedGenerations(status, treeAt(old, "status"));
  },
  isSpecChange: (pod, old) => !sameValue(pod["spec"], old["spec"]),
};

/** Clients that do not know observedGeneration leave it out; that does not clear it. */
function keepObservedGenerations(status: Tree, before: Tree | undefined): void {
  if (before === undefined) return;
  if (before["observedGeneration"] !== undefined) {
    setIfZero(status, "observedGeneration", before["observedGeneration"]);
  }
  for (const condition of treesAt(status, "conditions")) {
    const former = treesAt(before, "conditions").find((item) => item["type"] === condition["type"]);
    if (former?.["observedGeneration"] !== undefined) {
      setIfZero(condition, "observedGeneration", former["observedGeneration"]);
    }
  }
}

export const limitRangeRules: KindRules = {
  allowCreateOnUpdate: true,
  prepareForCreate(limitRange) {
    // A limit range without a name gets a unique one.
    const metadata = ensureTree(limitRange, "metadata");
    if (textAt(metadata, "name") === "") metadata["name"] = metadata["uid"];
  },
};

export const namespaceRules: KindRules = {
  prepareForCreate(namespace) {
    const spec = ensureTree(namespace, "spec");
    const finalizers = listAt(spec, "finalizers");
    if (!finalizers.includes("kubernetes")) spec["finalizers"] = [...finalizers, "kubernetes"];
    namespace["status"] = { phase: "Active" };
  },
  prepareForUpdate(namespace, old) {
    // Finalizers change through the finalize subresource only.
    ensureTree(namespace, "spec")["finalizers"] = [...listAt(old, "spec", "finalizers")];
  },
};

export const nodeRules: KindRules = { keepsStatusOnCreate: true };

export const serviceRules: KindRules = {
  allowCreateOnUpdate: true,
  prepareForCreate(service) {
    const spec = ensureTree(service, "spec");
    const address = textAt(spec, "clusterIP");
    if (address !== "" && listAt(spec, "clusterIPs").length === 0) spec["clusterIPs"] = [address];
  },
  prepareForUpdate(service, old) {
    keepAllocatedValues(service, old);
    followClusterAddress(ensureTree(service, "spec"), ensureTree(old, "spec"));
  },
};

export const secretRules: KindRules = {
  prepareForUpdate(secret, old) {
    if (textAt(secret, "type") === "") secret["type"] = old["type"];
  },
};

export const persistentVolumeRules: KindRules = {
  prepareForCreate(volume, { now }) {
    volume["status"] = { phase: "Pending", lastPhaseTransitionTime: formatTime(now) };
  },
  prepareForStatusUpdate(volume, old, { now }) {
    const status = ensureTree(volume, "status");
    const before = treeAt(old, "status");
    if (textAt(status, "phase") !== textAt(before, "phase")) {
      if (sameValue(status["lastPhaseTransitionTime"], before?.["lastPhaseTransitionTime"])) {
        status["lastPhaseTransitionTime"] = formatTime(now);
      }
    }
  },
};

export const persistentVolumeClaimRules: KindRules = {
  prepareForCreate(claim) {
    claim["status"] = { phase: "Pending" };
  },
};

/**
 * A PUT that leaves out what the server allocated means "as before", not "none": cluster addresses, families, node ports and the port
 * of the health check are taken from the stored service unless its type no longer has them.
 */
function keepAllocatedValues(service: Tree, old: Tree): void {
  const spec = ensureTree(service, "spec");
  const before = ensureTree(old, "spec");
  if (hasClusterAddress(before) && hasClusterAddress(spec)) {
    if (textAt(spec, "clusterIP") === "" && listAt(spec, "clusterIPs").length === 0) {
      copyFields(spec, before, ["clusterIP", "clusterIPs"]);
    } else if (
      textAt(spec, "clusterIP") === textAt(before, "clusterIP") &&
      listAt(spec, "clusterIPs").length === 0
    ) {
      copyFields(spec, before, ["clusterIPs"]);
    } else if (
      textAt(spec, "clusterIP") === "" &&
      sameValue(spec["clusterIPs"], before["clusterIPs"])
    ) {
      copyFields(spec, before, ["clusterIP"]);
    }
    for (const name of ["ipFamilies", "ipFamilyPolicy"]) {
      if (spec[name] === undefined) copyFields(spec, before, [name]);
    }
  }
  if (hasNodePorts(before) && hasNodePorts(spec)) keepNodePorts(spec, before);
  if (
    hasHealthCheckPort(before) &&
    hasHealthCheckPort(spec) &&
    numberAt(spec, "healthCheckNodePort") === undefined
  ) {
    copyFields(spec, before, ["healthCheckNodePort"]);
  }
  dropFieldsOfFormerType(spec, before);
}

/** Clients that know only clusterIP change it alone: the list follows, as long as it was not changed too. */
function followClusterAddress(spec: Tree, before: Tree): void {
  const address = textAt(spec, "clusterIP");
  if (address === textAt(before, "clusterIP")) return;
  const addresses = listAt(spec, "clusterIPs");
  if (addresses.length > 0 && !sameValue(addresses, before["clusterIPs"])) return;
  if (address === "") delete spec["clusterIPs"];
  else spec["clusterIPs"] = [address];
}

/** What the former type had and the new one cannot have is cleared if the client sent it back unchanged. */
function dropFieldsOfFormerType(spec: Tree, before: Tree): void {
  if (hasClusterAddress(before) && !hasClusterAddress(spec)) {
    for (const name of ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"]) {
      if (sameValue(spec[name], before[name])) delete spec[name];
    }
  }
  if (hasNodePorts(before) && !hasNodePorts(spec)) {
    const former = new Set(treesAt(before, "ports").map((port) => port["nodePort"]));
    for (const port of treesAt(spec, "ports"))
      if (former.has(port["nodePort"])) delete port["nodePort"];
  }
  if (
    hasHealthCheckPort(before) &&
    !hasHealthCheckPort(spec) &&
    spec["healthCheckNodePort"] === before["healthCheckNodePort"]
  ) {
    delete spec["healthCheckNodePort"];
  }
  if (before["type"] === "LoadBalancer" && spec["type"] !== "LoadBalancer") {
    for (const name of ["allocateLoadBalancerNodePorts", "loadBalancerClass"]) {
      if (sameValue(spec[name], before[name])) delete spec[name];
    }
  }
}

function keepNodePorts(spec: Tree, before: Tree): void {
  const keyOf = (port: Tree): string => `${textAt(port, "protocol")}/${String(port["port"])}`;
  const former = new Map<string, unknown>();
  for (const port of treesAt(before, "ports")) former.set(keyOf(port), port["nodePort"]);
  const taken = new Set(treesAt(spec, "ports").map((port) => port["nodePort"]));
  for (const port of treesAt(spec, "ports")) {
    const nodePort = former.get(keyOf(port));
    if (port["nodePort"] === undefined && nodePort !== undefined && !taken.has(nodePort)) {
      port["nodePort"] = nodePort;
    }
  }
}

function copyFields(to: Tree, from: Tree, names: readonly string[]): void {
  for (const name of names) if (from[name] !== undefined) to[name] = structuredClone(from[name]);
}

function hasClusterAddress(spec: Tree): boolean {
  return ["ClusterIP", "NodePort", "LoadBalancer"].includes(textAt(spec, "type"));
}

function hasNodePorts(spec: Tree): boolean {
  const type = textAt(spec, "type");
  return (
    type === "NodePort" ||
    (type === "LoadBalancer" && spec["allocateLoadBalancerNodePorts"] !== false)
  );
}

function hasHealthCheckPort(spec: Tree): boolean {
  return spec["type"] === "LoadBalancer" && spec["externalTrafficPolicy"] === "Local";
}
