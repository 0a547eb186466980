import { hasFinalizer, type KubeObject, type OwnerReference } from "@wherry/machinery";
import { foregroundFinalizer, orphanFinalizer, type GraphNode } from "./owner-graph.ts";

/** What an owner reference points to, found out from the server. */
export type OwnerState =
  /** It exists. */
  | "solid"
  | "absent"
  /** It exists and waits for its dependents to go. */
  | "waiting";

export type CollectDecision =
  | { readonly kind: "keep" }
  | { readonly kind: "unlink"; readonly owners: ReadonlySet<string> }
  | {
      readonly kind: "delete";
      readonly policy: "Orphan" | "Foreground" | "Background";
      readonly unblockFirst: boolean;
    };

/**
 * What becomes of an object, given what its owners are: it lives while one of them does, and loses the references to the others; else it
 * goes. Where an owner waits for it and it has dependents itself, these go first; in a circle of such waits the references stop blocking.
 */
export function decideCollect(
  node: GraphNode,
  latest: KubeObject,
  owners: readonly { readonly reference: OwnerReference; readonly state: OwnerState }[],
): CollectDecision {
  if (owners.length === 0) return { kind: "keep" };
  const isWaitedFor = owners.some(({ state }) => state === "waiting");
  if (owners.some(({ state }) => state === "solid")) {
    const useless = owners
      .filter(({ state }) => state !== "solid")
      .map(({ reference }) => reference.uid);
    return useless.length === 0 ? { kind: "keep" } : { kind: "unlink", owners: new Set(useless) };
  }
  if (isWaitedFor && node.dependents.size > 0) {
    return {
      kind: "delete",
      policy: "Foreground",
      unblockFirst: [...node.dependents].some((one) => one.deletingDependents),
    };
  }
  const policy = hasFinalizer(latest, orphanFinalizer)
    ? "Orphan"
    : hasFinalizer(latest, foregroundFinalizer)
      ? "Foreground"
      : "Background";
  return { kind: "delete", policy, unblockFirst: false };
}
