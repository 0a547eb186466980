import { isIPv4, isIPv6 } from "node:net";
import {
  dnsLabelErrors,
  dnsSubdomainErrors,
  qualifiedNameErrors,
  type StatusCause,
} from "@wherry/machinery";
import {
  listAt,
  numberAt,
  stringsAt,
  textAt,
  textMapAt,
  treeAt,
  treesAt,
  type Tree,
} from "../tree.ts";
import { validateLabelSelector } from "./label-selectors.ts";
import { validateLabels } from "./metadata.ts";
import { validatePortReference } from "./probes.ts";
import { isPort, portRange, Problems } from "./problems.ts";

const addressText = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
const protocols = ["TCP", "UDP", "SCTP"];
const types = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];

export function validateService(service: Tree): readonly StatusCause[] {
  const problems = new Problems();
  const spec = treeAt(service, "spec");
  const type = textAt(spec, "type");
  const ports = treesAt(spec, "ports");
  const isHeadless = textAt(spec, "clusterIP") === "None";
  if (ports.length === 0 && type !== "ExternalName" && !isHeadless) problems.required("spec.ports");
  validateServiceType(problems, spec, type);
  const names = new Set<string>();
  for (const [index, port] of ports.entries()) {
    validateServicePort(problems, port, `spec.ports[${index}]`, ports.length > 1, names);
  }
  validateLabels(problems, textMapAt(spec, "selector"), "spec.selector");
  const affinity = textAt(spec, "sessionAffinity");
  if (affinity === "") problems.required("spec.sessionAffinity");
  else problems.oneOf(spec, "sessionAffinity", "spec", ["ClientIP", "None"]);
  validateClusterAddresses(problems, spec, type);
  for (const [index, address] of stringsAt(spec, "externalIPs").entries()) {
    if (!isAddress(address)) problems.invalid(`spec.externalIPs[${index}]`, address, addressText);
  }
  problems.oneOf(spec, "type", "spec", types);
  validateDuplicatePorts(problems, ports);
  if (type !== "LoadBalancer" && stringsAt(spec, "loadBalancerSourceRanges").length > 0) {
    problems.forbidden(
      "spec.LoadBalancerSourceRanges",
      "may only be used when `type` is 'LoadBalancer'",
    );
  }
  validateTrafficPolicies(problems, spec, type);
  if (type !== "LoadBalancer" && listAt(service, "status", "loadBalancer", "ingress").length > 0) {
    problems.forbidden(
      "status.loadBalancer.ingress",
      "may only be used when `spec.type` is 'LoadBalancer'",
    );
  }
  return problems.causes;
}

export function validateServiceUpdate(service: Tree, old: Tree): readonly StatusCause[] {
  const problems = new Problems();
  const spec = treeAt(service, "spec");
  const before = treeAt(old, "spec");
  const keepsAddress = (tree: Tree | undefined): boolean => textAt(tree, "type") !== "ExternalName";
  const formerAddress = textAt(before, "clusterIP");
  if (keepsAddress(spec) && keepsAddress(before) && formerAddress !== "") {
    const address = textAt(spec, "clusterIP");
    if (address !== formerAddress) {
      const listed = stringsAt(spec, "clusterIPs");
      problems.invalid(
        "spec.clusterIPs[0]",
        listed.length > 0 ? listed : [address],
        "may not change once set",
      );
    }
  }
  problems.add(validateService(service));
  return problems.causes;
}

function validateServiceType(problems: Problems, spec: Tree | undefined, type: string): void {
  if (type !== "ExternalName") return;
  const name = textAt(spec, "externalName").replace(/\.$/, "");
  if (name === "") problems.required("spec.externalName");
  else
    problems.invalidBy("spec.externalName", textAt(spec, "externalName"), dnsSubdomainErrors(name));
}

function validateServicePort(
  problems: Problems,
  port: Tree,
  path: string,
  requiresName: boolean,
  names: Set<string>,
): void {
  const name = textAt(port, "name");
  if (requiresName && name === "") problems.required(`${path}.name`);
  else if (name !== "") {
    problems.invalidBy(`${path}.name`, name, dnsLabelErrors(name));
    if (names.has(name)) problems.duplicate(`${path}.name`, name);
    names.add(name);
  }
  const number = numberAt(port, "port") ?? 0;
  if (!isPort(number)) problems.invalid(`${path}.port`, number, portRange);
  const protocol = textAt(port, "protocol");
  if (protocol === "") problems.required(`${path}.protocol`);
  else problems.oneOf(port, "protocol", path, protocols);
  validatePortReference(problems, port["targetPort"], `${path}.targetPort`);
  const appProtocol = textAt(port, "appProtocol");
  if (appProtocol !== "")
    problems.invalidBy(`${path}.appProtocol`, appProtocol, qualifiedNameErrors(appProtocol));
}

function validateDuplicatePorts(problems: Problems, ports: readonly Tree[]): void {
  const seen = new Set<string>();
  for (const [index, port] of ports.entries()) {
    const key = `${textAt(port, "protocol")}/${numberAt(port, "port")}`;
    if (seen.has(key)) {
      problems.duplicate(`spec.ports[${index}]`, {
        Name: "",
        Protocol: textAt(port, "protocol"),
        AppProtocol: null,
        Port: numberAt(port, "port"),
        TargetPort: 0,
        NodePort: 0,
      });
    }
    seen.add(key);
  }
}

function validateClusterAddresses(problems: Problems, spec: Tree | undefined, type: string): void {
  const addresses = stringsAt(spec, "clusterIPs");
  const first = textAt(spec, "clusterIP");
  if (type === "ExternalName") {
    if (first !== "")
      problems.forbidden("spec.clusterIPs", "may not be set when `type` is 'ExternalName'");
    return;
  }
  if (addresses.length === 0 && first !== "" && first !== "None" && !isAddress(first)) {
    problems.invalid("spec.clusterIPs[0]", first, addressText);
  }
  if (addresses.length > 0 && first !== "" && addresses[0] !== first) {
    problems.invalid("spec.clusterIPs", addresses, "first value must match `clusterIP`");
  }
  for (const [index, address] of addresses.entries()) {
    if (address === "None" || address === "") continue;
    if (!isAddress(address)) problems.invalid(`spec.clusterIPs[${index}]`, address, addressText);
  }
}

function validateTrafficPolicies(problems: Problems, spec: Tree | undefined, type: string): void {
  problems.oneOf(spec, "externalTrafficPolicy", "spec", ["Cluster", "Local"]);
  problems.oneOf(spec, "internalTrafficPolicy", "spec", ["Cluster", "Local"]);
  const port = numberAt(spec, "healthCheckNodePort") ?? 0;
  const isLocalBalancer =
    type === "LoadBalancer" && textAt(spec, "externalTrafficPolicy") === "Local";
  if (port !== 0 && !isLocalBalancer) {
    problems.invalid(
      "spec.healthCheckNodePort",
      port,
      "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
    );
  }
}

export function validateEndpoints(endpoints: Tree): readonly StatusCause[] {
  const problems = new Problems();
  for (const [index, subset] of treesAt(endpoints, "subsets").entries()) {
    const path = `subsets[${index}]`;
    const ready = treesAt(subset, "addresses");
    const notReady = treesAt(subset, "notReadyAddresses");
    if (ready.length === 0 && notReady.length === 0) {
      problems.required(path, "must specify `addresses` or `notReadyAddresses`");
    }
    for (const [list, items] of [
      ["addresses", ready],
      ["notReadyAddresses", notReady],
    ] as const) {
      for (const [position, item] of items.entries()) {
        validateEndpointAddress(problems, textAt(item, "ip"), `${path}.${list}[${position}].ip`);
      }
    }
    for (const [position, port] of treesAt(subset, "ports").entries()) {
      const number = numberAt(port, "port") ?? 0;
      if (!isPort(number)) problems.invalid(`${path}.ports[${position}].port`, number, portRange);
      problems.oneOf(port, "protocol", `${path}.ports[${position}]`, protocols);
    }
  }
  return problems.causes;
}

/** Endpoints must lie where other nodes can reach them. */
function validateEndpointAddress(problems: Problems, address: string, field: string): void {
  if (!isAddress(address)) {
    problems.invalid(field, address, addressText);
    problems.invalid(field, address, "must be a valid IP address");
    return;
  }
  const isLoopback = address.startsWith("127.") || address === "::1";
  if (address === "0.0.0.0" || address === "::")
    problems.invalid(field, address, `may not be unspecified (${address})`);
  if (isLoopback)
    problems.invalid(field, address, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
  if (address.startsWith("169.254.")) {
    problems.invalid(
      field,
      address,
      "may not be in the link-local range (169.254.0.0/16, fe80::/10)",
    );
  }
}

export function validateEndpointSlice(slice: Tree): readonly StatusCause[] {
  const problems = new Problems();
  const type = textAt(slice, "addressType");
  if (type === "") problems.required("addressType");
  else if (!["IPv4", "IPv6", "FQDN"].includes(type))
    problems.notSupported("addressType", type, ["FQDN", "IPv4", "IPv6"]);
  for (const [index, endpoint] of treesAt(slice, "endpoints").entries()) {
    validateEndpoint(problems, endpoint, type, `endpoints[${index}]`);
  }
  const names = new Set<string>();
  for (const [index, port] of treesAt(slice, "ports").entries()) {
    const name = textAt(port, "name");
    if (name !== "") problems.invalidBy(`ports[${index}].name`, name, dnsLabelErrors(name));
    if (names.has(name)) problems.duplicate(`ports[${index}].name`, name);
    names.add(name);
    problems.oneOf(port, "protocol", `ports[${index}]`, protocols);
  }
  return problems.causes;
}

function validateEndpoint(problems: Problems, endpoint: Tree, type: string, path: string): void {
  const addresses = stringsAt(endpoint, "addresses");
  if (addresses.length === 0)
    problems.required(`${path}.addresses`, "must contain at least 1 address");
  for (const address of addresses) {
    if (type === "IPv4" && !isIPv4(address))
      problems.invalid(`${path}.addresses`, address, "must be an IPv4 address");
    if (type === "IPv6" && !isIPv6(address))
      problems.invalid(`${path}.addresses`, address, "must be an IPv6 address");
  }
  const node = textAt(endpoint, "nodeName");
  if (node !== "") problems.invalidBy(`${path}.nodeName`, node, dnsSubdomainErrors(node));
  const hostname = textAt(endpoint, "hostname");
  if (hostname !== "") problems.invalidBy(`${path}.hostname`, hostname, dnsLabelErrors(hostname));
}

export function validateIngress(ingress: Tree): readonly StatusCause[] {
  const problems = new Problems();
  const spec = treeAt(ingress, "spec");
  const backend = treeAt(spec, "defaultBackend");
  const rules = treesAt(spec, "rules");
  if (backend === undefined && rules.length === 0) {
    problems.invalid("spec", null, "either `defaultBackend` or `rules` must be specified");
  }
  if (backend !== undefined) validateBackend(problems, backend, "spec.defaultBackend");
  for (const [index, rule] of rules.entries())
    validateIngressRule(problems, rule, `spec.rules[${index}]`);
  const className = textAt(spec, "ingressClassName");
  if (className !== "")
    problems.invalidBy("spec.ingressClassName", className, dnsSubdomainErrors(className));
  const annotation = textMapAt(ingress, "metadata", "annotations")["kubernetes.io/ingress.class"];
  if (annotation !== undefined && className !== "" && annotation !== className) {
    problems.invalid(
      "annotations.kubernetes.io/ingress.class",
      annotation,
      "must match `ingressClassName` when both are specified",
    );
  }
  for (const [index, item] of treesAt(ingress, "status", "loadBalancer", "ingress").entries()) {
    const address = textAt(item, "ip");
    if (address !== "" && !isAddress(address)) {
      problems.invalid(`status.loadBalancer.ingress[${index}].ip`, address, addressText);
    }
  }
  return problems.causes;
}

function validateIngressRule(problems: Problems, rule: Tree, path: string): void {
  const host = textAt(rule, "host");
  if (isAddress(host))
    problems.invalid(`${path}.host`, host, "must be a DNS name, not an IP address");
  else if (host !== "")
    problems.invalidBy(`${path}.host`, host, dnsSubdomainErrors(host.replace(/^\*\./, "")));
  const http = treeAt(rule, "http");
  if (http === undefined) return;
  const paths = treesAt(http, "paths");
  if (paths.length === 0) problems.required(`${path}.http.paths`);
  for (const [index, item] of paths.entries()) {
    const field = `${path}.http.paths[${index}]`;
    const type = textAt(item, "pathType");
    const supported = ["Exact", "ImplementationSpecific", "Prefix"];
    if (type === "") problems.required(`${field}.pathType`, "pathType must be specified");
    else if (!supported.includes(type)) problems.notSupported(`${field}.pathType`, type, supported);
    else if (type !== "ImplementationSpecific" && !textAt(item, "path").startsWith("/")) {
      problems.invalid(`${field}.path`, textAt(item, "path"), "must be an absolute path");
    }
    validateBackend(problems, treeAt(item, "backend") ?? {}, `${field}.backend`);
  }
}

function validateBackend(problems: Problems, backend: Tree, path: string): void {
  const service = treeAt(backend, "service");
  if (service !== undefined && backend["resource"] !== undefined) {
    problems.invalid(path, "", "cannot set both resource and service backends");
    return;
  }
  if (backend["resource"] !== undefined) return;
  if (service === undefined) {
    problems.required(path, "resource or service backend is required");
    return;
  }
  const name = textAt(service, "name");
  if (name === "") problems.required(`${path}.service.name`);
  else problems.invalidBy(`${path}.service.name`, name, dnsLabelErrors(name));
  const port = textAt(service, "port", "name");
  const number = numberAt(service, "port", "number") ?? 0;
  if (port !== "" && number !== 0)
    problems.invalid(path, "", "cannot set both port name & port number");
  else if (port === "" && number === 0) problems.required(path, "port name or number is required");
  else if (number !== 0 && !isPort(number))
    problems.invalid(`${path}.service.port.number`, number, portRange);
}

export function validateNetworkPolicy(policy: Tree): readonly StatusCause[] {
  const problems = new Problems();
  const spec = treeAt(policy, "spec");
  validateLabelSelector(problems, treeAt(spec, "podSelector"), "spec.podSelector");
  for (const [direction, peers] of [
    ["ingress", "from"],
    ["egress", "to"],
  ] as const) {
    for (const [index, rule] of treesAt(spec, direction).entries()) {
      const path = `spec.${direction}[${index}]`;
      for (const [position, port] of treesAt(rule, "ports").entries()) {
        validatePolicyPort(problems, port, `${path}.ports[${position}]`);
      }
      for (const [position, peer] of treesAt(rule, peers).entries()) {
        validatePeer(problems, peer, `${path}.${peers}[${position}]`);
      }
    }
  }
  const policyTypes = stringsAt(spec, "policyTypes");
  if (policyTypes.length > 2)
    problems.invalid("spec.policyTypes", policyTypes, "may not specify more than two policyTypes");
  else {
    for (const [index, type] of policyTypes.entries()) {
      if (type !== "Ingress" && type !== "Egress") {
        problems.notSupported(`spec.policyTypes[${index}]`, type, ["Egress", "Ingress"]);
      }
    }
  }
  return problems.causes;
}

function validatePolicyPort(problems: Problems, port: Tree, path: string): void {
  problems.oneOf(port, "protocol", path, protocols);
  const value = port["port"];
  const end = numberAt(port, "endPort");
  if (value !== undefined) validatePortReference(problems, value, `${path}.port`);
  if (end === undefined) return;
  if (value === undefined)
    problems.invalid(`${path}.endPort`, end, "may not be specified when `port` is not specified");
  else if (typeof value === "string") {
    problems.invalid(`${path}.endPort`, end, "may not be specified when `port` is non-numeric");
  } else if (end < Number(value)) {
    problems.invalid(`${path}.endPort`, value, "must be greater than or equal to `port`");
  }
}

function validatePeer(problems: Problems, peer: Tree, path: string): void {
  const kinds = ["podSelector", "namespaceSelector", "ipBlock"].filter(
    (key) => peer[key] !== undefined,
  );
  for (const key of ["podSelector", "namespaceSelector"]) {
    validateLabelSelector(problems, treeAt(peer, key), `${path}.${key}`);
  }
  const block = treeAt(peer, "ipBlock");
  if (block !== undefined && textAt(block, "cidr") === "")
    problems.required(`${path}.ipBlock.cidr`);
  if (kinds.length === 0) problems.required(path, "must specify a peer");
  else if (kinds.length > 1 && block !== undefined) {
    problems.forbidden(path, "may not specify both ipBlock and another peer");
  }
}

export function isAddress(text: string): boolean {
  return isIPv4(text) || isIPv6(text);
}
