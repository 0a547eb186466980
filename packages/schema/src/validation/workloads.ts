import type { StatusCause } from "@wherry/machinery";
import {
  isEmptyTree,
  numberAt,
  sameValue,
  textAt,
  textMapAt,
  treeAt,
  treesAt,
  valueAt,
  type Tree,
} from "../tree.ts";
import { selectorMatches, validateLabelSelector } from "./label-selectors.ts";
import { validatePodTemplate } from "./pod-spec.ts";
import { Problems } from "./problems.ts";
import { validateClaimSpec } from "./storage.ts";

const mismatch = "`selector` does not match template `labels`";
const immutable = "field is immutable";

export function validateDeployment(deployment: Tree): readonly StatusCause[] {
  const problems = new Problems();
  const spec = treeAt(deployment, "spec");
  problems.nonNegative(spec, "replicas", "spec");
  validateSelector(problems, spec, "empty selector is invalid for deployment");
  validateTemplate(problems, spec, { restartPolicy: ["Always"], forbidsDeadline: true });
  validateDeploymentStrategy(problems, treeAt(spec, "strategy"));
  for (const key of ["minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"]) {
    problems.nonNegative(spec, key, "spec");
  }
  const deadline = numberAt(spec, "progressDeadlineSeconds");
  if (deadline !== undefined && deadline <= (numberAt(spec, "minReadySeconds") ?? 0)) {
    problems.invalid(
      "spec.progressDeadlineSeconds",
      deadline,
      "must be greater than minReadySeconds",
    );
  }
  return problems.causes;
}

export function validateDeploymentUpdate(deployment: Tree, old: Tree): readonly StatusCause[] {
  const problems = new Problems();
  problems.add(validateDeployment(deployment));
  validateImmutableSelector(problems, deployment, old);
  validateReplicaCounts(problems, deployment, [
    ["readyReplicas", "replicas", "cannot be greater than status.replicas"],
    ["availableReplicas", "replicas", "cannot be greater than status.replicas"],
    ["availableReplicas", "readyReplicas", "cannot be greater than readyReplicas"],
  ]);
  return problems.causes;
}

export function validateReplicaSet(replicaSet: Tree): readonly StatusCause[] {
  const problems = new Problems();
  const spec = treeAt(replicaSet, "spec");
  problems.nonNegative(spec, "replicas", "spec");
  problems.nonNegative(spec, "minReadySeconds", "spec");
  validateSelector(problems, spec, "empty selector is invalid for deployment");
  validateTemplate(problems, spec, { restartPolicy: ["Always"], forbidsDeadline: true });
  return problems.causes;
}

export function validateReplicaSetUpdate(replicaSet: Tree, old: Tree): readonly StatusCause[] {
  const problems = new Problems();
  problems.add(validateReplicaSet(replicaSet));
  validateImmutableSelector(problems, replicaSet, old);
  return problems.causes;
}

export function validateReplicationController(controller: Tree): readonly StatusCause[] {
  const problems = new Problems();
  const spec = treeAt(controller, "spec");
  problems.nonNegative(spec, "minReadySeconds", "spec");
  const selector = textMapAt(spec, "selector");
  if (Object.keys(selector).length === 0) problems.required("spec.selector");
  problems.nonNegative(spec, "replicas", "spec");
  const template = treeAt(spec, "template");
  if (template === undefined) {
    problems.required("spec.template");
    return problems.causes;
  }
  const labels = textMapAt(template, "metadata", "labels");
  if (Object.entries(selector).some(([key, value]) => labels[key] !== value)) {
    problems.invalid("spec.template.metadata.labels", shown(labels), mismatch);
  }
  validateTemplate(problems, spec, {
    restartPolicy: ["Always"],
    forbidsDeadline: false,
    skipsSelector: true,
  });
  return problems.causes;
}

export function validateDaemonSet(daemonSet: Tree): readonly StatusCause[] {
  const problems = new Problems();
  const spec = treeAt(daemonSet, "spec");
  const selector = treeAt(spec, "selector");
  validateLabelSelector(problems, selector, "spec.selector");
  const labels = textMapAt(spec, "template", "metadata", "labels");
  const matches = selectorMatches(selector, labels);
  if (matches === false) problems.invalid("spec.template.metadata.labels", shown(labels), mismatch);
  if (selector !== undefined && isEmptyTree(selector)) {
    problems.invalid("spec.selector", selector, "empty selector is invalid for daemonset");
  }
  validateTemplate(problems, spec, {
    restartPolicy: ["Always"],
    forbidsDeadline: false,
    skipsSelector: true,
  });
  problems.nonNegative(spec, "minReadySeconds", "spec");
  const type = textAt(spec, "updateStrategy", "type");
  const supported = ["RollingUpdate", "OnDelete"];
  if (!supported.includes(type)) {
    problems.notSupported(
      "spec.updateStrategy",
      { Type: type, RollingUpdate: null },
      supported,
      "given",
    );
  }
  problems.nonNegative(spec, "revisionHistoryLimit", "spec");
  return problems.causes;
}

export function validateDaemonSetUpdate(daemonSet: Tree, old: Tree): readonly StatusCause[] {
  const problems = new Problems();
  problems.add(validateDaemonSet(daemonSet));
  validateImmutableSelector(problems, daemonSet, old);
  const status = treeAt(daemonSet, "status");
  for (const key of [
    "currentNumberScheduled",
    "numberMisscheduled",
    "desiredNumberScheduled",
    "numberReady",
    "observedGeneration",
    "updatedNumberScheduled",
    "numberAvailable",
    "numberUnavailable",
  ]) {
    problems.nonNegative(status, key, "status");
  }
  return problems.causes;
}

export function validateStatefulSet(statefulSet: Tree): readonly StatusCause[] {
  const problems = new Problems();
  const spec = treeAt(statefulSet, "spec");
  problems.oneOf(spec, "podManagementPolicy", "spec", ["OrderedReady", "Parallel"]);
  const strategy = treeAt(spec, "updateStrategy");
  const type = textAt(strategy, "type");
  if (type !== "RollingUpdate" && type !== "OnDelete") {
    problems.invalid(
      "spec.updateStrategy",
      { Type: type, RollingUpdate: null },
      "must be 'RollingUpdate' or 'OnDelete'",
    );
  }
  problems.nonNegative(
    treeAt(strategy, "rollingUpdate"),
    "partition",
    "spec.updateStrategy.rollingUpdate",
  );
  for (const key of ["whenDeleted", "whenScaled"]) {
    const policy = textAt(spec, "persistentVolumeClaimRetentionPolicy", key);
    if (policy !== "" && policy !== "Retain" && policy !== "Delete") {
      problems.notSupported(
        `spec.persistentVolumeClaimRetentionPolicy.${key}`,
        policy,
        ["Retain", "Delete"],
        "given",
      );
    }
  }
  problems.nonNegative(spec, "replicas", "spec");
  problems.nonNegative(spec, "minReadySeconds", "spec");
  problems.nonNegative(treeAt(spec, "ordinals"), "start", "spec.ordinals");
  validateSelector(problems, spec, "empty selector is invalid for statefulset", "");
  for (const [index, claim] of treesAt(spec, "volumeClaimTemplates").entries()) {
    validateClaimSpec(problems, treeAt(claim, "spec"), `spec.volumeClaimTemplates[${index}].spec`);
  }
  validateTemplate(problems, spec, { restartPolicy: ["Always"], forbidsDeadline: false });
  return problems.causes;
}

const statefulSetMutable = [
  "replicas",
  "ordinals",
  "template",
  "updateStrategy",
  "revisionHistoryLimit",
  "persistentVolumeClaimRetentionPolicy",
  "minReadySeconds",
];

export function validateStatefulSetUpdate(statefulSet: Tree, old: Tree): readonly StatusCause[] {
  const problems = new Problems();
  problems.add(validateStatefulSet(statefulSet));
  const fixed = { ...treeAt(statefulSet, "spec") };
  const before = { ...treeAt(old, "spec") };
  for (const key of statefulSetMutable) {
    delete fixed[key];
    delete before[key];
  }
  if (!sameValue(fixed, before)) {
    const list = statefulSetMutable.map((key) => `'${key}'`);
    problems.forbidden(
      "spec",
      `updates to statefulset spec for fields other than ${list.slice(0, -1).join(", ")} and ${list.at(-1)} are forbidden`,
    );
  }
  const limit = "cannot be greater than status.replicas";
  for (const key of ["replicas", "observedGeneration"])
    problems.nonNegative(treeAt(statefulSet, "status"), key, "status");
  validateReplicaCounts(problems, statefulSet, [
    ["readyReplicas", "replicas", limit],
    ["currentReplicas", "replicas", limit],
    ["updatedReplicas", "replicas", limit],
    ["availableReplicas", "replicas", limit],
    ["availableReplicas", "readyReplicas", "cannot be greater than status.readyReplicas"],
  ]);
  return problems.causes;
}

export function validatePodTemplateObject(podTemplate: Tree): readonly StatusCause[] {
  const problems = new Problems();
  validatePodTemplate(problems, podTemplate["template"], "template");
  return problems.causes;
}

interface TemplateRules {
  readonly restartPolicy: readonly string[];
  readonly forbidsDeadline: boolean;
  /** The selector was compared with the template before. */
  readonly skipsSelector?: boolean;
}

function validateSelector(
  problems: Problems,
  spec: Tree | undefined,
  emptyText: string,
  unusableText = "invalid label selector",
): void {
  const selector = treeAt(spec, "selector");
  if (selector === undefined) {
    problems.required("spec.selector");
    return;
  }
  validateLabelSelector(problems, selector, "spec.selector");
  if (isEmptyTree(selector)) problems.invalid("spec.selector", selector, emptyText);
  if (selectorMatches(selector, {}) === undefined)
    problems.invalid("spec.selector", selector, unusableText);
}

function validateTemplate(problems: Problems, spec: Tree | undefined, rules: TemplateRules): void {
  const labels = textMapAt(spec, "template", "metadata", "labels");
  const selector = treeAt(spec, "selector");
  const matches = rules.skipsSelector === true ? undefined : selectorMatches(selector, labels);
  const isEmptySelector = selector !== undefined && isEmptyTree(selector);
  if (matches === false && !isEmptySelector)
    problems.invalid("spec.template.metadata.labels", shown(labels), mismatch);
  validatePodTemplate(problems, valueAt(spec, "template"), "spec.template");
  const template = treeAt(spec, "template", "spec");
  const policy = textAt(template, "restartPolicy");
  if (policy !== "" && !rules.restartPolicy.includes(policy)) {
    problems.notSupported("spec.template.spec.restartPolicy", policy, rules.restartPolicy);
  }
  if (rules.forbidsDeadline && template?.["activeDeadlineSeconds"] !== undefined) {
    problems.forbidden(
      "spec.template.spec.activeDeadlineSeconds",
      "activeDeadlineSeconds in ReplicaSet is not Supported",
    );
  }
}

function validateDeploymentStrategy(problems: Problems, strategy: Tree | undefined): void {
  const type = textAt(strategy, "type");
  const path = "spec.strategy";
  const rolling = treeAt(strategy, "rollingUpdate");
  if (type === "Recreate") {
    if (rolling !== undefined) {
      problems.forbidden(
        `${path}.rollingUpdate`,
        "may not be specified when strategy `type` is 'Recreate'",
      );
    }
    return;
  }
  if (type !== "RollingUpdate") {
    problems.notSupported(`${path}.type`, type, ["Recreate", "RollingUpdate"]);
    return;
  }
  if (rolling === undefined) {
    problems.required(`${path}.rollingUpdate`, "this should be defaulted and never be nil");
    return;
  }
  const field = `${path}.rollingUpdate`;
  for (const key of ["maxUnavailable", "maxSurge"])
    validateAmountOrPercent(problems, rolling[key], `${field}.${key}`);
  if (amountOf(rolling["maxUnavailable"]) === 0 && amountOf(rolling["maxSurge"]) === 0) {
    problems.invalid(
      `${field}.maxUnavailable`,
      rolling["maxUnavailable"],
      "may not be 0 when `maxSurge` is 0",
    );
  }
  const unavailable = rolling["maxUnavailable"];
  if (typeof unavailable === "string" && amountOf(unavailable) > 100) {
    problems.invalid(`${field}.maxUnavailable`, unavailable, "must not be greater than 100%");
  }
}

/** A count or a share ("25%"). */
export function validateAmountOrPercent(problems: Problems, value: unknown, field: string): void {
  if (typeof value === "number") {
    if (value < 0) problems.invalid(field, value, "must be greater than or equal to 0");
  } else if (typeof value === "string" && !/^[0-9]+%$/.test(value)) {
    problems.invalid(
      field,
      value,
      "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
    );
  }
}

export function amountOf(value: unknown): number {
  return typeof value === "number" ? value : Number.parseInt(String(value ?? 0), 10);
}

function validateImmutableSelector(problems: Problems, object: Tree, old: Tree): void {
  const selector = valueAt(object, "spec", "selector");
  if (!sameValue(selector, valueAt(old, "spec", "selector")))
    problems.invalid("spec.selector", selector, immutable);
}

function validateReplicaCounts(
  problems: Problems,
  object: Tree,
  rules: readonly (readonly [key: string, limit: string, text: string])[],
): void {
  const status = treeAt(object, "status");
  for (const [key, limit, text] of rules) {
    const value = numberAt(status, key) ?? 0;
    if (value > (numberAt(status, limit) ?? 0)) problems.invalid(`status.${key}`, value, text);
  }
}

/** No labels at all print as null. */
function shown(labels: Readonly<Record<string, string>>): unknown {
  return Object.keys(labels).length === 0 ? null : labels;
}
