import type { Json } from "@wherry/machinery";
import { numberAt, textAt, treeAt, treesAt, valueAt, type Tree } from "../tree.ts";
import { ageOf, humanDuration } from "./human-duration.ts";
import { mapCell, selectorCell, selectorText } from "./selector-text.ts";
import type { Row } from "./kind-rows.ts";

export const deploymentRow: Row = (object, now) => [
  nameOf(object),
  `${count(object, "status", "readyReplicas")}/${count(object, "spec", "replicas")}`,
  count(object, "status", "updatedReplicas"),
  count(object, "status", "availableReplicas"),
  age(object, now),
  ...containerCells(object),
  selectorText(valueAt(object, "spec", "selector")) ?? "<invalid>",
];

export const replicaSetRow: Row = (object, now) => [
  nameOf(object),
  count(object, "spec", "replicas"),
  count(object, "status", "replicas"),
  count(object, "status", "readyReplicas"),
  age(object, now),
  ...containerCells(object),
  selectorCell(valueAt(object, "spec", "selector")),
];

export const replicationControllerRow: Row = (object, now) => [
  ...replicaSetRow(object, now).slice(0, 7),
  mapCell(valueAt(object, "spec", "selector")),
];

export const daemonSetRow: Row = (object, now) => [
  nameOf(object),
  count(object, "status", "desiredNumberScheduled"),
  count(object, "status", "currentNumberScheduled"),
  count(object, "status", "numberReady"),
  count(object, "status", "updatedNumberScheduled"),
  count(object, "status", "numberAvailable"),
  mapCell(valueAt(object, "spec", "template", "spec", "nodeSelector")),
  age(object, now),
  ...containerCells(object),
  selectorCell(valueAt(object, "spec", "selector")),
];

export const statefulSetRow: Row = (object, now) => [
  nameOf(object),
  `${count(object, "status", "readyReplicas")}/${count(object, "spec", "replicas")}`,
  age(object, now),
  ...containerCells(object),
];

export const jobRow: Row = (object, now) => [
  nameOf(object),
  jobStatus(object),
  jobCompletions(object),
  jobDuration(object, now),
  age(object, now),
  ...containerCells(object),
  selectorCell(valueAt(object, "spec", "selector")),
];

export const cronJobRow: Row = (object, now) => {
  const suspend = valueAt(object, "spec", "suspend");
  const last = textAt(object, "status", "lastScheduleTime");
  const template = treeAt(object, "spec", "jobTemplate");
  return [
    nameOf(object),
    textAt(object, "spec", "schedule"),
    textAt(object, "spec", "timeZone") || "<none>",
    suspend === undefined ? "<unset>" : suspend === true ? "True" : "False",
    treesAt(object, "status", "active").length,
    last === "" ? "<none>" : ageOf(last, now),
    age(object, now),
    ...containerCells(template),
    selectorCell(valueAt(template, "spec", "selector")),
  ];
};

export const podTemplateRow: Row = (object) => [
  nameOf(object),
  ...containerCells({ spec: object }),
  mapCell(valueAt(object, "template", "metadata", "labels")),
];

export const controllerRevisionRow: Row = (object, now) => {
  const owner = treesAt(object, "metadata", "ownerReferences").find(
    (item) => item["controller"] === true,
  );
  return [
    nameOf(object),
    owner === undefined ? "<none>" : `${ownerType(owner)}/${textAt(owner, "name")}`,
    count(object, "revision"),
    age(object, now),
  ];
};

export const disruptionBudgetRow: Row = (object, now) => [
  nameOf(object),
  textOrNumber(valueAt(object, "spec", "minAvailable"), "N/A"),
  textOrNumber(valueAt(object, "spec", "maxUnavailable"), "N/A"),
  count(object, "status", "disruptionsAllowed"),
  age(object, now),
];

export function nameOf(object: Tree): string {
  return textAt(object, "metadata", "name");
}

export function age(object: Tree, now: number): string {
  return ageOf(valueAt(object, "metadata", "creationTimestamp"), now);
}

export function count(object: Tree, ...path: readonly string[]): number {
  return numberAt(object, ...path) ?? 0;
}

export function textOrNumber(value: unknown, missing: string): string {
  return typeof value === "string" || typeof value === "number" ? String(value) : missing;
}

function containerCells(object: unknown): readonly Json[] {
  const containers = treesAt(object, "spec", "template", "spec", "containers");
  return [
    containers.map((container) => textAt(container, "name")).join(","),
    containers.map((container) => textAt(container, "image")).join(","),
  ];
}

function ownerType(owner: Tree): string {
  const group = textAt(owner, "apiVersion").split("/").slice(0, -1).join("/");
  const kind = textAt(owner, "kind").toLowerCase();
  return group === "" ? kind : `${kind}.${group}`;
}

function jobStatus(job: Tree): string {
  const holds = (type: string): boolean =>
    treesAt(job, "status", "conditions").some(
      (item) => item["type"] === type && item["status"] === "True",
    );
  if (holds("Complete")) return "Complete";
  if (holds("Failed")) return "Failed";
  if (valueAt(job, "metadata", "deletionTimestamp") !== undefined) return "Terminating";
  if (holds("Suspended")) return "Suspended";
  if (holds("FailureTarget")) return "FailureTarget";
  if (holds("SuccessCriteriaMet")) return "SuccessCriteriaMet";
  return "Running";
}

function jobCompletions(job: Tree): string {
  const succeeded = count(job, "status", "succeeded");
  const completions = numberAt(job, "spec", "completions");
  if (completions !== undefined) return `${succeeded}/${completions}`;
  const parallelism = count(job, "spec", "parallelism");
  return parallelism > 1 ? `${succeeded}/1 of ${parallelism}` : `${succeeded}/1`;
}

function jobDuration(job: Tree, now: number): string {
  const start = textAt(job, "status", "startTime");
  if (start === "") return "";
  const end = textAt(job, "status", "completionTime");
  return humanDuration((end === "" ? now : Date.parse(end)) - Date.parse(start));
}
