import {
  deepFreeze,
  newBadRequest,
  newUnknownResource,
  parseGroupVersion,
  type Json,
  type KubeObject,
} from "@wherry/machinery";
import type { ResourceRef } from "../api-client.ts";
import type { ApiRequest } from "../transport.ts";
import { hasStatus } from "./memory-resources.ts";
import type { MemoryDeleteOptions, UpdatePart } from "./memory-writes.ts";

/** What a path of the API addresses. */
export interface MemoryTarget {
  readonly ref: ResourceRef;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
  readonly query: URLSearchParams;
}

export function parseTarget(refs: readonly ResourceRef[], path: string): MemoryTarget {
  const url = new URL(path, "http://memory");
  const segments = url.pathname
    .split("/")
    .slice(1)
    .map((segment) => decodeURIComponent(segment));
  const isCore = segments[0] === "api";
  if (!isCore && segments[0] !== "apis") throw newUnknownResource();
  const groupVersion = isCore ? (segments[1] ?? "") : `${segments[1] ?? ""}/${segments[2] ?? ""}`;
  let rest = segments.slice(isCore ? 2 : 3);
  const { group, version } = parseGroupVersion(groupVersion);
  const byName = (resource: string | undefined): ResourceRef | undefined =>
    refs.find((ref) => ref.group === group && ref.version === version && ref.resource === resource);
  let namespace: string | undefined;
  if (
    rest[0] === "namespaces" &&
    rest.length > 2 &&
    rest[2] !== "status" &&
    rest[2] !== "finalize"
  ) {
    namespace = rest[1];
    rest = rest.slice(2);
  }
  const ref = byName(rest[0]);
  if (ref === undefined || (namespace !== undefined && !ref.namespaced)) throw newUnknownResource();
  const subresource = rest.length > 2 ? rest.slice(2).join("/") : undefined;
  return { ref, namespace, name: rest[1], subresource, query: url.searchParams };
}

export function updatePart({ ref, subresource }: MemoryTarget): UpdatePart {
  if (subresource === undefined) return "all";
  if (subresource === "status" && hasStatus(ref)) return "status";
  if (subresource === "finalize" && ref.resource === "namespaces") return "finalize";
  throw newUnknownResource();
}

/** The body with the name and namespace of the path; a different one in the body is refused. */
export function named({ name, namespace }: MemoryTarget, body: KubeObject): KubeObject {
  const { metadata } = body;
  if (metadata?.name !== undefined && metadata.name !== name) {
    throw newBadRequest(
      `the name of the object (${metadata.name}) does not match the name on the URL (${name ?? ""})`,
    );
  }
  if (
    metadata?.namespace !== undefined &&
    namespace !== undefined &&
    metadata.namespace !== namespace
  ) {
    throw newBadRequest(
      "the namespace of the provided object does not match the namespace sent on the request",
    );
  }
  return {
    ...body,
    metadata: {
      ...metadata,
      ...(name === undefined ? {} : { name }),
      ...(namespace === undefined ? {} : { namespace }),
    },
  };
}

export function readJson(request: ApiRequest): Json {
  try {
    return deepFreeze(JSON.parse(Buffer.from(request.body ?? []).toString()) as Json);
  } catch (error) {
    throw newBadRequest(
      `the body is not JSON: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

export function readObject(request: ApiRequest): KubeObject {
  const body = readJson(request) as unknown as KubeObject;
  if (typeof body !== "object" || body === null || typeof body.metadata !== "object") {
    throw newBadRequest("the body is no object with metadata");
  }
  return body;
}

export function readDeleteOptions(target: MemoryTarget, request: ApiRequest): MemoryDeleteOptions {
  const body =
    request.body === undefined || request.body.length === 0
      ? {}
      : (readJson(request) as MemoryDeleteOptions);
  const grace = target.query.get("gracePeriodSeconds");
  const policy = target.query.get("propagationPolicy");
  return {
    ...(grace === null ? {} : { gracePeriodSeconds: Number(grace) }),
    ...(policy === null ? {} : { propagationPolicy: policy }),
    ...(target.query.get("dryRun") === "All" ? { dryRun: ["All"] } : {}),
    ...body,
  };
}

export function isTrue(value: string | null): boolean {
  return value === "true" || value === "1";
}
