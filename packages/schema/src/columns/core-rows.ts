import type { Json } from "@wherry/machinery";
import {
  listAt,
  numberAt,
  stringsAt,
  textAt,
  textMapAt,
  treeAt,
  treesAt,
  valueAt,
  type Tree,
} from "../tree.ts";
import { ageOf } from "./human-duration.ts";
import type { Row } from "./kind-rows.ts";
import { mapCell } from "./selector-text.ts";
import { age, nameOf } from "./workload-rows.ts";

export const nodeRow: Row = (node, now) => {
  const info = treeAt(node, "status", "nodeInfo");
  const architecture = textAt(info, "architecture");
  const kernel = textAt(info, "kernelVersion") || "<unknown>";
  return [
    nameOf(node),
    nodeStatus(node),
    nodeRoles(node),
    age(node, now),
    textAt(info, "kubeletVersion"),
    nodeAddress(node, "InternalIP"),
    nodeAddress(node, "ExternalIP"),
    textAt(info, "osImage") || "<unknown>",
    architecture === "" ? kernel : `${kernel} (${architecture})`,
    textAt(info, "containerRuntimeVersion") || "<unknown>",
  ];
};

export const namespaceRow: Row = (object, now) => [
  nameOf(object),
  textAt(object, "status", "phase"),
  age(object, now),
];

export const secretRow: Row = (object, now) => [
  nameOf(object),
  textAt(object, "type"),
  Object.keys(textMapAt(object, "data")).length,
  age(object, now),
];

export const configMapRow: Row = (object, now) => [
  nameOf(object),
  Object.keys(textMapAt(object, "data")).length +
    Object.keys(textMapAt(object, "binaryData")).length,
  age(object, now),
];

export const namedRow: Row = (object, now) => [nameOf(object), age(object, now)];

/** For kinds without a printer of their own. */
export const createdAtRow: Row = (object) => [
  nameOf(object),
  textAt(object, "metadata", "creationTimestamp"),
];

export const eventRow: Row = (event, now) => {
  const isNew = event["regarding"] !== undefined || event["reportingController"] !== undefined;
  const target = treeAt(event, isNew ? "regarding" : "involvedObject");
  const first = textAt(event, isNew ? "deprecatedFirstTimestamp" : "firstTimestamp");
  const last = textAt(event, isNew ? "deprecatedLastTimestamp" : "lastTimestamp");
  const firstSeen = first === "" ? ageOf(textAt(event, "eventTime"), now) : ageOf(first, now);
  const series = treeAt(event, "series");
  const lastSeen =
    series !== undefined
      ? ageOf(textAt(series, "lastObservedTime"), now)
      : last === ""
        ? firstSeen
        : ageOf(last, now);
  const count = numberAt(event, isNew ? "deprecatedCount" : "count") ?? 0;
  return [
    lastSeen,
    textAt(event, "type"),
    textAt(event, "reason"),
    objectCell(target),
    textAt(target, "fieldPath"),
    sourceCell(event, isNew),
    textAt(event, isNew ? "note" : "message").trim(),
    firstSeen,
    series !== undefined ? (numberAt(series, "count") ?? 0) : Math.max(count, 1),
    nameOf(event),
  ];
};

export const componentStatusRow: Row = (object) => {
  const condition = treesAt(object, "conditions").find((item) => item["type"] === "Healthy");
  const status =
    condition === undefined ? "Unknown" : condition["status"] === "True" ? "Healthy" : "Unhealthy";
  return [nameOf(object), status, textAt(condition, "message"), textAt(condition, "error")];
};

export const resourceQuotaRow: Row = (quota, now) => {
  const hard = textMapAt(quota, "status", "hard");
  const used = textMapAt(quota, "status", "used");
  const cell = (ofLimits: boolean): string =>
    Object.keys(hard)
      .filter((name) => name.startsWith("limits.") === ofLimits)
      .sort()
      .map((name) => `${name}: ${used[name] ?? "0"}/${hard[name]}`)
      .join(", ");
  return [nameOf(quota), cell(false), cell(true), age(quota, now)];
};

export const persistentVolumeRow: Row = (volume, now) => {
  const claim = treeAt(volume, "spec", "claimRef");
  return [
    nameOf(volume),
    textAt(volume, "spec", "capacity", "storage"),
    accessModes(listAt(volume, "spec", "accessModes")),
    textAt(volume, "spec", "persistentVolumeReclaimPolicy"),
    phaseOf(volume),
    claim === undefined ? "" : `${textAt(claim, "namespace")}/${textAt(claim, "name")}`,
    storageClassOf(volume),
    textAt(volume, "spec", "volumeAttributesClassName") || "<unset>",
    textAt(volume, "status", "reason"),
    age(volume, now),
    textAt(volume, "spec", "volumeMode") || "<unset>",
  ];
};

export const persistentVolumeClaimRow: Row = (claim, now) => {
  const volume = textAt(claim, "spec", "volumeName");
  return [
    nameOf(claim),
    phaseOf(claim),
    volume,
    volume === "" ? "" : textAt(claim, "status", "capacity", "storage"),
    volume === "" ? "" : accessModes(listAt(claim, "status", "accessModes")),
    storageClassOf(claim),
    textAt(claim, "spec", "volumeAttributesClassName") || "<unset>",
    age(claim, now),
    textAt(claim, "spec", "volumeMode") || "<unset>",
  ];
};

export const serviceRow: Row = (service, now) => [
  nameOf(service),
  textAt(service, "spec", "type"),
  stringsAt(service, "spec", "clusterIPs")[0] ?? "<none>",
  externalAddress(service),
  servicePorts(service),
  age(service, now),
  mapCell(valueAt(service, "spec", "selector")),
];

export const endpointsRow: Row = (endpoints, now) => [
  nameOf(endpoints),
  endpointList(endpoints),
  age(endpoints, now),
];

function nodeStatus(node: Tree): string {
  const ready = treesAt(node, "status", "conditions").find((item) => item["type"] === "Ready");
  const status =
    ready === undefined ? "Unknown" : ready["status"] === "True" ? "Ready" : "NotReady";
  return valueAt(node, "spec", "unschedulable") === true ? `${status},SchedulingDisabled` : status;
}

function nodeRoles(node: Tree): string {
  const roles = new Set<string>();
  for (const [key, value] of Object.entries(textMapAt(node, "metadata", "labels"))) {
    if (key.startsWith("node-role.kubernetes.io/")) {
      const role = key.slice("node-role.kubernetes.io/".length);
      if (role !== "") roles.add(role);
    } else if (key === "kubernetes.io/role" && value !== "") {
      roles.add(value);
    }
  }
  return roles.size === 0 ? "<none>" : [...roles].sort().join(",");
}

function nodeAddress(node: Tree, type: string): string {
  const address = treesAt(node, "status", "addresses").find((item) => item["type"] === type);
  return address === undefined ? "<none>" : textAt(address, "address");
}

function objectCell(target: Tree | undefined): string {
  const kind = textAt(target, "kind").toLowerCase();
  const name = textAt(target, "name");
  return name === "" ? kind : `${kind}/${name}`;
}

function sourceCell(event: Tree, isNew: boolean): string {
  const source = treeAt(event, isNew ? "deprecatedSource" : "source");
  const component =
    textAt(source, "component") ||
    textAt(event, isNew ? "reportingController" : "reportingComponent");
  const host = textAt(source, "host") || textAt(event, "reportingInstance");
  return host === "" ? component : `${component}, ${host}`;
}

const accessModeNames: readonly (readonly [string, string])[] = [
  ["ReadWriteOnce", "RWO"],
  ["ReadOnlyMany", "ROX"],
  ["ReadWriteMany", "RWX"],
  ["ReadWriteOncePod", "RWOP"],
];

function accessModes(modes: readonly unknown[]): string {
  return accessModeNames
    .filter(([mode]) => modes.includes(mode))
    .map(([, short]) => short)
    .join(",");
}

function phaseOf(object: Tree): string {
  return valueAt(object, "metadata", "deletionTimestamp") === undefined
    ? textAt(object, "status", "phase")
    : "Terminating";
}

function storageClassOf(object: Tree): string {
  return (
    textMapAt(object, "metadata", "annotations")["volume.beta.kubernetes.io/storage-class"] ??
    textAt(object, "spec", "storageClassName")
  );
}

function externalAddress(service: Tree): string {
  const external = stringsAt(service, "spec", "externalIPs");
  switch (textAt(service, "spec", "type")) {
    case "ClusterIP":
    case "NodePort":
      return external.length > 0 ? external.join(",") : "<none>";
    case "LoadBalancer": {
      const balancer = balancerAddresses(service);
      const all = balancer === "" ? external : [balancer, ...external];
      return all.length > 0 ? all.join(",") : "<pending>";
    }
    case "ExternalName":
      return textAt(service, "spec", "externalName");
    default:
      return "<unknown>";
  }
}

/** Addresses of a load balancer, sorted, each once. */
export function balancerAddresses(object: Tree): string {
  const addresses = new Set<string>();
  for (const ingress of treesAt(object, "status", "loadBalancer", "ingress")) {
    const address = textAt(ingress, "ip") || textAt(ingress, "hostname");
    if (address !== "") addresses.add(address);
  }
  return [...addresses].sort().join(",");
}

function servicePorts(service: Tree): string {
  const ports = treesAt(service, "spec", "ports");
  if (ports.length === 0) return "<none>";
  return ports
    .map((port) => {
      const nodePort = numberAt(port, "nodePort") ?? 0;
      const number = numberAt(port, "port") ?? 0;
      const protocol = textAt(port, "protocol");
      return nodePort > 0 ? `${number}:${nodePort}/${protocol}` : `${number}/${protocol}`;
    })
    .join(",");
}

const endpointsShown = 3;

function endpointList(endpoints: Tree): string {
  const subsets = treesAt(endpoints, "subsets");
  if (subsets.length === 0) return "<none>";
  const all: Json[] = [];
  for (const subset of subsets) {
    const ports = treesAt(subset, "ports");
    for (const address of treesAt(subset, "addresses")) {
      const ip = textAt(address, "ip");
      if (ports.length === 0) all.push(ip);
      for (const port of ports) {
        all.push(`${ip.includes(":") ? `[${ip}]` : ip}:${numberAt(port, "port") ?? 0}`);
      }
    }
  }
  const shown = all.slice(0, endpointsShown).join(",");
  return all.length > endpointsShown ? `${shown} + ${all.length - endpointsShown} more...` : shown;
}
