import { compareQuantities, parseQuantity, qualifiedNameErrors } from "@wherry/machinery";
import { nanosOf } from "../quantity.ts";
import { textMapAt, type Tree } from "../tree.ts";
import type { Problems } from "./problems.ts";

const standardContainerResources = new Set(["cpu", "memory", "ephemeral-storage"]);
const standardResources = new Set([
  ...standardContainerResources,
  "requests.cpu",
  "requests.memory",
  "requests.ephemeral-storage",
  "limits.cpu",
  "limits.memory",
  "limits.ephemeral-storage",
  "pods",
  "resourcequotas",
  "services",
  "replicationcontrollers",
  "secrets",
  "configmaps",
  "persistentvolumeclaims",
  "services.nodeports",
  "services.loadbalancers",
  "storage",
  "requests.storage",
]);
const wholeNumber = "must be an integer";

/** requests and limits of a container: names, amounts, and no request beyond its limit. */
export function validateResourceRequirements(problems: Problems, holder: Tree, path: string): void {
  const limits = textMapAt(holder, "resources", "limits");
  const requests = textMapAt(holder, "resources", "requests");
  for (const [name, value] of Object.entries(limits)) {
    validateContainerResource(problems, name, value, `${path}.limits[${name}]`);
  }
  for (const [name, value] of Object.entries(requests)) {
    const field = `${path}.requests[${name}]`;
    validateContainerResource(problems, name, value, field);
    const limit = limits[name];
    if (limit !== undefined) {
      if (!isOvercommittable(name) && nanosOf(value) !== nanosOf(limit)) {
        problems.invalid(`${path}.requests`, value, `must be equal to ${name} limit of ${limit}`);
      } else if (compareQuantities(parseQuantity(value), parseQuantity(limit)) > 0) {
        problems.invalid(
          `${path}.requests`,
          value,
          `must be less than or equal to ${name} limit of ${limit}`,
        );
      }
    } else if (!isOvercommittable(name)) {
      problems.required(`${path}.limits`, "Limit must be set for non overcommitable resources");
    }
  }
}

export function validateResourceName(problems: Problems, name: string, field: string): void {
  const texts = qualifiedNameErrors(name);
  problems.invalidBy(field, name, texts);
  if (texts.length > 0 || name.includes("/") || standardResources.has(name)) return;
  if (!name.startsWith("hugepages-"))
    problems.invalid(field, name, "must be a standard resource type or fully qualified");
}

export function validateQuantityValue(
  problems: Problems,
  name: string,
  value: string,
  field: string,
): void {
  if (nanosOf(value) < 0n) problems.invalid(field, value, "must be greater than or equal to 0");
  if (isExtended(name) && nanosOf(value) % 1_000_000_000n !== 0n)
    problems.invalid(field, value, wholeNumber);
}

function validateContainerResource(
  problems: Problems,
  name: string,
  value: string,
  field: string,
): void {
  validateResourceName(problems, name, field);
  if (
    !name.includes("/") &&
    !standardContainerResources.has(name) &&
    !name.startsWith("hugepages-")
  ) {
    problems.invalid(field, name, "must be a standard resource for containers");
  } else if (name.includes("/") && qualifiedNameErrors(name).length > 0) {
    problems.invalid(field, name, "doesn't follow extended resource name standard");
  }
  validateQuantityValue(problems, name, value, field);
}

function isExtended(name: string): boolean {
  return name.includes("/") && !name.includes("kubernetes.io/");
}

/** Devices and huge pages cannot be promised more than once. */
function isOvercommittable(name: string): boolean {
  return !isExtended(name) && !name.startsWith("hugepages-");
}
