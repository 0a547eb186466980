import type { Json, JsonObject, KubeObject, StatusCause, UserInfo } from "@wherry/machinery";
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
  /**
   * Group and version that objects are stored as, written like apiVersion ("v1", "apps/v1"). Where it differs from this definition's own
   * (events.k8s.io/v1 is stored as v1, autoscaling/v1 as autoscaling/v2), `conversion` translates.
   */
  readonly storageVersion: string;
  readonly conversion?: VersionConversion;
  readonly schema: TypeSchema;
  readonly strategy: ResourceStrategy;
  readonly columns: readonly TableColumn[];
  /** Cells in the order of `columns`. `now` in ms since the epoch, for ages. */
  row(object: KubeObject, now: number): readonly Json[];
  /** Field labels that `fieldSelector` may name, with their values; metadata.name and metadata.namespace are always there. */
  selectableFields(object: KubeObject): Readonly<Record<string, string>>;
}

/** Translates between a served version and the stored one. Both functions leave their argument alone and set apiVersion and kind. */
export interface VersionConversion {
  toStorage(object: KubeObject): KubeObject;
  fromStorage(object: KubeObject): KubeObject;
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
  /** Who asks; certificate signing requests record it. */
  readonly user?: UserInfo;
}

/** A mutable private draft of an object while a request is under way. */
export type Draft = {
  [key: string]: Json | undefined;
  metadata: { [key: string]: Json | undefined };
} & JsonObject;

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
  /**
   * After decoding and defaulting on create: drops status, sets what the server owns. metadata.name, namespace and uid are set already (a
   * Job's selector is made of its uid).
   */
  prepareForCreate(draft: Draft, context: StrategyContext): void;
  prepareForUpdate(draft: Draft, old: KubeObject, context: StrategyContext): void;
  /**
   * For the status subresource: takes the status and what upstream lets through of the metadata (annotations of most kinds), keeps everything
   * else of `old`.
   */
  prepareForStatusUpdate(draft: Draft, old: KubeObject, context: StrategyContext): void;
  validate(object: KubeObject): readonly StatusCause[];
  validateUpdate(object: KubeObject, old: KubeObject): readonly StatusCause[];
}
