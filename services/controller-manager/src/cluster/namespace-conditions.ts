import { withCondition, type NamespaceCondition } from "@wherry/machinery";

/** How far the emptying of a namespace has come. */
export interface NamespaceOutcome {
  /** Group versions that discovery could not read, with why. */
  readonly undiscovered: ReadonlyMap<string, string>;
  readonly deleteErrors: readonly string[];
  /** Objects left, by "resource.group". */
  readonly remaining: ReadonlyMap<string, number>;
  /** Objects left, by the finalizer that they have. */
  readonly finalizers: ReadonlyMap<string, number>;
}

export function isEmptied({ undiscovered, deleteErrors, remaining }: NamespaceOutcome): boolean {
  return undiscovered.size === 0 && deleteErrors.length === 0 && remaining.size === 0;
}

/** The conditions that tell `kubectl describe namespace` what a deletion waits for, in upstream's words. */
export function namespaceConditions(
  present: readonly NamespaceCondition[],
  outcome: NamespaceOutcome,
  now: string,
): readonly NamespaceCondition[] {
  const { undiscovered, deleteErrors, remaining, finalizers } = outcome;
  const counts = (map: ReadonlyMap<string, number>, verb: string): string =>
    [...map]
      .map(([name, count]) => `${name} ${verb} ${count} resource instances`)
      .sort()
      .join(", ");
  const conditions: readonly NamespaceCondition[] = [
    undiscovered.size === 0
      ? good(
          "NamespaceDeletionDiscoveryFailure",
          "ResourcesDiscovered",
          "All resources successfully discovered",
        )
      : bad(
          "NamespaceDeletionDiscoveryFailure",
          "DiscoveryFailed",
          `Discovery failed for some groups, ${undiscovered.size} failing: unable to retrieve the complete list of server APIs: ${[...undiscovered].map(([name, why]) => `${name}: ${why}`).join(", ")}`,
        ),
    good(
      "NamespaceDeletionGroupVersionParsingFailure",
      "ParsedGroupVersions",
      "All legacy kube types successfully parsed",
    ),
    deleteErrors.length === 0
      ? good(
          "NamespaceDeletionContentFailure",
          "ContentDeleted",
          "All content successfully deleted, may be waiting on finalization",
        )
      : bad(
          "NamespaceDeletionContentFailure",
          "ContentDeletionFailed",
          `Failed to delete all resource types, ${deleteErrors.length} remaining: ${[...deleteErrors].sort().join(", ")}`,
        ),
    remaining.size === 0
      ? good("NamespaceContentRemaining", "ContentRemoved", "All content successfully removed")
      : bad(
          "NamespaceContentRemaining",
          "SomeResourcesRemain",
          `Some resources are remaining: ${counts(remaining, "has")}`,
        ),
    finalizers.size === 0
      ? good(
          "NamespaceFinalizersRemaining",
          "ContentHasNoFinalizers",
          "All content-preserving finalizers finished",
        )
      : bad(
          "NamespaceFinalizersRemaining",
          "SomeFinalizersRemain",
          `Some content in the namespace has finalizers remaining: ${counts(finalizers, "in")}`,
        ),
  ];
  return conditions.reduce((list, condition) => withCondition(list, condition, now), present);
}

function good(type: string, reason: string, message: string): NamespaceCondition {
  return { type, status: "False", reason, message };
}

function bad(type: string, reason: string, message: string): NamespaceCondition {
  return { type, status: "True", reason, message };
}
