import type { Json } from "@wherry/machinery";

/**
 * A type of the API as data: what decoding, defaulting, strategic merge, server-side apply and OpenAPI need to know.
 * Built from the compact tables for built-ins and from a CustomResourceDefinition's schema for custom resources. Schemas refer to each
 * other by reference and may be recursive; nested schemas are resolved lazily.
 */
export interface TypeSchema {
  readonly type: "object" | "array" | "string" | "integer" | "number" | "boolean" | "any";
  /** Definition name for named types ("io.k8s.api.core.v1.Pod"). */
  readonly definition?: string;
  readonly format?: string;
  readonly intOrString?: boolean;
  /** Objects with known fields. */
  readonly properties?: ReadonlyMap<string, FieldSchema>;
  /** Maps with free keys. */
  readonly values?: TypeSchema;
  /** Arrays. */
  readonly items?: TypeSchema;
  /** x-kubernetes-preserve-unknown-fields, or a type without declared fields. */
  readonly preservesUnknownFields?: boolean;
  readonly listType?: "atomic" | "set" | "map";
  readonly listMapKeys?: readonly string[];
  readonly mapType?: "atomic" | "granular";
  readonly enum?: readonly string[];
  /**
   * Built-ins only: the Go type as reflection prints it ("v1.PodSpec"), which decode errors show. A schema with this name is read and written
   * as Go's JSON codec does it: null means zero, zero values are left out or written by each field's rule.
   */
  readonly goType?: string;
}

export interface FieldSchema {
  readonly name: string;
  readonly required: boolean;
  readonly schema: TypeSchema;
  /** x-kubernetes-patch-strategy, comma separated list split ("merge", "retainKeys", "replace"). */
  readonly patchStrategy?: readonly string[];
  readonly patchMergeKey?: string;
  /** Built-ins only: absent and zero differ (a pointer in Go). */
  readonly nullable?: boolean;
  /** Built-ins only: written even when zero. */
  readonly alwaysWritten?: boolean;
  /** Value that OpenAPI v3 shows as default. */
  readonly default?: Json;
}
