import type { StatusCause } from "@wherry/machinery";
import { copyOf, listAt, numberAt, sameValue, treeAt, treesAt, type Tree } from "../tree.ts";
import { Problems } from "./problems.ts";
import { validatePodSpec } from "./pod-spec.ts";

const updateRule =
  "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

export function validatePod(pod: Tree): readonly StatusCause[] {
  const problems = new Problems();
  validatePodSpec(problems, treeAt(pod, "spec"), "spec");
  return problems.causes;
}

/** The spec of a pod is fixed but for a few fields: everything else must be equal once these have been made equal. */
export function validatePodUpdate(pod: Tree, old: Tree): readonly StatusCause[] {
  const problems = new Problems();
  const spec = treeAt(pod, "spec") ?? {};
  const before = treeAt(old, "spec") ?? {};
  for (const list of ["containers", "initContainers"]) {
    const containers = treesAt(spec, list);
    if (containers.length !== treesAt(before, list).length) {
      problems.forbidden(`spec.${list}`, "pod updates may not add or remove containers");
      return problems.causes;
    }
    for (const [index, container] of containers.entries()) {
      if (typeof container["image"] !== "string" || container["image"] === "") {
        problems.required(`spec.${list}[${index}].image`);
      }
    }
  }
  validateDeadline(problems, spec, before);
  if (!hasOnlyAdded(listAt(before, "tolerations"), listAt(spec, "tolerations"))) {
    problems.forbidden(
      "spec.tolerations",
      "existing toleration can not be modified except its tolerationSeconds",
    );
  }
  if (!sameValue(withMutableFieldsOf(spec, before), before)) problems.forbidden("spec", updateRule);
  return problems.causes;
}

function validateDeadline(problems: Problems, spec: Tree, before: Tree): void {
  const deadline = numberAt(spec, "activeDeadlineSeconds");
  const former = numberAt(before, "activeDeadlineSeconds");
  const field = "spec.activeDeadlineSeconds";
  if (deadline !== undefined) {
    if (deadline < 0 || deadline > 2147483647) {
      problems.invalid(field, deadline, "must be between 0 and 2147483647, inclusive");
    }
    if (former !== undefined && former < deadline)
      problems.invalid(field, deadline, "must be less than or equal to previous value");
  } else if (former !== undefined) {
    problems.invalid(field, null, "must not update from a positive integer to nil value");
  }
}

/** A copy of the new spec with the old values of all that may change. */
function withMutableFieldsOf(spec: Tree, before: Tree): Tree {
  const copy = copyOf(spec);
  for (const list of ["containers", "initContainers"]) {
    const former = treesAt(before, list);
    for (const [index, container] of treesAt(copy, list).entries())
      container["image"] = former[index]?.["image"];
  }
  for (const key of ["activeDeadlineSeconds", "tolerations"]) take(copy, before, key);
  const grace = numberAt(before, "terminationGracePeriodSeconds");
  if (grace !== undefined && grace < 0 && copy["terminationGracePeriodSeconds"] === 1) {
    copy["terminationGracePeriodSeconds"] = grace;
  }
  relaxGated(copy, before);
  return copy;
}

/** Gates may be removed; while a pod is gated, its node selector may be narrowed. */
function relaxGated(copy: Tree, before: Tree): void {
  const gates = treesAt(before, "schedulingGates").map((gate) => gate["name"]);
  const isSubset = treesAt(copy, "schedulingGates").every((gate) => gates.includes(gate["name"]));
  if (isSubset) take(copy, before, "schedulingGates");
  if (gates.length === 0) return;
  const selector = treeAt(before, "nodeSelector") ?? {};
  const narrowed = treeAt(copy, "nodeSelector") ?? {};
  if (Object.entries(selector).every(([key, value]) => narrowed[key] === value))
    take(copy, before, "nodeSelector");
}

function hasOnlyAdded(before: readonly unknown[], after: readonly unknown[]): boolean {
  return before.every((toleration) =>
    after.some((item) =>
      sameValue(
        { ...(item as Tree), tolerationSeconds: 0 },
        { ...(toleration as Tree), tolerationSeconds: 0 },
      ),
    ),
  );
}

function take(copy: Tree, before: Tree, key: string): void {
  if (before[key] === undefined) delete copy[key];
  else copy[key] = before[key];
}
