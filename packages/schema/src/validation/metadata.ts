import {
  goQuote,
  labelValueErrors,
  qualifiedNameErrors,
  type StatusCause,
} from "@wherry/machinery";
import {
  sameValue,
  stringsAt,
  textAt,
  textMapAt,
  treeAt,
  treesAt,
  valueAt,
  type Tree,
} from "../tree.ts";
import { nameRuleOf } from "./names.ts";
import { Problems } from "./problems.ts";

export interface KindIdentity {
  readonly group: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

const annotationBytesMax = 256 * 1024;
const standardFinalizers = new Set(["kubernetes", "orphan", "foregroundDeletion"]);
const notQualified = "name is neither a standard finalizer name nor is it fully qualified";

export function validateMetadata(object: Tree, identity: KindIdentity): readonly StatusCause[] {
  const problems = new Problems();
  const metadata = treeAt(object, "metadata");
  const rule = nameRuleOf(identity.group, identity.kind);
  const prefix = textAt(metadata, "generateName");
  const name = textAt(metadata, "name");
  // What follows a generated prefix makes a trailing dash harmless.
  if (prefix !== "")
    problems.invalidBy("metadata.generateName", prefix, rule(prefix.replace(/-$/, "a")));
  if (name === "") problems.required("metadata.name", "name or generateName is required");
  else problems.invalidBy("metadata.name", name, rule(name));
  const namespace = textAt(metadata, "namespace");
  if (identity.namespaced) {
    if (namespace === "") problems.required("metadata.namespace");
  } else if (namespace !== "") problems.forbidden("metadata.namespace", "not allowed on this type");
  problems.nonNegative(metadata, "generation", "metadata");
  validateLabels(problems, textMapAt(metadata, "labels"), "metadata.labels");
  validateAnnotations(problems, textMapAt(metadata, "annotations"), "metadata.annotations");
  validateOwners(problems, treesAt(metadata, "ownerReferences"));
  validateFinalizers(problems, stringsAt(metadata, "finalizers"));
  return problems.causes;
}

export function validateMetadataUpdate(
  object: Tree,
  old: Tree,
  identity: KindIdentity,
): readonly StatusCause[] {
  const problems = new Problems();
  const metadata = treeAt(object, "metadata");
  const before = treeAt(old, "metadata");
  problems.add(validateMetadata(object, identity));
  if (before?.["deletionTimestamp"] !== undefined) {
    const known = new Set(stringsAt(before, "finalizers"));
    const added = stringsAt(metadata, "finalizers").filter((finalizer) => !known.has(finalizer));
    if (added.length > 0) {
      const list = added.map((finalizer) => goQuote(finalizer)).join(", ");
      problems.forbidden(
        "metadata.finalizers",
        `no new finalizers can be added if the object is being deleted, found new finalizers []string{${list}}`,
      );
    }
  }
  for (const key of [
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
  ]) {
    const value = metadata?.[key];
    if (value !== undefined && !sameValue(value, before?.[key])) {
      problems.invalid(`metadata.${key}`, value, "field is immutable");
    }
  }
  return problems.causes;
}

export function validateLabels(
  problems: Problems,
  labels: Readonly<Record<string, string>>,
  field: string,
): void {
  for (const [key, value] of Object.entries(labels)) {
    problems.invalidBy(field, key, qualifiedNameErrors(key));
    problems.invalidBy(field, value, labelValueErrors(value));
  }
}

export function validateAnnotations(
  problems: Problems,
  annotations: Readonly<Record<string, string>>,
  field: string,
): void {
  let size = 0;
  for (const [key, value] of Object.entries(annotations)) {
    problems.invalidBy(field, key, qualifiedNameErrors(key.toLowerCase()));
    size += key.length + Buffer.byteLength(value);
  }
  if (size > annotationBytesMax) problems.tooLong(field, annotationBytesMax);
}

function validateOwners(problems: Problems, owners: readonly Tree[]): void {
  const field = "metadata.ownerReferences";
  for (const owner of owners) {
    const apiVersion = textAt(owner, "apiVersion");
    const kind = textAt(owner, "kind");
    if (apiVersion === "" || apiVersion.split("/").length > 2) {
      problems.invalid(`${field}.apiVersion`, apiVersion, "version must not be empty");
    }
    for (const key of ["kind", "name", "uid"]) {
      if (textAt(owner, key) === "")
        problems.invalid(`${field}.${key}`, textAt(owner, key), "must not be empty");
    }
    const [group, version] = apiVersion.includes("/") ? apiVersion.split("/") : ["", apiVersion];
    if (kind === "Event" && (group === "" || group === "events.k8s.io")) {
      problems.invalid(
        field,
        ordered(owner),
        `${group}/${version}, Kind=${kind} is disallowed from being an owner`,
      );
    }
  }
  const controllers = owners.filter((owner) => owner["controller"] === true);
  const [first, second] = controllers;
  if (first === undefined || second === undefined) return;
  const nameOf = (owner: Tree): string => `${textAt(owner, "kind")}/${textAt(owner, "name")}`;
  problems.invalid(
    field,
    owners.map(ordered),
    `Only one reference can have Controller set to true. Found "true" in references for ${nameOf(first)} and ${nameOf(second)}`,
  );
}

/** Messages show an owner with its fields in the order of the API. */
function ordered(owner: Tree): Tree {
  const result: Tree = {};
  for (const key of ["apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion"]) {
    if (owner[key] !== undefined) result[key] = owner[key];
  }
  return result;
}

function validateFinalizers(problems: Problems, finalizers: readonly string[]): void {
  for (const finalizer of finalizers) {
    problems.invalidBy("metadata.finalizers", finalizer, qualifiedNameErrors(finalizer));
  }
  for (const [index, finalizer] of finalizers.entries())
    validateFinalizerName(problems, finalizer, `metadata.finalizers[${index}]`);
}

export function validateFinalizerName(problems: Problems, finalizer: string, field: string): void {
  if (finalizer.includes("/") || standardFinalizers.has(finalizer)) return;
  if (qualifiedNameErrors(finalizer).length === 0) problems.invalid(field, finalizer, notQualified);
}

/** Metadata of templates: labels and annotations only. */
export function validateTemplateMetadata(
  problems: Problems,
  template: unknown,
  path: string,
): void {
  validateLabels(problems, textMapAt(template, "metadata", "labels"), `${path}.metadata.labels`);
  validateAnnotations(
    problems,
    textMapAt(template, "metadata", "annotations"),
    `${path}.metadata.annotations`,
  );
  const finalizers = valueAt(template, "metadata", "finalizers");
  if (Array.isArray(finalizers)) validateFinalizers(problems, finalizers as string[]);
}
