import type { Json, KubeObject } from "@wherry/machinery";
import { rowOf } from "./columns/kind-rows.ts";
import { schemaOf } from "./compile-schema.ts";
import { conversionOf } from "./conversions.ts";
import { defaultsOf } from "./defaults/kind-defaults.ts";
import { definitionNameOf } from "./definition-table.ts";
import type {
  ResourceDefinition,
  ResourceStrategy,
  TableColumn,
  VersionConversion,
} from "./resource.ts";
import { columnsOf, resourceEntries, type ResourceEntry } from "./resource-table.ts";
import { selectableFieldsOf } from "./selectable-fields.ts";
import { storagePrefixOf } from "./storage-prefix.ts";
import { createStrategy } from "./strategies/create-strategy.ts";
import { rulesOf } from "./strategies/kind-rules.ts";
import type { Tree } from "./tree.ts";
import type { TypeSchema } from "./type-schema.ts";
import { validatorOf } from "./validation/kind-validators.ts";
import { validateMetadata, validateMetadataUpdate } from "./validation/metadata.ts";

/** Every generally available resource of Kubernetes v1.36, in the order of the API's discovery documents. */
export function builtinResources(): readonly ResourceDefinition[] {
  return resourceEntries().map((entry) => new BuiltinResource(entry));
}

/** Schema, columns and strategy are made when first asked for, so that registering all of them costs next to nothing. */
class BuiltinResource implements ResourceDefinition {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly listKind: string;
  readonly resource: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  readonly verbs: readonly string[];
  readonly storageVersionHash: string;
  readonly subresources: ResourceDefinition["subresources"];
  declare readonly storagePrefix?: string;
  readonly storageVersion: string;
  declare readonly conversion?: VersionConversion;
  readonly row: (object: KubeObject, now: number) => readonly Json[];
  readonly selectableFields: (object: KubeObject) => Readonly<Record<string, string>>;
  #strategy: ResourceStrategy | undefined;
  #columns: readonly TableColumn[] | undefined;

  constructor(entry: ResourceEntry) {
    const apiVersion = entry.group === "" ? entry.version : `${entry.group}/${entry.version}`;
    this.group = entry.group;
    this.version = entry.version;
    this.kind = entry.kind;
    this.listKind = `${entry.kind}List`;
    this.resource = entry.resource;
    this.singular = entry.singular;
    this.shortNames = entry.shortNames;
    this.categories = entry.categories;
    this.namespaced = entry.namespaced;
    this.verbs = entry.verbs;
    this.storageVersionHash = entry.storageVersionHash;
    this.subresources = entry.subresources;
    this.storageVersion = entry.storageVersion === "" ? apiVersion : entry.storageVersion;
    const optional = this as { -readonly [K in keyof ResourceDefinition]: ResourceDefinition[K] };
    if (entry.storageVersion !== "")
      optional.storagePrefix = storagePrefixOf(entry.group, entry.resource);
    const conversion = conversionOf(apiVersion, entry.kind);
    if (conversion !== undefined) optional.conversion = conversion;
    this.row = rowOf(apiVersion, entry.kind) as unknown as ResourceDefinition["row"];
    this.selectableFields = selectableFieldsOf(
      apiVersion,
      entry.kind,
      entry.namespaced,
    ) as unknown as ResourceDefinition["selectableFields"];
  }

  get schema(): TypeSchema {
    const name = definitionNameOf(this.group, this.version, this.kind);
    if (name === undefined)
      throw new Error(`the tables hold no definition of ${this.storageVersion} ${this.kind}`);
    return schemaOf(name);
  }

  get columns(): readonly TableColumn[] {
    this.#columns ??= columnsOf(this.group, this.kind);
    return this.#columns;
  }

  get strategy(): ResourceStrategy {
    this.#strategy ??= this.#makeStrategy();
    return this.#strategy;
  }

  #makeStrategy(): ResourceStrategy {
    const apiVersion = this.group === "" ? this.version : `${this.group}/${this.version}`;
    const facts = { group: this.group, kind: this.kind, namespaced: this.namespaced };
    return createStrategy(
      {
        apiVersion,
        kind: this.kind,
        namespaced: this.namespaced,
        hasStatus: this.subresources.some((subresource) => subresource.name === "status"),
        schema: () => this.schema,
        defaults: defaultsOf(apiVersion, this.kind),
        validator: validatorOf(apiVersion, this.kind),
        validateMetadata: (object: Tree) => validateMetadata(object, facts),
        validateMetadataUpdate: (object: Tree, old: Tree) =>
          validateMetadataUpdate(object, old, facts),
      },
      rulesOf(this.group, this.kind),
    );
  }
}
