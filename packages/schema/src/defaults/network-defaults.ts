import {
  ensureTree,
  listAt,
  setIfUnset,
  setIfZero,
  textAt,
  treeAt,
  treesAt,
  type Tree,
} from "../tree.ts";

export function defaultService(service: Tree): void {
  const spec = ensureTree(service, "spec");
  setIfZero(spec, "sessionAffinity", "None");
  if (spec["sessionAffinity"] === "None") delete spec["sessionAffinityConfig"];
  if (spec["sessionAffinity"] === "ClientIP") {
    setIfUnset(
      ensureTree(ensureTree(spec, "sessionAffinityConfig"), "clientIP"),
      "timeoutSeconds",
      10800,
    );
  }
  setIfZero(spec, "type", "ClusterIP");
  for (const port of treesAt(spec, "ports")) {
    setIfZero(port, "protocol", "TCP");
    setIfZero(port, "targetPort", port["port"]);
  }
  const type = textAt(spec, "type");
  const isExternal =
    type === "NodePort" ||
    type === "LoadBalancer" ||
    (type === "ClusterIP" && listAt(spec, "externalIPs").length > 0);
  if (isExternal) setIfZero(spec, "externalTrafficPolicy", "Cluster");
  if (["ClusterIP", "NodePort", "LoadBalancer"].includes(type)) {
    setIfUnset(spec, "internalTrafficPolicy", "Cluster");
  }
  if (type === "LoadBalancer") {
    setIfUnset(spec, "allocateLoadBalancerNodePorts", true);
    for (const ingress of treesAt(service, "status", "loadBalancer", "ingress")) {
      if (textAt(ingress, "ip") !== "") setIfUnset(ingress, "ipMode", "VIP");
    }
  }
}

export function defaultEndpoints(endpoints: Tree): void {
  for (const subset of treesAt(endpoints, "subsets")) {
    for (const port of treesAt(subset, "ports")) setIfZero(port, "protocol", "TCP");
  }
}

export function defaultEndpointSlice(slice: Tree): void {
  for (const port of treesAt(slice, "ports")) {
    setIfUnset(port, "name", "");
    setIfUnset(port, "protocol", "TCP");
  }
}

export function defaultNetworkPolicy(policy: Tree): void {
  const spec = ensureTree(policy, "spec");
  for (const rule of [...treesAt(spec, "ingress"), ...treesAt(spec, "egress")]) {
    for (const port of treesAt(rule, "ports")) setIfUnset(port, "protocol", "TCP");
  }
  if (listAt(spec, "policyTypes").length > 0) return;
  const hasEgress = listAt(spec, "egress").length > 0;
  spec["policyTypes"] = hasEgress ? ["Ingress", "Egress"] : ["Ingress"];
}

export function defaultIngressClass(ingressClass: Tree): void {
  const parameters = treeAt(ingressClass, "spec", "parameters");
  if (parameters !== undefined) setIfUnset(parameters, "scope", "Cluster");
}
