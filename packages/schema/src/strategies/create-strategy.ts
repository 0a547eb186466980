import type { Json, KubeObject, StatusCause } from "@wherry/machinery";
import type { DefaultKind } from "../defaults/kind-defaults.ts";
import type { Draft, ResourceStrategy, StrategyContext } from "../resource.ts";
import { copyOf, ensureTree, sameValue, type Tree } from "../tree.ts";
import type { TypeSchema } from "../type-schema.ts";
import type { KindValidator } from "../validation/kind-validators.ts";
import { writeZeros, zeroOf } from "../zero-values.ts";

/** What is particular to a built-in kind; everything left out is as most kinds have it. */
export interface KindRules {
  readonly hasGeneration?: boolean;
  readonly allowCreateOnUpdate?: boolean;
  /** Default true. */
  readonly allowUnconditionalUpdate?: boolean;
  /** The status that a client sends on create is kept (nodes). */
  readonly keepsStatusOnCreate?: boolean;
  readonly defaultGracePeriodSeconds?: (object: Tree) => number;
  /** Runs after status has been reset and generation set. */
  readonly prepareForCreate?: (draft: Tree, context: StrategyContext) => void;
  /** Runs after status has been taken from `old`. */
  readonly prepareForUpdate?: (draft: Tree, old: Tree, context: StrategyContext) => void;
  readonly prepareForStatusUpdate?: (draft: Tree, old: Tree, context: StrategyContext) => void;
  /** Whether an update counts as a change of the desired state; default: anything but metadata and status differs. */
  readonly isSpecChange?: (draft: Tree, old: Tree) => boolean;
  /** Metadata that a status update must leave alone. */
  readonly statusKeepsMetadata?: readonly string[];
}

export interface KindFacts {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespaced: boolean;
  readonly hasStatus: boolean;
  /** Asked for when first needed, so that nothing is compiled at start. */
  readonly schema: () => TypeSchema;
  readonly defaults: DefaultKind | undefined;
  readonly validator: KindValidator | undefined;
  readonly validateMetadata: (object: Tree) => readonly StatusCause[];
  readonly validateMetadataUpdate: (object: Tree, old: Tree) => readonly StatusCause[];
}

export function createStrategy(facts: KindFacts, rules: KindRules): ResourceStrategy {
  const hasGeneration = rules.hasGeneration === true;
  const isSpecChange = rules.isSpecChange ?? differsBeyondStatus;

  return {
    hasGeneration,
    hasStatus: facts.hasStatus,
    allowCreateOnUpdate: rules.allowCreateOnUpdate === true,
    allowUnconditionalUpdate: rules.allowUnconditionalUpdate !== false,

    defaultGracePeriodSeconds: (object) => rules.defaultGracePeriodSeconds?.(treeOf(object)) ?? 0,

    applyDefaults(draft) {
      facts.defaults?.(draft);
      writeZeros(facts.schema(), draft);
    },

    prepareForCreate(draft, context) {
      const tree: Tree = draft;
      if (facts.hasStatus && rules.keepsStatusOnCreate !== true) resetStatus(tree, facts.schema());
      if (hasGeneration) ensureTree(tree, "metadata")["generation"] = 1;
      rules.prepareForCreate?.(tree, context);
      writeZeros(facts.schema(), tree);
    },

    prepareForUpdate(draft, old, context) {
      const tree: Tree = draft;
      const before = treeOf(old);
      if (facts.hasStatus) takeField(tree, before, "status");
      rules.prepareForUpdate?.(tree, before, context);
      const metadata = ensureTree(tree, "metadata");
      takeField(metadata, ensureTree(before, "metadata"), "generation");
      if (hasGeneration && isSpecChange(tree, before)) {
        metadata["generation"] = Number(metadata["generation"] ?? 0) + 1;
      }
      writeZeros(facts.schema(), tree);
    },

    prepareForStatusUpdate(draft, old, context) {
      const tree: Tree = draft;
      const before = treeOf(old);
      for (const key of new Set([...Object.keys(tree), ...Object.keys(before)])) {
        if (key !== "metadata" && key !== "status") takeField(tree, before, key);
      }
      const metadata = ensureTree(tree, "metadata");
      const metadataBefore = ensureTree(before, "metadata");
      for (const key of ["generation", ...(rules.statusKeepsMetadata ?? [])]) {
        takeField(metadata, metadataBefore, key);
      }
      rules.prepareForStatusUpdate?.(tree, before, context);
      writeZeros(facts.schema(), tree);
    },

    validate: (object) => {
      const tree = treeOf(object);
      return [...facts.validateMetadata(tree), ...(facts.validator?.create(tree) ?? [])];
    },

    validateUpdate: (object, old) => {
      const tree = treeOf(object);
      const before = treeOf(old);
      return [
        ...facts.validateMetadataUpdate(tree, before),
        ...(facts.validator?.update?.(tree, before) ?? facts.validator?.create(tree) ?? []),
      ];
    },
  };
}

/** Metadata that upstream resets for the status of kinds whose strategies are strict about it. */
export const allMetadata = ["labels", "annotations", "finalizers", "ownerReferences"] as const;

function resetStatus(draft: Tree, schema: TypeSchema): void {
  const field = schema.properties?.get("status");
  if (field === undefined) return;
  if (field.alwaysWritten) draft["status"] = zeroOf(field);
  else delete draft["status"];
}

/** Makes a field equal to that of the stored object. The draft gets a copy: stored objects are shared. */
function takeField(draft: Tree, old: Tree, key: string): void {
  if (old[key] === undefined) delete draft[key];
  else draft[key] = copyOf(old[key]);
}

function differsBeyondStatus(draft: Tree, old: Tree): boolean {
  for (const key of new Set([...Object.keys(draft), ...Object.keys(old)])) {
    if (["metadata", "status", "apiVersion", "kind"].includes(key)) continue;
    if (!sameValue(draft[key], old[key])) return true;
  }
  return false;
}

/** Objects are trees of JSON; the typed view has no index signature. */
function treeOf(object: KubeObject | Draft): Tree {
  return object as unknown as Tree & Record<string, Json>;
}
