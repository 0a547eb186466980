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
import { defaultPodSpec, defaultTemplate } from "./pod-defaults.ts";
import { defaultPersistentVolumeClaim } from "./storage-defaults.ts";

export function defaultDeployment(deployment: Tree): void {
  const spec = ensureTree(deployment, "spec");
  setIfUnset(spec, "replicas", 1);
  const strategy = ensureTree(spec, "strategy");
  setIfZero(strategy, "type", "RollingUpdate");
  if (strategy["type"] === "RollingUpdate") {
    const rollingUpdate = ensureTree(strategy, "rollingUpdate");
    setIfUnset(rollingUpdate, "maxUnavailable", "25%");
    setIfUnset(rollingUpdate, "maxSurge", "25%");
  }
  setIfUnset(spec, "revisionHistoryLimit", 10);
  setIfUnset(spec, "progressDeadlineSeconds", 600);
  defaultTemplate(spec);
}

export function defaultReplicaSet(replicaSet: Tree): void {
  const spec = ensureTree(replicaSet, "spec");
  setIfUnset(spec, "replicas", 1);
  defaultTemplate(spec);
}

export function defaultReplicationController(controller: Tree): void {
  const spec = ensureTree(controller, "spec");
  setIfUnset(spec, "replicas", 1);
  const labels = treeAt(spec, "template", "metadata", "labels");
  if (labels !== undefined && !isEmptyTree(labels)) {
    if (isEmptyTree(spec["selector"])) spec["selector"] = { ...labels };
    const metadata = ensureTree(controller, "metadata");
    if (isEmptyTree(metadata["labels"])) metadata["labels"] = { ...labels };
  }
  if (treeAt(spec, "template") !== undefined) defaultTemplate(spec);
}

export function defaultDaemonSet(daemonSet: Tree): void {
  const spec = ensureTree(daemonSet, "spec");
  const strategy = ensureTree(spec, "updateStrategy");
  setIfZero(strategy, "type", "RollingUpdate");
  if (strategy["type"] === "RollingUpdate") {
    const rollingUpdate = ensureTree(strategy, "rollingUpdate");
    setIfUnset(rollingUpdate, "maxUnavailable", 1);
    setIfUnset(rollingUpdate, "maxSurge", 0);
  }
  setIfUnset(spec, "revisionHistoryLimit", 10);
  defaultTemplate(spec);
}

export function defaultStatefulSet(statefulSet: Tree): void {
  const spec = ensureTree(statefulSet, "spec");
  setIfZero(spec, "podManagementPolicy", "OrderedReady");
  const strategy = ensureTree(spec, "updateStrategy");
  if (textAt(strategy, "type") === "") {
    strategy["type"] = "RollingUpdate";
    setIfUnset(strategy, "rollingUpdate", {});
  }
  const rollingUpdate = treeAt(strategy, "rollingUpdate");
  if (strategy["type"] === "RollingUpdate" && rollingUpdate !== undefined) {
    setIfUnset(rollingUpdate, "partition", 0);
  }
  const retention = ensureTree(spec, "persistentVolumeClaimRetentionPolicy");
  setIfZero(retention, "whenDeleted", "Retain");
  setIfZero(retention, "whenScaled", "Retain");
  setIfUnset(spec, "replicas", 1);
  setIfUnset(spec, "revisionHistoryLimit", 10);
  for (const claim of treesAt(spec, "volumeClaimTemplates")) {
    claim["apiVersion"] = "v1";
    claim["kind"] = "PersistentVolumeClaim";
    defaultPersistentVolumeClaim(claim);
  }
  defaultTemplate(spec);
}

export function defaultJob(job: Tree): void {
  const spec = ensureTree(job, "spec");
  if (spec["completions"] === undefined && spec["parallelism"] === undefined) {
    spec["completions"] = 1;
  }
  setIfUnset(spec, "parallelism", 1);
  setIfUnset(spec, "backoffLimit", spec["backoffLimitPerIndex"] === undefined ? 6 : 2147483647);
  const labels = treeAt(spec, "template", "metadata", "labels");
  const metadata = ensureTree(job, "metadata");
  if (labels !== undefined && !isEmptyTree(labels) && isEmptyTree(metadata["labels"])) {
    metadata["labels"] = { ...labels };
  }
  setIfUnset(spec, "completionMode", "NonIndexed");
  setIfUnset(spec, "suspend", false);
  setIfUnset(
    spec,
    "podReplacementPolicy",
    spec["podFailurePolicy"] === undefined ? "TerminatingOrFailed" : "Failed",
  );
  setIfUnset(spec, "manualSelector", false);
  defaultJobTemplate(spec);
}

export function defaultCronJob(cronJob: Tree): void {
  const spec = ensureTree(cronJob, "spec");
  setIfZero(spec, "concurrencyPolicy", "Allow");
  setIfUnset(spec, "suspend", false);
  setIfUnset(spec, "successfulJobsHistoryLimit", 3);
  setIfUnset(spec, "failedJobsHistoryLimit", 1);
  defaultJobTemplate(ensureTree(ensureTree(spec, "jobTemplate"), "spec"));
}

export function defaultPodTemplate(podTemplate: Tree): void {
  defaultPodSpec(ensureTree(ensureTree(podTemplate, "template"), "spec"));
}

function defaultJobTemplate(spec: Tree): void {
  for (const rule of treesAt(spec, "podFailurePolicy", "rules")) {
    for (const pattern of treesAt(rule, "onPodConditions")) setIfZero(pattern, "status", "True");
  }
  defaultTemplate(spec);
}
