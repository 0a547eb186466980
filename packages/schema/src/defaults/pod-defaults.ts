import { sumOfQuantities } from "../quantity.ts";
import {
  ensureTree,
  isEmptyTree,
  setIfUnset,
  setIfZero,
  textAt,
  treeAt,
  treesAt,
  type Tree,
} from "../tree.ts";
import { roundResourceList, roundResources } from "./resource-lists.ts";
import { defaultClaimSpec } from "./storage-defaults.ts";
import { defaultVolumeSource } from "./volume-sources.ts";

export function defaultPod(pod: Tree): void {
  const spec = ensureTree(pod, "spec");
  for (const container of [...treesAt(spec, "containers"), ...treesAt(spec, "initContainers")]) {
    defaultRequestsFromLimits(container);
  }
  defaultPodLevelResources(spec);
  setIfUnset(spec, "enableServiceLinks", true);
  if (spec["hostNetwork"] === true) defaultHostPorts(spec);
  defaultPodSpec(spec);
  mirrorPodAddresses(pod);
}

/** What pods and pod templates share. */
export function defaultPodSpec(spec: Tree): void {
  setIfZero(spec, "dnsPolicy", "ClusterFirst");
  setIfZero(spec, "restartPolicy", "Always");
  setIfUnset(spec, "securityContext", {});
  setIfUnset(spec, "terminationGracePeriodSeconds", 30);
  setIfZero(spec, "schedulerName", "default-scheduler");
  mirrorServiceAccount(spec);
  for (const volume of treesAt(spec, "volumes")) defaultVolume(volume);
  for (const list of ["initContainers", "containers", "ephemeralContainers"]) {
    for (const container of treesAt(spec, list)) defaultContainer(container);
  }
  roundResourceList(treeAt(spec, "overhead"));
  roundResources(spec);
}

/** Defaults of the template of a workload. */
export function defaultTemplate(holder: Tree): void {
  defaultPodSpec(ensureTree(ensureTree(holder, "template"), "spec"));
}

function defaultContainer(container: Tree): void {
  setIfZero(container, "imagePullPolicy", pullPolicyOf(textAt(container, "image")));
  setIfZero(container, "terminationMessagePath", "/dev/termination-log");
  setIfZero(container, "terminationMessagePolicy", "File");
  for (const port of treesAt(container, "ports")) setIfZero(port, "protocol", "TCP");
  for (const variable of treesAt(container, "env")) {
    const fieldRef = treeAt(variable, "valueFrom", "fieldRef");
    if (fieldRef !== undefined) setIfZero(fieldRef, "apiVersion", "v1");
    const fileKeyRef = treeAt(variable, "valueFrom", "fileKeyRef");
    if (fileKeyRef !== undefined) setIfUnset(fileKeyRef, "optional", false);
  }
  for (const name of ["livenessProbe", "readinessProbe", "startupProbe"]) {
    const probe = treeAt(container, name);
    if (probe !== undefined) defaultProbe(probe);
  }
  for (const hook of ["postStart", "preStop"]) {
    defaultHttpGet(treeAt(container, "lifecycle", hook, "httpGet"));
  }
  roundResources(container);
}

function defaultProbe(probe: Tree): void {
  setIfZero(probe, "timeoutSeconds", 1);
  setIfZero(probe, "periodSeconds", 10);
  setIfZero(probe, "successThreshold", 1);
  setIfZero(probe, "failureThreshold", 3);
  const grpc = treeAt(probe, "grpc");
  if (grpc !== undefined) setIfUnset(grpc, "service", "");
  defaultHttpGet(treeAt(probe, "httpGet"));
}

function defaultHttpGet(httpGet: Tree | undefined): void {
  if (httpGet === undefined) return;
  setIfZero(httpGet, "path", "/");
  setIfZero(httpGet, "scheme", "HTTP");
}

function defaultVolume(volume: Tree): void {
  if (Object.keys(volume).every((key) => key === "name")) volume["emptyDir"] = {};
  for (const source of ["secret", "configMap", "downwardAPI", "projected"]) {
    const tree = treeAt(volume, source);
    if (tree !== undefined) setIfUnset(tree, "defaultMode", 420);
  }
  defaultFieldRefs(treesAt(volume, "downwardAPI", "items"));
  for (const source of treesAt(volume, "projected", "sources")) {
    const token = treeAt(source, "serviceAccountToken");
    if (token !== undefined) setIfUnset(token, "expirationSeconds", 3600);
    defaultFieldRefs(treesAt(source, "downwardAPI", "items"));
  }
  const image = treeAt(volume, "image");
  if (image !== undefined) setIfZero(image, "pullPolicy", pullPolicyOf(textAt(image, "reference")));
  const claim = treeAt(volume, "ephemeral", "volumeClaimTemplate");
  if (claim !== undefined) defaultClaimSpec(ensureTree(claim, "spec"));
  defaultVolumeSource(volume);
}

function defaultFieldRefs(items: readonly Tree[]): void {
  for (const item of items) {
    const fieldRef = treeAt(item, "fieldRef");
    if (fieldRef !== undefined) setIfZero(fieldRef, "apiVersion", "v1");
  }
}

function defaultRequestsFromLimits(container: Tree): void {
  const limits = treeAt(container, "resources", "limits");
  if (limits === undefined) return;
  const requests = ensureTree(ensureTree(container, "resources"), "requests");
  for (const [name, limit] of Object.entries(limits)) setIfUnset(requests, name, limit);
  if (isEmptyTree(requests)) delete ensureTree(container, "resources")["requests"];
}

/** A pod's own limits give its own requests: the sum over its containers where one is known, else the limit. */
function defaultPodLevelResources(spec: Tree): void {
  const resources = treeAt(spec, "resources");
  const limits = treeAt(resources, "limits");
  if (resources === undefined || limits === undefined || isEmptyTree(limits)) return;
  const requests = ensureTree(resources, "requests");
  for (const [name, limit] of Object.entries(limits)) {
    if (requests[name] !== undefined) continue;
    const sum = sumOfRequests(spec, name);
    requests[name] = sum !== undefined && !name.startsWith("hugepages-") ? sum : limit;
  }
}

function sumOfRequests(spec: Tree, name: string): string | undefined {
  let sum: string | undefined;
  for (const container of treesAt(spec, "containers")) {
    const request = treeAt(container, "resources", "requests")?.[name];
    if (request !== undefined) sum = sumOfQuantities(sum ?? "0", request);
  }
  return sum;
}

function defaultHostPorts(spec: Tree): void {
  for (const container of [...treesAt(spec, "containers"), ...treesAt(spec, "initContainers")]) {
    for (const port of treesAt(container, "ports"))
      setIfZero(port, "hostPort", port["containerPort"]);
  }
}

/** The old name of the field is kept equal to the new one. */
function mirrorServiceAccount(spec: Tree): void {
  const name = textAt(spec, "serviceAccountName") || textAt(spec, "serviceAccount");
  if (name === "") return;
  spec["serviceAccountName"] = name;
  spec["serviceAccount"] = name;
}

/** podIP is the first of podIPs, whichever of them was given. */
function mirrorPodAddresses(pod: Tree): void {
  const status = treeAt(pod, "status");
  if (status === undefined) return;
  mirrorFirst(status, "podIP", "podIPs");
  mirrorFirst(status, "hostIP", "hostIPs");
}

function mirrorFirst(status: Tree, single: string, list: string): void {
  const first = textAt(treesAt(status, list)[0], "ip");
  const address = textAt(status, single);
  if (address !== "" && first === "") status[list] = [{ ip: address }];
  else if (address === "" && first !== "" && single === "podIP") status[single] = first;
}

const imagePattern =
  /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?(?::\d+)?\/)?[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*(?::([\w][\w.-]{0,127}))?(@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?$/;

/** Images that may change under the same name are pulled each time. An unreadable name counts as having a fixed tag. */
export function pullPolicyOf(image: string): "Always" | "IfNotPresent" {
  const match = imagePattern.exec(image);
  if (match === null) return "IfNotPresent";
  const tag = match[1] ?? (match[2] === undefined ? "latest" : "");
  return tag === "latest" ? "Always" : "IfNotPresent";
}
