/** A resource definition together with what turning cache entries into answers needs, computed once per definition. */
import type { JsonObject, KubeObject } from "@wherry/machinery";
import type { ResourceDefinition } from "@wherry/schema";
import type { CacheEntry, FieldsFunction } from "./cache-entry.ts";
import { encodeValue, valuePrefix } from "./stored-value.ts";

/** Converted values kept per definition; the oldest goes first. */
const convertedMax = 1024;

export class ServedResource {
  readonly definition: ResourceDefinition;
  /** As objects carry it: "v1", "apps/v1". */
  readonly apiVersion: string;
  /** List items of built-in types carry no kind and apiVersion, those of custom resources do. */
  readonly isBuiltIn: boolean;
  readonly #storedPrefixLength: number;
  readonly #servedPrefix: string;
  readonly #converted = new Map<CacheEntry, Buffer>();
  #knownFields: ReadonlySet<string> | undefined;

  constructor(definition: ResourceDefinition) {
    this.definition = definition;
    this.apiVersion =
      definition.group === "" ? definition.version : `${definition.group}/${definition.version}`;
    this.isBuiltIn = definition.schema.goType !== undefined;
    this.#servedPrefix = valuePrefix({ kind: definition.kind, apiVersion: this.apiVersion });
    this.#storedPrefixLength = Buffer.byteLength(
      valuePrefix({
        kind: definition.kind,
        apiVersion: definition.storageVersion || this.apiVersion,
      }),
    );
  }

  /** The head of a complete object; what follows is its tail. */
  objectHead(revision: number): string {
    return `${this.#servedPrefix}"resourceVersion":"${revision}",`;
  }

  itemHead(revision: number): string {
    return this.isBuiltIn
      ? `{"metadata":{"resourceVersion":"${revision}",`
      : this.objectHead(revision);
  }

  /** Everything behind the opening brace of metadata, in the served version. */
  tail(entry: CacheEntry): Buffer {
    if (this.definition.conversion === undefined)
      return entry.value.subarray(this.#storedPrefixLength);
    let tail = this.#converted.get(entry);
    if (tail === undefined) {
      const value = encodeValue(
        { kind: this.definition.kind, apiVersion: this.apiVersion },
        this.object(entry),
      );
      tail = value.subarray(Buffer.byteLength(this.#servedPrefix));
      this.#converted.set(entry, tail);
      if (this.#converted.size > convertedMax)
        this.#converted.delete(this.#converted.keys().next().value!);
    }
    return tail;
  }

  /** The same for a value that is in no cache. */
  tailOfValue(value: Buffer, object: () => KubeObject): Buffer {
    if (this.definition.conversion === undefined) return value.subarray(this.#storedPrefixLength);
    return encodeValue(
      { kind: this.definition.kind, apiVersion: this.apiVersion },
      object(),
    ).subarray(Buffer.byteLength(this.#servedPrefix));
  }

  /** The parsed object in the served version; shared, not to be changed. */
  object(entry: CacheEntry): KubeObject {
    const stored = entry.object();
    return this.definition.conversion?.fromStorage(stored) ?? stored;
  }

  /** In the served version, from an object in the storage version. */
  fromStorage(stored: KubeObject): KubeObject {
    return this.definition.conversion?.fromStorage(stored) ?? stored;
  }

  toStorage(served: KubeObject): KubeObject {
    return this.definition.conversion?.toStorage(served) ?? served;
  }

  readonly fields: FieldsFunction = (stored) => ({
    ...this.definition.selectableFields(this.fromStorage(stored)),
    "metadata.name": stored.metadata.name ?? "",
    "metadata.namespace": stored.metadata.namespace ?? "",
  });

  /** Field labels that a selector may name. */
  knownFields(): ReadonlySet<string> {
    this.#knownFields ??= new Set([
      "metadata.name",
      "metadata.namespace",
      ...Object.keys(
        this.definition.selectableFields({
          kind: this.definition.kind,
          apiVersion: this.apiVersion,
          metadata: {},
        } as KubeObject & JsonObject),
      ),
    ]);
    return this.#knownFields;
  }
}
