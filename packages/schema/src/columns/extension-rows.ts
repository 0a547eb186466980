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
import { balancerAddresses } from "./core-rows.ts";
import { humanDuration } from "./human-duration.ts";
import type { Row } from "./kind-rows.ts";
import { selectorCell, selectorText } from "./selector-text.ts";
import { age, count, nameOf } from "./workload-rows.ts";

export const ingressRow: Row = (ingress, now) => [
  nameOf(ingress),
  textAt(ingress, "spec", "ingressClassName") || "<none>",
  ingressHosts(ingress),
  balancerAddresses(ingress),
  treesAt(ingress, "spec", "tls").length > 0 ? "80, 443" : "80",
  age(ingress, now),
];

export const ingressClassRow: Row = (object, now) => {
  const parameters = treeAt(object, "spec", "parameters");
  const group = textAt(parameters, "apiGroup");
  const kind = textAt(parameters, "kind");
  const cell =
    parameters === undefined
      ? "<none>"
      : `${group === "" ? kind : `${kind}.${group}`}/${textAt(parameters, "name")}`;
  return [
    nameOf(object) + defaultMark(object, ["ingressclass.kubernetes.io/is-default-class"]),
    textAt(object, "spec", "controller"),
    cell,
    age(object, now),
  ];
};

export const networkPolicyRow: Row = (object, now) => [
  nameOf(object),
  selectorCell(valueAt(object, "spec", "podSelector")),
  age(object, now),
];

export const endpointSliceRow: Row = (slice, now) => [
  nameOf(slice),
  textAt(slice, "addressType"),
  firstThree(treesAt(slice, "ports").map((port) => portCell(port))),
  firstThree(treesAt(slice, "endpoints").flatMap((endpoint) => stringsAt(endpoint, "addresses"))),
  age(slice, now),
];

export const roleBindingRow: Row = (binding, now) => {
  const subjects = treesAt(binding, "subjects");
  const names = (kind: string): string =>
    subjects
      .filter((subject) => subject["kind"] === kind)
      .map((subject) => {
        const name = textAt(subject, "name");
        return kind === "ServiceAccount" ? `${textAt(subject, "namespace")}/${name}` : name;
      })
      .join(", ");
  return [
    nameOf(binding),
    `${textAt(binding, "roleRef", "kind")}/${textAt(binding, "roleRef", "name")}`,
    age(binding, now),
    names("User"),
    names("Group"),
    names("ServiceAccount"),
  ];
};

export const signingRequestRow: Row = (request, now) => {
  const expiration = numberAt(request, "spec", "expirationSeconds");
  return [
    nameOf(request),
    age(request, now),
    textAt(request, "spec", "signerName") || "<none>",
    textAt(request, "spec", "username"),
    expiration === undefined ? "<none>" : humanDuration(expiration * 1000),
    signingRequestCondition(request),
  ];
};

export const leaseRow: Row = (object, now) => [
  nameOf(object),
  textAt(object, "spec", "holderIdentity"),
  age(object, now),
];

export const storageClassRow: Row = (object, now) => [
  nameOf(object) +
    defaultMark(object, [
      "storageclass.kubernetes.io/is-default-class",
      "storageclass.beta.kubernetes.io/is-default-class",
    ]),
  textAt(object, "provisioner"),
  textAt(object, "reclaimPolicy") || "Delete",
  textAt(object, "volumeBindingMode") || "Immediate",
  object["allowVolumeExpansion"] === true,
  age(object, now),
];

export const volumeAttributesClassRow: Row = (object, now) => [
  nameOf(object),
  textAt(object, "driverName"),
  age(object, now),
];

export const volumeAttachmentRow: Row = (object, now) => [
  nameOf(object),
  textAt(object, "spec", "attacher"),
  textAt(object, "spec", "source", "persistentVolumeName"),
  textAt(object, "spec", "nodeName"),
  valueAt(object, "status", "attached") === true,
  age(object, now),
];

export const csiNodeRow: Row = (object, now) => [
  nameOf(object),
  treesAt(object, "spec", "drivers").length,
  age(object, now),
];

export const csiDriverRow: Row = (object, now) => {
  const spec = treeAt(object, "spec");
  const requests = spec?.["tokenRequests"];
  const modes = stringsAt(spec, "volumeLifecycleModes").join(",");
  return [
    nameOf(object),
    spec?.["attachRequired"] !== false,
    spec?.["podInfoOnMount"] === true,
    spec?.["storageCapacity"] === true,
    requests === undefined || requests === null
      ? "<unset>"
      : treesAt(spec, "tokenRequests")
          .map((request) => textAt(request, "audience"))
          .join(","),
    spec?.["requiresRepublish"] === true,
    modes === "" ? "<none>" : modes,
    age(object, now),
  ];
};

export const priorityClassRow: Row = (object, now) => [
  nameOf(object),
  count(object, "value"),
  object["globalDefault"] === true,
  age(object, now),
  textAt(object, "preemptionPolicy"),
];

export const runtimeClassRow: Row = (object, now) => [
  nameOf(object),
  textAt(object, "handler"),
  age(object, now),
];

export const webhookConfigurationRow: Row = (object, now) => [
  nameOf(object),
  treesAt(object, "webhooks").length,
  age(object, now),
];

export const validatingPolicyRow: Row = (object, now) => policyRow(object, "validations", now);

export const mutatingPolicyRow: Row = (object, now) => policyRow(object, "mutations", now);

export const policyBindingRow: Row = (object, now) => [
  nameOf(object),
  textAt(object, "spec", "policyName"),
  paramRef(treeAt(object, "spec", "paramRef")),
  age(object, now),
];

export const flowSchemaRow: Row = (object, now) => {
  const dangling = treesAt(object, "status", "conditions").find(
    (item) => item["type"] === "Dangling",
  );
  return [
    nameOf(object),
    textAt(object, "spec", "priorityLevelConfiguration", "name"),
    count(object, "spec", "matchingPrecedence"),
    textAt(object, "spec", "distinguisherMethod", "type") || "<none>",
    age(object, now),
    dangling === undefined ? "?" : textAt(dangling, "status"),
  ];
};

export const priorityLevelRow: Row = (object, now) => {
  const limited = treeAt(object, "spec", "limited");
  const queuing = treeAt(limited, "limitResponse", "queuing");
  const cell = (value: unknown): Json => (typeof value === "number" ? value : "<none>");
  return [
    nameOf(object),
    textAt(object, "spec", "type"),
    cell(limited?.["nominalConcurrencyShares"]),
    cell(queuing?.["queues"]),
    cell(queuing?.["handSize"]),
    cell(queuing?.["queueLengthLimit"]),
    age(object, now),
  ];
};

export const resourceClaimRow: Row = (object, now) => [
  nameOf(object),
  claimState(object),
  age(object, now),
];

export const resourceSliceRow: Row = (object, now) => [
  nameOf(object),
  textAt(object, "spec", "nodeName"),
  textAt(object, "spec", "driver"),
  textAt(object, "spec", "pool", "name"),
  age(object, now),
];

export const serviceCidrRow: Row = (object, now) => [
  nameOf(object),
  stringsAt(object, "spec", "cidrs").join(","),
  age(object, now),
];

export const ipAddressRow: Row = (object) => {
  const parent = treeAt(object, "spec", "parentRef");
  if (parent === undefined) return [nameOf(object), "<none>"];
  const group = textAt(parent, "group");
  const resource = textAt(parent, "resource");
  const namespace = textAt(parent, "namespace");
  const type = (group === "" ? resource : `${resource}.${group}`).toLowerCase();
  return [
    nameOf(object),
    [type, ...(namespace === "" ? [] : [namespace]), textAt(parent, "name")].join("/"),
  ];
};

export const apiServiceRow: Row = (object, now) => {
  const service = treeAt(object, "spec", "service");
  const available = treesAt(object, "status", "conditions").find(
    (item) => item["type"] === "Available",
  );
  const status = textAt(available, "status");
  const reason = textAt(available, "reason");
  return [
    nameOf(object),
    service === undefined ? "Local" : `${textAt(service, "namespace")}/${textAt(service, "name")}`,
    available === undefined
      ? "Unknown"
      : status === "True" || reason === ""
        ? status
        : `${status} (${reason})`,
    age(object, now),
  ];
};

export const scaleRow: Row = (object, now) => [
  nameOf(object),
  count(object, "spec", "replicas"),
  count(object, "status", "replicas"),
  age(object, now),
];

function ingressHosts(ingress: Tree): string {
  const hosts = treesAt(ingress, "spec", "rules")
    .map((rule) => textAt(rule, "host"))
    .filter((host) => host !== "");
  if (hosts.length === 0) return "*";
  const shown = hosts.slice(0, 3).join(",");
  return hosts.length > 3 ? `${shown} + ${hosts.length - 3} more...` : shown;
}

function portCell(port: Tree): string {
  const number = numberAt(port, "port");
  if (number !== undefined) return String(number);
  return textAt(port, "name") || "*";
}

function firstThree(items: readonly string[]): string {
  if (items.length === 0) return "<unset>";
  const shown = items.slice(0, 3).join(",");
  return items.length > 3 ? `${shown} + ${items.length - 3} more...` : shown;
}

function defaultMark(object: Tree, annotations: readonly string[]): string {
  const map = textMapAt(object, "metadata", "annotations");
  return annotations.some((name) => map[name] === "true") ? " (default)" : "";
}

function signingRequestCondition(request: Tree): string {
  const types = new Set(
    treesAt(request, "status", "conditions").map((item) => textAt(item, "type")),
  );
  let text = types.has("Denied") ? "Denied" : types.has("Approved") ? "Approved" : "Pending";
  if (types.has("Failed")) text += ",Failed";
  if (textAt(request, "status", "certificate") !== "") text += ",Issued";
  return text;
}

function policyRow(object: Tree, list: string, now: number): readonly Json[] {
  const kind = treeAt(object, "spec", "paramKind");
  return [
    nameOf(object),
    treesAt(object, "spec", list).length,
    kind === undefined ? "<unset>" : `${textAt(kind, "apiVersion")}/${textAt(kind, "kind")}`,
    age(object, now),
  ];
}

function paramRef(reference: Tree | undefined): string {
  if (reference === undefined) return "<unset>";
  const name = textAt(reference, "name");
  if (name === "") return selectorText(reference["selector"]) ?? "<error>";
  return `${textAt(reference, "namespace") || "*"}/${name}`;
}

function claimState(claim: Tree): string {
  const states: string[] = [];
  const isAllocated = treeAt(claim, "status", "allocation") !== undefined;
  const isDeleted = valueAt(claim, "metadata", "deletionTimestamp") !== undefined;
  if (isDeleted) states.push("deleted");
  if (isAllocated) states.push("allocated");
  else if (!isDeleted) states.push("pending");
  if (listAt(claim, "status", "reservedFor").length > 0) states.push("reserved");
  return states.join(",");
}
