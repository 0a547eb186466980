import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { KubeObject, StatusCause } from "@wherry/machinery";
import { builtinResources } from "../builtin-resources.ts";
import { decodeObject } from "../decode.ts";
import { createResourceRegistry } from "../registry.ts";
import type { Draft, ResourceDefinition } from "../resource.ts";
import { ensureTree, type Tree } from "../tree.ts";

/** A request to a kube-apiserver v1.36.2 and its answer, with volatile values as placeholders ("<uid>", "@ns@"). */
export interface GoldenRecord {
  readonly id: string;
  readonly setup?: readonly GoldenRequest[];
  readonly request: GoldenRequest;
  readonly status: number;
  readonly warnings?: readonly string[];
  readonly message?: string;
  readonly causes?: readonly StatusCause[];
  readonly body?: Tree;
}

export interface GoldenRequest {
  readonly method: string;
  readonly path: string;
  readonly body?: Tree | string;
}

/** Stands where the recordings have "<uid>", which is no valid label value. */
export const goldenUid = "0d6a3a52-0000-4000-8000-000000000000";
export const goldenTime = Date.parse("2026-11-20T10:00:00Z");

export function readGolden(group: string): readonly GoldenRecord[] {
  const text = readFileSync(join(import.meta.dirname, `${group}.jsonl`), "utf8");
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as GoldenRecord);
}

const registry = createResourceRegistry(builtinResources());

/** The resource and the subresource that a path names. */
export function resourceOfPath(path: string): {
  definition: ResourceDefinition;
  subresource: string;
} {
  const parts = (path.split("?")[0] ?? "").split("/").filter((part) => part !== "");
  const isCore = parts.shift() === "api";
  const group = isCore ? "" : (parts.shift() ?? "");
  const version = parts.shift() ?? "";
  if (
    parts[0] === "namespaces" &&
    parts.length > 2 &&
    !["status", "finalize"].includes(parts[2] ?? "")
  )
    parts.splice(0, 2);
  const definition = registry.find({ group, version, resource: parts[0] ?? "" });
  if (definition === undefined) throw new Error(`no resource is served at ${path}`);
  return { definition, subresource: parts[2] ?? "" };
}

/** What a server does to a body between reading and storing it, without admission and allocation. */
export function createdFrom(definition: ResourceDefinition, body: Tree | string): Draft {
  const copy = typeof body === "string" ? body : structuredClone(body);
  const { object } = decodeObject(definition, copy);
  const metadata = ensureTree(object, "metadata");
  metadata["uid"] = goldenUid;
  if (definition.namespaced) metadata["namespace"] = "@ns@";
  definition.strategy.applyDefaults(object);
  definition.strategy.prepareForCreate(object, { now: goldenTime });
  const { conversion } = definition;
  if (conversion === undefined) return object;
  return conversion.fromStorage(conversion.toStorage(asKubeObject(object))) as unknown as Draft;
}

export function asKubeObject(draft: Draft): KubeObject {
  return draft;
}

/** The value with the placeholder of the recordings. */
export function withPlaceholders<T>(value: T): T {
  return JSON.parse(JSON.stringify(value).replaceAll(goldenUid, "<uid>")) as T;
}
