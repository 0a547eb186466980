import {
  dnsLabelErrors,
  dnsSubdomainErrors,
  labelValueErrors,
  qualifiedNameErrors,
} from "@wherry/machinery";
import { numberAt, stringsAt, textAt, textMapAt, treeAt, treesAt, type Tree } from "../tree.ts";
import { validateContainers, validateSecurityContext } from "./containers.ts";
import { validateLabelSelector, validateNodeRequirement } from "./label-selectors.ts";
import { validateAnnotations, validateLabels } from "./metadata.ts";
import type { Problems } from "./problems.ts";
import { validateVolumes } from "./volumes.ts";

const effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
const affinityKinds = [
  "requiredDuringSchedulingIgnoredDuringExecution",
  "preferredDuringSchedulingIgnoredDuringExecution",
] as const;

/** A pod's desired state, in a pod or in a template. `path` is that of the spec. */
export function validatePodSpec(problems: Problems, spec: Tree | undefined, path: string): void {
  const volumes = validateVolumes(problems, treesAt(spec, "volumes"), `${path}.volumes`);
  const claims = validateResourceClaims(problems, spec, path);
  const containers = treesAt(spec, "containers");
  const names = new Set<string>();
  if (containers.length === 0) problems.required(`${path}.containers`);
  validateContainers(problems, containers, "main", `${path}.containers`, volumes, names, claims);
  validateContainers(
    problems,
    treesAt(spec, "initContainers"),
    "init",
    `${path}.initContainers`,
    volumes,
    names,
    claims,
  );
  validateContainers(
    problems,
    treesAt(spec, "ephemeralContainers"),
    "ephemeral",
    `${path}.ephemeralContainers`,
    volumes,
    names,
    claims,
  );
  problems.oneOf(spec, "restartPolicy", path, ["Always", "OnFailure", "Never"]);
  problems.oneOf(spec, "dnsPolicy", path, [
    "ClusterFirstWithHostNet",
    "ClusterFirst",
    "Default",
    "None",
  ]);
  if (
    textAt(spec, "dnsPolicy") === "None" &&
    stringsAt(spec, "dnsConfig", "nameservers").length === 0
  ) {
    problems.required(
      `${path}.dnsConfig.nameservers`,
      "must provide at least one DNS nameserver when `dnsPolicy` is None",
    );
  }
  validateLabels(problems, textMapAt(spec, "nodeSelector"), `${path}.nodeSelector`);
  validatePodSecurityContext(problems, spec, path);
  validateAffinity(problems, treeAt(spec, "affinity"), `${path}.affinity`);
  for (const [index, gate] of treesAt(spec, "readinessGates").entries()) {
    const type = textAt(gate, "conditionType");
    problems.invalidBy(
      `${path}.readinessGates[${index}].conditionType`,
      type,
      qualifiedNameErrors(type),
    );
  }
  validateSchedulingGates(problems, spec, path);
  validateSpread(problems, spec, path);
  validateNames(problems, spec, path);
  validateTolerations(problems, treesAt(spec, "tolerations"), `${path}.tolerations`);
  const os = treeAt(spec, "os");
  if (os !== undefined) validateOs(problems, spec, textAt(os, "name"), path);
}

/** Labels, annotations and spec of a template. */
export function validatePodTemplate(problems: Problems, template: unknown, path: string): void {
  validateLabels(problems, textMapAt(template, "metadata", "labels"), `${path}.labels`);
  validateAnnotations(
    problems,
    textMapAt(template, "metadata", "annotations"),
    `${path}.annotations`,
  );
  validatePodSpec(problems, treeAt(template, "spec"), `${path}.spec`);
}

function validateNames(problems: Problems, spec: Tree | undefined, path: string): void {
  const subdomains = ["serviceAccountName", "nodeName", "priorityClassName", "runtimeClassName"];
  for (const key of subdomains) {
    const value = textAt(spec, key);
    if (value !== "") problems.invalidBy(`${path}.${key}`, value, dnsSubdomainErrors(value));
  }
  for (const key of ["hostname", "subdomain"]) {
    const value = textAt(spec, key);
    if (value !== "") problems.invalidBy(`${path}.${key}`, value, dnsLabelErrors(value));
  }
  const deadline = numberAt(spec, "activeDeadlineSeconds");
  if (deadline !== undefined && (deadline < 1 || deadline > 2147483647)) {
    problems.invalid(
      `${path}.activeDeadlineSeconds`,
      deadline,
      "must be between 1 and 2147483647, inclusive",
    );
  }
  problems.oneOf(spec, "preemptionPolicy", path, ["Never", "PreemptLowerPriority"]);
}

function validateResourceClaims(
  problems: Problems,
  spec: Tree | undefined,
  path: string,
): readonly string[] {
  const names: string[] = [];
  for (const [index, claim] of treesAt(spec, "resourceClaims").entries()) {
    const field = `${path}.resourceClaims[${index}]`;
    const name = textAt(claim, "name");
    if (name === "") problems.required(`${field}.name`);
    else {
      problems.invalidBy(`${field}.name`, name, dnsLabelErrors(name));
      if (names.includes(name)) problems.duplicate(`${field}.name`, name);
    }
    const given = ["resourceClaimName", "resourceClaimTemplateName"].filter(
      (key) => claim[key] !== undefined,
    );
    if (given.length !== 1) {
      const shown = {
        Name: name,
        ResourceClaimName: claim["resourceClaimName"] ?? null,
        ResourceClaimTemplateName: claim["resourceClaimTemplateName"] ?? null,
      };
      problems.invalid(
        field,
        shown,
        given.length === 0
          ? "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
          : "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified",
      );
    }
    names.push(name);
  }
  return names;
}

function validatePodSecurityContext(
  problems: Problems,
  spec: Tree | undefined,
  path: string,
): void {
  validateSecurityContext(problems, treeAt(spec, "securityContext"), `${path}.securityContext`);
}

function validateSchedulingGates(problems: Problems, spec: Tree | undefined, path: string): void {
  const seen = new Set<string>();
  for (const [index, gate] of treesAt(spec, "schedulingGates").entries()) {
    const field = `${path}.schedulingGates[${index}]`;
    const name = textAt(gate, "name");
    problems.invalidBy(field, name, qualifiedNameErrors(name));
    if (seen.has(name)) problems.duplicate(field, name);
    seen.add(name);
  }
}

function validateSpread(problems: Problems, spec: Tree | undefined, path: string): void {
  const constraints = treesAt(spec, "topologySpreadConstraints");
  for (const [index, constraint] of constraints.entries()) {
    const field = `${path}.topologySpreadConstraints[${index}]`;
    const key = textAt(constraint, "topologyKey");
    const action = textAt(constraint, "whenUnsatisfiable");
    const skew = numberAt(constraint, "maxSkew") ?? 0;
    if (skew <= 0) problems.invalid(`${field}.maxSkew`, skew, "must be greater than zero");
    if (key === "") problems.required(`${field}.topologyKey`, "can not be empty");
    else problems.invalidBy(`${field}.topologyKey`, key, qualifiedNameErrors(key));
    const supported = ["DoNotSchedule", "ScheduleAnyway"];
    if (!supported.includes(action))
      problems.notSupported(`${field}.whenUnsatisfiable`, action, supported);
    const rest = constraints.slice(index + 1);
    if (
      rest.some(
        (other) =>
          textAt(other, "topologyKey") === key && textAt(other, "whenUnsatisfiable") === action,
      )
    ) {
      problems.duplicate(`${field}.{topologyKey, whenUnsatisfiable}`, `{${key}, ${action}}`);
    }
    const domains = numberAt(constraint, "minDomains");
    if (domains !== undefined) {
      if (domains <= 0)
        problems.invalid(`${field}.minDomains`, domains, "must be greater than zero");
      if (action !== "DoNotSchedule") {
        problems.invalid(
          `${field}.minDomains`,
          domains,
          `can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ${action}`,
        );
      }
    }
    validateLabelSelector(problems, treeAt(constraint, "labelSelector"), `${field}.labelSelector`);
  }
}

function validateTolerations(problems: Problems, tolerations: readonly Tree[], path: string): void {
  for (const [index, toleration] of tolerations.entries()) {
    const field = `${path}[${index}]`;
    const key = textAt(toleration, "key");
    const operator = textAt(toleration, "operator");
    const value = textAt(toleration, "value");
    const effect = textAt(toleration, "effect");
    if (key !== "") problems.invalidBy(`${field}.key`, key, qualifiedNameErrors(key));
    if (key === "" && operator !== "Exists") {
      problems.invalid(
        `${field}.operator`,
        operator,
        'operator must be Exists when `key` is empty, which means "match all values and all keys"',
      );
    }
    if (toleration["tolerationSeconds"] !== undefined && effect !== "NoExecute") {
      problems.invalid(
        `${field}.effect`,
        effect,
        "effect must be 'NoExecute' when `tolerationSeconds` is set",
      );
    }
    if (operator === "Exists") {
      if (value !== "")
        problems.invalid(
          `${field}.operator`,
          { ...toleration },
          "value must be empty when `operator` is 'Exists'",
        );
    } else if (operator === "Equal" || operator === "") {
      problems.invalidBy(`${field}.operator`, value, labelValueErrors(value));
    } else problems.notSupported(`${field}.operator`, operator, ["Equal", "Exists"], "given");
    if (effect !== "" && !effects.includes(effect))
      problems.notSupported(`${field}.effect`, effect, effects, "given");
  }
}

function validateAffinity(problems: Problems, affinity: Tree | undefined, path: string): void {
  const [required, preferred] = affinityKinds;
  const nodes = treeAt(affinity, "nodeAffinity");
  const nodeSelector = treeAt(nodes, required);
  if (nodeSelector !== undefined)
    validateNodeSelector(problems, nodeSelector, `${path}.nodeAffinity.${required}`);
  for (const [index, term] of treesAt(nodes, preferred).entries()) {
    const field = `${path}.nodeAffinity.${preferred}[${index}]`;
    validateWeight(problems, term, field);
    validateNodeTerm(problems, treeAt(term, "preference"), `${field}.preference`);
  }
  for (const name of ["podAffinity", "podAntiAffinity"]) {
    const pods = treeAt(affinity, name);
    for (const [index, term] of treesAt(pods, required).entries()) {
      validatePodTerm(problems, term, `${path}.${name}.${required}[${index}]`);
    }
    for (const [index, term] of treesAt(pods, preferred).entries()) {
      const field = `${path}.${name}.${preferred}[${index}]`;
      validateWeight(problems, term, field);
      validatePodTerm(problems, treeAt(term, "podAffinityTerm"), `${field}.podAffinityTerm`);
    }
  }
}

export function validateNodeSelector(problems: Problems, selector: Tree, path: string): void {
  const terms = treesAt(selector, "nodeSelectorTerms");
  if (terms.length === 0) {
    problems.required(`${path}.nodeSelectorTerms`, "must have at least one node selector term");
  }
  for (const [index, term] of terms.entries())
    validateNodeTerm(problems, term, `${path}.nodeSelectorTerms[${index}]`);
}

function validateNodeTerm(problems: Problems, term: Tree | undefined, path: string): void {
  for (const [index, requirement] of treesAt(term, "matchExpressions").entries()) {
    validateNodeRequirement(problems, requirement, `${path}.matchExpressions[${index}]`);
  }
}

function validatePodTerm(problems: Problems, term: Tree | undefined, path: string): void {
  validateLabelSelector(problems, treeAt(term, "labelSelector"), `${path}.labelSelector`);
  validateLabelSelector(problems, treeAt(term, "namespaceSelector"), `${path}.namespaceSelector`);
  for (const namespace of stringsAt(term, "namespaces")) {
    problems.invalidBy(`${path}.namespace`, namespace, dnsLabelErrors(namespace));
  }
  const key = textAt(term, "topologyKey");
  if (key === "") problems.required(`${path}.topologyKey`, "can not be empty");
  else problems.invalidBy(`${path}.topologyKey`, key, qualifiedNameErrors(key));
}

function validateWeight(problems: Problems, term: Tree, path: string): void {
  const weight = numberAt(term, "weight") ?? 0;
  if (weight < 1 || weight > 100)
    problems.invalid(`${path}.weight`, weight, "must be in the range 1-100");
}

/** Fields that mean nothing on the other system. */
const notOnWindows = [
  "seLinuxOptions",
  "seccompProfile",
  "fsGroup",
  "fsGroupChangePolicy",
  "sysctls",
  "runAsUser",
  "runAsGroup",
  "supplementalGroups",
];

function validateOs(problems: Problems, spec: Tree | undefined, name: string, path: string): void {
  if (name === "") problems.required(`${path}.os.name`, "cannot be empty");
  else if (name !== "linux" && name !== "windows")
    problems.notSupported(`${path}.os`, name, ["linux", "windows"]);
  if (name !== "windows") return;
  const context = treeAt(spec, "securityContext");
  for (const key of notOnWindows) {
    if (context?.[key] !== undefined) {
      problems.forbidden(`${path}.securityContext.${key}`, "cannot be set for a windows pod");
    }
  }
}
