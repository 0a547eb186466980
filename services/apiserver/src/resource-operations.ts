/**
 * What can be done to a resource with all its rules: defaults, strategy, validation, admission, graceful deletion (upstream: the generic
 * registry store). The REST verbs and subresource handlers share it.
 */
import type { KubeObject, UserInfo } from "@wherry/machinery";
import type { Draft, ResourceDefinition } from "@wherry/schema";
import type { Preconditions } from "./object-store.ts";

/** On whose behalf and how a write is made. */
export interface WriteContext {
  readonly user: UserInfo;
  readonly dryRun: boolean;
  readonly signal?: AbortSignal;
  /** Adds a `Warning: 299` header to the answer. */
  readonly warn?: (text: string) => void;
  /** False = admission plugins are not asked (the caller has been through them); default true. */
  readonly admission?: boolean;
}

export interface DeleteParameters {
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: "Orphan" | "Background" | "Foreground";
  readonly orphanDependents?: boolean;
  readonly preconditions?: Preconditions;
  readonly ignoreStoreReadErrorWithClusterBreakingPotential?: boolean;
}

export interface DeleteOutcome {
  /** The object as it is now (deletionTimestamp set), or its last state when it is gone. */
  readonly object: KubeObject;
  /** False = it is still there, waiting for its grace period or finalizers. */
  readonly removed: boolean;
}

export interface UpdateParameters {
  /** "" or "status"; other values are admitted under that name and use the strategy of the object itself. */
  readonly subresource: string;
  readonly preconditions?: Preconditions;
  /** Creates the object when it is missing, if the strategy allows it. */
  readonly allowCreate?: boolean;
}

export interface ResourceOperations {
  get<T extends KubeObject = KubeObject>(
    definition: ResourceDefinition,
    namespace: string,
    name: string,
  ): Promise<T>;
  create(
    definition: ResourceDefinition,
    namespace: string,
    draft: Draft,
    context: WriteContext,
  ): Promise<KubeObject>;
  /**
   * Builds the new object from a fresh copy of the current one; `build` runs again after a lost race. Immutable metadata is kept or
   * refused as upstream does; defaults, strategy, admission and validation follow.
   */
  update(
    definition: ResourceDefinition,
    namespace: string,
    name: string,
    build: (current: KubeObject | undefined) => Draft | Promise<Draft>,
    parameters: UpdateParameters,
    context: WriteContext,
  ): Promise<{ readonly object: KubeObject; readonly created: boolean }>;
  delete(
    definition: ResourceDefinition,
    namespace: string,
    name: string,
    parameters: DeleteParameters,
    context: WriteContext,
  ): Promise<DeleteOutcome>;
}
