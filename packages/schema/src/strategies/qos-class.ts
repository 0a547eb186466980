import { nanosOf } from "../quantity.ts";
import { treeAt, treesAt, type Tree } from "../tree.ts";

const classResources = ["cpu", "memory"] as const;

/**
 * Guaranteed if every container limits cpu and memory and requests as much, BestEffort if none asks for either, else Burstable.
 * Requests and limits of the pod itself stand for those of its containers.
 */
export function qosClassOf(pod: Tree): "Guaranteed" | "Burstable" | "BestEffort" {
  const spec = treeAt(pod, "spec");
  const own = treeAt(spec, "resources");
  const holders =
    own !== undefined && (own["requests"] !== undefined || own["limits"] !== undefined)
      ? [{ resources: own }]
      : [...treesAt(spec, "containers"), ...treesAt(spec, "initContainers")];
  let asksForAny = false;
  let isGuaranteed = true;
  for (const holder of holders) {
    const requests = treeAt(holder, "resources", "requests");
    const limits = treeAt(holder, "resources", "limits");
    for (const name of classResources) {
      const request = nanosOf(requests?.[name]);
      const limit = nanosOf(limits?.[name]);
      if (request > 0n || limit > 0n) asksForAny = true;
      if (limit === 0n || request !== limit) isGuaranteed = false;
    }
  }
  if (!asksForAny) return "BestEffort";
  return isGuaranteed ? "Guaranteed" : "Burstable";
}
