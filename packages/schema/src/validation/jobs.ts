import type { StatusCause } from "@wherry/machinery";
import { numberAt, sameValue, textAt, textMapAt, treeAt, valueAt, type Tree } from "../tree.ts";
import { selectorMatches, validateLabelSelector } from "./label-selectors.ts";
import { validatePodTemplate } from "./pod-spec.ts";
import { Problems } from "./problems.ts";

const cronJobNameMax = 52;

export function validateJob(job: Tree): readonly StatusCause[] {
  const problems = new Problems();
  const spec = treeAt(job, "spec");
  const selector = treeAt(spec, "selector");
  if (selector === undefined) problems.required("spec.selector");
  else validateLabelSelector(problems, selector, "spec.selector");
  const labels = textMapAt(spec, "template", "metadata", "labels");
  if (selectorMatches(selector, labels) === false) {
    const shown = Object.keys(labels).length === 0 ? null : labels;
    problems.invalid(
      "spec.template.metadata.labels",
      shown,
      "`selector` does not match template `labels`",
    );
  }
  validateJobSpec(problems, spec, "spec");
  return problems.causes;
}

export function validateJobUpdate(job: Tree, old: Tree): readonly StatusCause[] {
  const problems = new Problems();
  problems.add(validateJob(job));
  const spec = treeAt(job, "spec");
  const before = treeAt(old, "spec");
  const isIndexed = textAt(before, "completionMode") === "Indexed";
  if (!isIndexed) immutable(problems, spec, before, "completions");
  for (const key of [
    "selector",
    "template",
    "completionMode",
    "podFailurePolicy",
    "backoffLimitPerIndex",
    "managedBy",
  ]) {
    // A suspended job that has not started may still be told where to run.
    if (
      key === "template" &&
      before?.["suspend"] === true &&
      valueAt(old, "status", "startTime") === undefined
    )
      continue;
    immutable(problems, spec, before, key);
  }
  return problems.causes;
}

export function validateCronJob(cronJob: Tree): readonly StatusCause[] {
  const problems = new Problems();
  const spec = treeAt(cronJob, "spec");
  validateSchedule(problems, textAt(spec, "schedule"));
  problems.oneOf(spec, "concurrencyPolicy", "spec", ["Allow", "Forbid", "Replace"]);
  for (const key of [
    "startingDeadlineSeconds",
    "successfulJobsHistoryLimit",
    "failedJobsHistoryLimit",
  ]) {
    problems.nonNegative(spec, key, "spec");
  }
  const template = treeAt(spec, "jobTemplate", "spec");
  validateJobSpec(problems, template, "spec.jobTemplate.spec");
  if (template?.["manualSelector"] === true) {
    problems.notSupported("spec.jobTemplate.spec.manualSelector", true, ["nil", "false"], "given");
  }
  const name = textAt(cronJob, "metadata", "name");
  if (name.length > cronJobNameMax) {
    problems.invalid("metadata.name", name, `must be no more than ${cronJobNameMax} characters`);
  }
  return problems.causes;
}

function validateJobSpec(problems: Problems, spec: Tree | undefined, path: string): void {
  for (const key of [
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
  ]) {
    problems.nonNegative(spec, key, path);
  }
  problems.oneOf(spec, "completionMode", path, ["Indexed", "NonIndexed"]);
  const perIndex = numberAt(spec, "backoffLimitPerIndex");
  if (perIndex !== undefined && textAt(spec, "completionMode") !== "Indexed") {
    problems.invalid(`${path}.backoffLimitPerIndex`, perIndex, "requires indexed completion mode");
  }
  const manager = textAt(spec, "managedBy");
  if (manager !== "" && !/^[^/]+\/.+$/.test(manager)) {
    problems.invalid(
      `${path}.managedBy`,
      manager,
      'must be a domain-prefixed path (such as "acme.io/foo")',
    );
  }
  validatePodTemplate(problems, valueAt(spec, "template"), `${path}.template`);
  const policy = textAt(spec, "template", "spec", "restartPolicy");
  const field = `${path}.template.spec.restartPolicy`;
  if (policy === "Always" || policy === "")
    problems.required(field, 'valid values: "OnFailure", "Never"');
  else if (spec?.["podFailurePolicy"] !== undefined && policy !== "Never") {
    problems.invalid(field, policy, 'only "Never" is supported when podFailurePolicy is specified');
  }
}

/** Five fields, or one of the names; times of day belong to the zone of the job. */
function validateSchedule(problems: Problems, schedule: string): void {
  const field = "spec.schedule";
  if (schedule === "") {
    problems.required(field);
    return;
  }
  if (schedule.includes("TZ")) {
    problems.invalid(
      field,
      schedule,
      "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
    );
    return;
  }
  if (schedule.startsWith("@")) {
    if (!/^@(yearly|annually|monthly|weekly|daily|midnight|hourly|every \d+.*)$/.test(schedule)) {
      problems.invalid(field, schedule, `unrecognized descriptor: ${schedule}`);
    }
    return;
  }
  const parts = schedule.trim().split(/\s+/);
  if (parts.length !== 5) {
    problems.invalid(
      field,
      schedule,
      `expected exactly 5 fields, found ${parts.length}: [${parts.join(" ")}]`,
    );
  }
}

function immutable(
  problems: Problems,
  spec: Tree | undefined,
  before: Tree | undefined,
  key: string,
): void {
  if (!sameValue(spec?.[key], before?.[key]))
    problems.invalid(`spec.${key}`, spec?.[key] ?? null, "field is immutable");
}
