import type { KubeObject } from "@wherry/machinery";
import { decodeValue } from "./stored-value.ts";

const noLabels: Readonly<Record<string, string>> = Object.freeze({});

/** What a field selector may ask of an object, computed by a resource definition. */
export type FieldsFunction = (object: KubeObject) => Readonly<Record<string, string>>;

/**
 * One object at one revision: the store's bytes, and what was derived from them on demand. Immutable for its readers.
 * The parsed object is held weakly: it lives as long as somebody uses it, and is parsed again when asked for later.
 */
export class CacheEntry {
  /** Key below the resource's prefix: "namespace/name", or "name" for a cluster-scoped resource. */
  readonly path: string;
  /** modRevision. */
  readonly revision: number;
  readonly value: Buffer;
  #parsed: WeakRef<KubeObject> | undefined;
  #labels: Readonly<Record<string, string>> | undefined;
  #fieldsBy: FieldsFunction | undefined;
  #fields: Readonly<Record<string, string>> | undefined;

  constructor(path: string, revision: number, value: Buffer) {
    this.path = path;
    this.revision = revision;
    this.value = value;
  }

  /** In the storage version, with resourceVersion; shared, not to be changed. */
  object(): KubeObject {
    let object = this.#parsed?.deref();
    if (object === undefined) {
      object = decodeValue(this.value, this.revision);
      this.#parsed = new WeakRef(object);
    }
    return object;
  }

  labels(): Readonly<Record<string, string>> {
    this.#labels ??= this.object().metadata.labels ?? noLabels;
    return this.#labels;
  }

  /** Remembered for the last function asked with, which is one per served version. */
  fields(compute: FieldsFunction): Readonly<Record<string, string>> {
    if (this.#fields === undefined || this.#fieldsBy !== compute) {
      this.#fields = compute(this.object());
      this.#fieldsBy = compute;
    }
    return this.#fields;
  }
}
