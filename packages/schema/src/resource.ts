import type { Json, JsonObject, KubeObject, StatusCause } from "@wherry/machinery";
import type { TypeSchema } from "./type-schema.ts";

/**
 * A resource of the API as a value (DESIGN: "resources are values"). Built-ins and custom resources are registered by the same
 * call; the API server knows nothing of a resource but this.
 */
export interface ResourceDefinition {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly listKind: string;
  /** Plural ("deployments"). */
  readonly resource: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  readonly verbs: readonly string[];
  /** Base64 hash that discovery shows; "" for none (virtual resources). */
  readonly storageVersionHash: string;
  readonly subresources: readonly SubresourceDefinition[];
  /**
   * Where objects lie in the store, below "/registry/", as upstream lays them out ("pods", "minions", "services/specs",
   * "deployments", "leases" …); absent for resources that are not stored (reviews, bindings).
   */
  readonly storagePrefix?: string;
  /** True = one of several versions of the same kind that is read and written as another one (see `storageVersion`). */
  readonly storageVersion: string;
  readonly schema: TypeSchema;
  readonly strategy: ResourceStrategy;
  readonly columns: readonly TableColumn[];
  /** Cells in the order of `columns`. `now` in ms since the epoch, for ages. */
  row(object: KubeObject, now: number): readonly Json[];
  /** Field labels that `fieldSelector` may name, with their values; metadata.name and metadata.namespace are always there. */
  selectableFields(object: KubeObject): Readonly<Record<string, string>>;
}

export interface SubresourceDefinition {
  /** "status", "scale", "log" … */
  readonly name: string;
  /** Kind, group and version of what is sent and answered ("Scale", "autoscaling", "v1"). */
  readonly kind: string;
  readonly group: string;
  readonly version: string;
  readonly verbs: readonly string[];
}

export interface TableColumn {
  readonly name: string;
  readonly type: string;
  readonly format: string;
  readonly priority: number;
  readonly description: string;
}

export interface StrategyContext {
  /** ms since the epoch. */
  readonly now: number;
}

/** A mutable private draft of an object while a request is under way. */
export type Draft = { [key: string]: Json | undefined; metadata: { [key: string]: Json | undefined } } & JsonObject;

/**
 * What is particular to a kind, in upstream's terms (registry strategies). All functions are pure but for changing the draft given.
 */
export interface ResourceStrategy {
  /** True if spec changes raise metadata.generation (and create sets it to 1). */
  readonly hasGeneration: boolean;
  /** True if a status subresource exists, so that PUT/POST on the object itself ignores status. */
  readonly hasStatus: boolean;
  /** PUT on a missing object creates it (leases, endpoints, events …). */
  readonly allowCreateOnUpdate: boolean;
  /** PUT without resourceVersion is allowed. */
  readonly allowUnconditionalUpdate: boolean;
  /** Seconds of grace that a DELETE without options gets; 0 = immediately; pods: spec.terminationGracePeriodSeconds. */
  defaultGracePeriodSeconds(object: KubeObject): number;
  /** Fills in defaults (defaults.tsv) in place; idempotent. */
  applyDefaults(draft: Draft): void;
  /** After decoding and defaulting on create: drops status, sets what the server owns. */
  prepareForCreate(draft: Draft, context: StrategyContext): void;
  prepareForUpdate(draft: Draft, old: KubeObject, context: StrategyContext): void;
  /** For the status subresource: keeps spec and metadata of `old`, takes the status. */
  prepareForStatusUpdate(draft: Draft, old: KubeObject, context: StrategyContext): void;
  validate(object: KubeObject): readonly StatusCause[];
  validateUpdate(object: KubeObject, old: KubeObject): readonly StatusCause[];
}
